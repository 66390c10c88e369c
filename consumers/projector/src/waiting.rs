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

impl Waiting {
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

    /// The store failed: gives how long it is left alone. A first lost compare-and-set needs no wait, and
    /// what failed long ago no longer counts.
    pub(crate) fn fail(&mut self, kind: Kind, backoff: Backoff, why: &str) -> Duration {
        let is_long_ago = self.failed.elapsed() > backoff.cap * 4;
        self.failures = if is_long_ago { 1 } else { self.failures + 1 };
        let is_first_fence = kind == Kind::Fenced && self.failures == 1;
        let drawn = backoff.drawn(self.failures);
        let wait = if is_first_fence {
            Duration::ZERO
        } else {
            drawn
        };
        self.failed = Instant::now();
        self.not_before = self.failed + wait;
        self.trouble = Some(why.to_owned());
        wait
    }
}
