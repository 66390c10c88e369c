//! Whether a partition is still the log that the store was built from.
//!
//! A topic that was deleted and made anew, or a log that lost its end and grew again, may by now be longer than
//! the store's position: it is read on without an error, and what was written meanwhile is never seen. So
//! before a partition is read that was just given, the brokers are asked for its first record that is later than
//! the last one that was applied. Every record before the position was applied, so in the same log there is none
//! such before it; in another, all are later. One question for all partitions that were given, by their
//! timestamps and not by the topic's id: no client says that id, and a log that was restored record by record,
//! with its timestamps, is the same log under another id.
//!
//! This holds no client; the probe asks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use licenseflow_runtime::log::TopicPartition;

use crate::source::{LanePartition, Start};

/// How long the brokers are left alone when they could not say.
const AGAIN: Duration = Duration::from_secs(1);

/// What the brokers said of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proven {
    /// What was asked about.
    pub(crate) start: Start,
    /// A record before the place that is later than the last that was applied; none: it is the same log.
    pub(crate) stranger: Option<Stranger>,
}

/// A record that cannot have been in the log that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stranger {
    pub(crate) offset: i64,
    /// In milliseconds UTC.
    pub(crate) timestamp: i64,
}

/// Which partitions are known to be the log that was read, and which are asked about.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    proven: BTreeSet<LanePartition>,
    /// What is not proven yet, with the time of the last record that was applied: nobody need say it twice.
    unproven: BTreeMap<LanePartition, i64>,
    /// What of it is to be read.
    wanted: BTreeMap<LanePartition, Start>,
    is_asked: bool,
    not_before: Option<Instant>,
}

impl Proofs {
    /// Those that may be read at once; the others wait until it is known that they may be.
    pub(crate) fn sorted(&mut self, starts: Vec<Start>) -> Vec<Start> {
        let mut known = Vec::new();
        for start in starts {
            let of = of(&start);
            let last = start.last_timestamp.or(self.unproven.get(&of).copied());
            match last.filter(|_| start.next_offset > 0 && !self.proven.contains(&of)) {
                None => known.push(start),
                Some(last) => {
                    self.unproven.insert(of, last);
                    let last_timestamp = Some(last);
                    self.wanted.insert(
                        of,
                        Start {
                            last_timestamp,
                            ..start
                        },
                    );
                }
            }
        }
        known
    }

    /// A partition is not to be read now.
    pub(crate) fn leave(&mut self, of: &LanePartition) {
        self.wanted.remove(of);
    }

    /// It is not known any more of this partition.
    pub(crate) fn forget(&mut self, of: &LanePartition) {
        self.wanted.remove(of);
        self.unproven.remove(of);
        self.proven.remove(of);
    }

    /// What is to be asked now, if no question is open.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Vec<Start>> {
        let is_early = self.not_before.is_some_and(|then| now < then);
        if self.is_asked || is_early || self.wanted.is_empty() {
            return None;
        }
        self.is_asked = true;
        self.not_before = None;
        Some(self.wanted.values().copied().collect())
    }

    /// Takes an answer; gives back what of it is still wanted. Nothing was answered where the brokers could not
    /// be asked.
    pub(crate) fn hear(&mut self, answers: Option<Vec<Proven>>, now: Instant) -> Vec<Proven> {
        self.is_asked = false;
        let Some(mut answers) = answers else {
            self.not_before = Some(now + AGAIN);
            return Vec::new();
        };
        answers.retain(|answer| self.wanted.get(&of(&answer.start)) == Some(&answer.start));
        for answer in &answers {
            self.wanted.remove(&of(&answer.start));
            if answer.stranger.is_none() {
                self.unproven.remove(&of(&answer.start));
                self.proven.insert(of(&answer.start));
            }
        }
        answers
    }
}

fn of(start: &Start) -> LanePartition {
    (start.lane, start.partition)
}

/// What an operator reads at night.
pub(crate) fn reason(name: &TopicPartition, start: &Start, stranger: Stranger) -> String {
    let TopicPartition { topic, partition } = name;
    let Stranger { offset, timestamp } = stranger;
    let (next, last) = (start.next_offset, start.last_timestamp.unwrap_or(0));
    format!(
        "{topic} partition {partition} is not the log that was read up to {next}: its record at {offset} was written at \
         {timestamp} ms, and the last that was applied at {last} ms; the topic was made anew, or the log was cut short \
         and has grown since. Bring the log back that was read, or build a new read model from this one: \
         licenseflow replay"
    )
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::Lane;

    use super::*;

    fn start(partition: i32, next_offset: i64, last_timestamp: Option<i64>) -> Start {
        Start {
            lane: Lane::Bulk,
            partition,
            next_offset,
            last_timestamp,
        }
    }

    fn same(start: Start) -> Proven {
        Proven {
            start,
            stranger: None,
        }
    }

    #[test]
    fn what_has_no_record_yet_is_read_at_once_and_all_else_when_it_was_proven() {
        let mut proofs = Proofs::default();
        let now = Instant::now();
        let (new, marked, read) = (
            start(0, 0, None),
            start(1, 3, None),
            start(2, 3, Some(1000)),
        );
        assert_eq!(proofs.sorted(vec![new, marked, read]), [new, marked]);
        assert_eq!(proofs.due(now), Some(vec![read]));
        assert_eq!(proofs.due(now), None, "it is asked once");
        assert_eq!(proofs.hear(Some(vec![same(read)]), now), [same(read)]);
        let later = start(2, 9, Some(2000));
        assert_eq!(proofs.sorted(vec![later]), [later]);
        proofs.forget(&(Lane::Bulk, 2));
        assert_eq!(proofs.sorted(vec![later]), []);
    }

    #[test]
    fn an_answer_about_another_place_or_a_partition_that_was_left_proves_nothing() {
        let mut proofs = Proofs::default();
        let now = Instant::now();
        let (earlier, later) = (start(0, 3, Some(1000)), start(0, 4, Some(1001)));
        proofs.sorted(vec![earlier]);
        proofs.due(now);
        proofs.sorted(vec![later]);
        assert_eq!(proofs.hear(Some(vec![same(earlier)]), now), []);
        assert_eq!(proofs.due(now), Some(vec![later]));
        proofs.leave(&(Lane::Bulk, 0));
        assert_eq!(proofs.hear(Some(vec![same(later)]), now), []);
        // Whoever goes on from there need not know the time.
        let again = start(0, 4, None);
        assert_eq!(proofs.sorted(vec![again]), [], "still unproven");
        assert_eq!(proofs.due(now), Some(vec![later]));
    }

    #[test]
    fn brokers_that_could_not_say_are_asked_again_a_little_later() {
        let mut proofs = Proofs::default();
        let now = Instant::now();
        let read = start(0, 3, Some(1000));
        proofs.sorted(vec![read]);
        proofs.due(now);
        assert_eq!(proofs.hear(None, now), []);
        assert_eq!(proofs.due(now), None);
        assert_eq!(proofs.due(now + AGAIN), Some(vec![read]));
    }

    #[test]
    fn a_stranger_is_told_and_never_proven() {
        let mut proofs = Proofs::default();
        let now = Instant::now();
        let read = start(0, 3, Some(1000));
        let stranger = Some(Stranger {
            offset: 0,
            timestamp: 1001,
        });
        let answer = Proven {
            start: read,
            stranger,
        };
        proofs.sorted(vec![read]);
        proofs.due(now);
        assert_eq!(proofs.hear(Some(vec![answer.clone()]), now), [answer]);
        assert_eq!(proofs.sorted(vec![read]), []);
    }
}
