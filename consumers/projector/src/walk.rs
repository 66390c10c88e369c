//! In which order letters are sent: one walk over the rows after the other.
//!
//! A walk goes from the oldest row to the newest. A letter that was not acknowledged is left where it
//! lies and the walk goes on behind it, so that none holds up another; the next walk, after a wait that
//! grows, comes to it again. Where a walk left none, the next one begins at once and finds what is new.

use std::time::{Duration, Instant};

use licenseflow_store::{LETTERS_BYTES, Letter};

use crate::Backoff;

#[derive(Debug)]
pub(crate) struct Walk {
    backoff: Backoff,
    letters_max: usize,
    /// The last row that was taken.
    after: i64,
    /// Letters that were left in this walk.
    left: usize,
    /// Walks in a row that left some.
    failures: u32,
    is_at_end: bool,
    /// When the next walk begins, once this one came to the end and left some.
    again: Option<Instant>,
}

impl Walk {
    pub(crate) fn new(letters_max: usize, backoff: Backoff) -> Self {
        Self {
            backoff,
            letters_max,
            after: 0,
            left: 0,
            failures: 0,
            is_at_end: false,
            again: None,
        }
    }

    /// The row behind which letters are taken now.
    pub(crate) fn after(&mut self, now: Instant) -> i64 {
        if self.again.is_some_and(|again| again <= now) {
            self.begin();
        }
        self.after
    }

    /// These were taken: a round begins, or none where there are none.
    pub(crate) fn take(&mut self, letters: &[Letter], now: Instant) {
        let bytes: usize = letters.iter().map(|one| one.content.bytes()).sum();
        self.is_at_end = letters.len() < self.letters_max && bytes < LETTERS_BYTES;
        match letters.last() {
            Some(last) => self.after = last.id,
            None => self.round_is_over(0, now, Duration::ZERO),
        }
    }

    /// The round is over, and left so many letters. What was waited since then counts for the walk.
    pub(crate) fn round_is_over(&mut self, left: usize, now: Instant, waited: Duration) {
        self.left += left;
        if !self.is_at_end {
            return;
        }
        if self.left == 0 {
            self.failures = 0;
            self.begin();
        } else if self.again.is_none() {
            self.failures += 1;
            let wait = self.backoff.drawn(self.failures);
            self.again = Some(now + wait.saturating_sub(waited));
        }
    }

    /// Letters that this walk left.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// When the next walk begins, where that is to be waited for.
    pub(crate) fn again(&self) -> Option<Instant> {
        self.again
    }

    fn begin(&mut self) {
        (self.after, self.left, self.again) = (0, 0, None);
        self.is_at_end = false;
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::{Coordinates, Lane, Reason};
    use licenseflow_store::LetterContent;

    use super::*;

    fn letters(ids: std::ops::Range<i64>) -> Vec<Letter> {
        let letter = |id| Letter {
            id,
            at: Coordinates {
                timestamp: 0,
                lane: Lane::Bulk,
                partition: 0,
                offset: id,
            },
            reason: Reason::Empty,
            error: String::new(),
            content: LetterContent::InTheLane,
        };
        ids.map(letter).collect()
    }

    #[test]
    fn what_is_left_comes_again_after_a_wait_and_the_others_are_sent_meanwhile() {
        let now = Instant::now();
        let mut walk = Walk::new(2, Backoff::default());
        walk.take(&letters(1..3), now);
        walk.round_is_over(1, now, Duration::ZERO);
        assert_eq!((walk.after(now), walk.again()), (2, None));
        walk.take(&letters(3..4), now);
        walk.round_is_over(0, now, Duration::ZERO);
        let first = walk.again().unwrap();
        assert!(first > now && first <= now + Duration::from_secs(1));
        // New letters do not put the walk off, nor does it put them off.
        assert_eq!(walk.after(now), 3);
        walk.take(&letters(4..5), now);
        walk.round_is_over(0, now, Duration::ZERO);
        assert_eq!((walk.again(), walk.left()), (Some(first), 1));
        assert_eq!(walk.after(first), 0);
        walk.take(&letters(1..2), first);
        walk.round_is_over(1, first, Duration::ZERO);
        let second = walk.again().unwrap();
        assert!(second - first > Duration::from_secs(1), "the wait grows");
        assert_eq!(walk.after(second), 0);
        walk.take(&letters(1..2), second);
        walk.round_is_over(0, second, Duration::ZERO);
        assert_eq!((walk.after(second), walk.again()), (0, None));
    }

    #[test]
    fn a_walk_that_left_none_begins_again_at_once() {
        let now = Instant::now();
        let mut walk = Walk::new(2, Backoff::default());
        walk.take(&letters(1..3), now);
        walk.round_is_over(0, now, Duration::ZERO);
        assert_eq!(walk.after(now), 2);
        walk.take(&[], now);
        assert_eq!((walk.after(now), walk.again()), (0, None));
    }
}
