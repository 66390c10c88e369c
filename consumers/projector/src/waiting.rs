//! What the polling thread waits for, beside records: room, and the store.

use std::time::{Duration, Instant};

use licenseflow_store::Kind;

use crate::{Backoff, Settings};

/// What the loop waits for, beside records.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) skew_micros: i64,
    /// Partitions were left for want of room.
    pub(crate) is_paused: bool,
    pub(crate) full_since: Option<Instant>,
    /// Failures of the store in a row.
    pub(crate) failures: u32,
    failed: Instant,
    /// The store is not asked before.
    pub(crate) not_before: Instant,
    pub(crate) trouble: Option<String>,
}

/// Whether the store is asked anything: it is left alone for a while after a failure, and then asked one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breaker {
    /// It answers.
    Closed,
    /// It is left alone, and the partitions with it.
    Open,
    /// It is asked where it stands; nothing else is asked until it answers.
    HalfOpen,
}

impl Waiting {
    /// The circuit breaker to the store.
    pub(crate) fn breaker(&self, now: Instant) -> Breaker {
        match (&self.trouble, now < self.not_before) {
            (None, _) => Breaker::Closed,
            (Some(_), true) => Breaker::Open,
            (Some(_), false) => Breaker::HalfOpen,
        }
    }

    pub(crate) fn new(settings: &Settings) -> Self {
        let now = Instant::now();
        Self {
            skew_micros: i64::try_from(settings.max_future_skew.as_micros()).unwrap_or(i64::MAX),
            is_paused: false,
            full_since: None,
            failures: 0,
            failed: now,
            not_before: now,
            trouble: None,
        }
    }

    /// The store failed: gives how long it is left alone. A first lost compare-and-set needs no wait, nor
    /// does a batch that is narrowed down, and what failed long ago no longer counts.
    pub(crate) fn fail(&mut self, kind: Kind, backoff: Backoff, why: &str) -> Duration {
        let is_long_ago = self.failed.elapsed() > backoff.cap * 4;
        self.failures = if is_long_ago { 1 } else { self.failures + 1 };
        // A batch that is refused is another one next time.
        let is_at_once = kind == Kind::Refused || (kind == Kind::Fenced && self.failures == 1);
        let drawn = backoff.drawn(self.failures);
        let wait = if is_at_once { Duration::ZERO } else { drawn };
        self.failed = Instant::now();
        self.not_before = self.failed + wait;
        self.trouble = Some(why.to_owned());
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_the_store_is_left_alone_and_then_asked_one_thing_until_it_answers() {
        let mut waiting = Waiting::new(&Settings::default());
        let now = Instant::now();
        assert_eq!(waiting.breaker(now), Breaker::Closed);
        let wait = waiting.fail(Kind::Away, Backoff::default(), "gone");
        assert_eq!(waiting.breaker(Instant::now()), Breaker::Open);
        let later = Instant::now() + wait;
        assert_eq!(waiting.breaker(later), Breaker::HalfOpen);
        let longer = waiting.fail(Kind::Away, Backoff::default(), "gone");
        assert!(longer > wait, "{longer:?} after {wait:?}");
        waiting.trouble = None;
        assert_eq!(waiting.breaker(later), Breaker::Closed);
    }
}
