//! Letters of a partition whose records are rejected one after the other are sent more slowly: a client that
//! sends nothing but garbage must not fill the dead-letter topic as fast as it can, nor hold up the letters of
//! others. Nothing is lost: the rows wait.

use std::collections::BTreeMap;
use std::time::Instant;

use licenseflow_avro::{Lane, PartitionId};
use licenseflow_store::Letter;

/// How many letters of a partition are sent as they come, and how fast those beyond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LettersPace {
    /// So many are sent as they come; 0: all.
    pub at_once: u32,
    /// So many a second beyond them.
    pub per_second: u32,
}

impl Default for LettersPace {
    fn default() -> Self {
        Self {
            at_once: 1000,
            per_second: 50,
        }
    }
}

/// What each partition has left to send.
#[derive(Debug)]
pub(crate) struct Slowing {
    pace: LettersPace,
    spent: BTreeMap<(Lane, PartitionId), Spent>,
}

/// How much of its allowance a partition has spent, at a time; it comes back with time.
#[derive(Debug, Clone, Copy)]
struct Spent {
    letters: f64,
    at: Instant,
}

impl Slowing {
    pub(crate) fn new(pace: LettersPace) -> Self {
        Self {
            pace,
            spent: BTreeMap::new(),
        }
    }

    /// These are sent now. Gives the partitions that are slowed from now on and were not before.
    pub(crate) fn take(&mut self, letters: &[Letter], now: Instant) -> Vec<(Lane, PartitionId)> {
        let pace = self.pace;
        if pace.at_once == 0 {
            return Vec::new();
        }
        let mut newly = Vec::new();
        for letter in letters {
            let of = (letter.at.lane, letter.at.partition);
            let spent = self.spent.entry(of).or_insert(Spent {
                letters: 0.0,
                at: now,
            });
            let before = spent.left(pace, now);
            *spent = Spent {
                letters: before + 1.0,
                at: now,
            };
            let most = f64::from(pace.at_once);
            if before < most && before + 1.0 >= most {
                newly.push(of);
            }
        }
        newly
    }

    /// The partitions whose letters wait at this time. What has come back whole is forgotten.
    pub(crate) fn slowed(&mut self, now: Instant) -> Vec<(Lane, PartitionId)> {
        let pace = self.pace;
        self.spent.retain(|_, spent| spent.left(pace, now) > 0.0);
        // A few at a time: a round for one letter would cost as much as one for many.
        let room = f64::from(pace.per_second).max(1.0);
        let is_slowed =
            |spent: &Spent| spent.left(pace, now) + room > f64::from(pace.at_once).max(room);
        let each = self.spent.iter().filter(|(_, spent)| is_slowed(spent));
        each.map(|(of, _)| *of).collect()
    }
}

impl Spent {
    fn left(&self, pace: LettersPace, now: Instant) -> f64 {
        let back =
            now.saturating_duration_since(self.at).as_secs_f64() * f64::from(pace.per_second);
        (self.letters - back).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use licenseflow_avro::{Coordinates, Reason};
    use licenseflow_store::LetterContent;

    use super::*;

    fn letters(partition: PartitionId, count: usize) -> Vec<Letter> {
        let letter = Letter {
            id: 0,
            at: Coordinates {
                timestamp: 0,
                lane: Lane::Bulk,
                partition,
                offset: 0,
            },
            reason: Reason::Empty,
            error: String::new(),
            content: LetterContent::InTheLane,
        };
        vec![letter; count]
    }

    #[test]
    fn a_partition_that_has_spent_its_letters_waits_and_no_other_does() {
        let (begun, garbage) = (Instant::now(), (Lane::Bulk, 1));
        let mut slowing = Slowing::new(LettersPace {
            at_once: 100,
            per_second: 10,
        });
        assert_eq!(slowing.take(&letters(1, 60), begun), []);
        assert_eq!(slowing.take(&letters(1, 60), begun), [garbage]);
        assert_eq!(slowing.take(&letters(2, 60), begun), []);
        assert_eq!(slowing.slowed(begun), [garbage]);
        // 120 were sent: there is room for ten again after three seconds.
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(slowing.slowed(after(2)), [garbage]);
        assert_eq!(slowing.slowed(after(3)), []);
        slowing.take(&letters(1, 10), after(3));
        assert_eq!(slowing.slowed(after(3)), [garbage]);
        assert_eq!(slowing.slowed(after(60)), []);
        assert!(slowing.spent.is_empty(), "nothing is kept of who is done");
        let all = LettersPace {
            at_once: 0,
            per_second: 1,
        };
        let mut slowing = Slowing::new(all);
        slowing.take(&letters(1, 5000), begun);
        assert_eq!(slowing.slowed(begun), []);
    }
}
