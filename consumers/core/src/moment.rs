//! Another time of asking: what a license was then, and what was known of it then.
//!
//! | asked | the events | the status |
//! |---|---|---|
//! | `as_of` T | that occurred by T | at T |
//! | `known_at` K | whose record was there by K | at K |
//! | both | that occurred by T and whose record was there by K | at T |
//!
//! The record of an event is the least of its id, so what was there by K is the same whatever came
//! later: a lesser record than one that was there by K was there by K as well.

use licenseflow_avro::LicenseEvent;

use crate::event_set::RecordedEvent;
use crate::fold::{FoldedLicense, fold_events};

/// The time that is asked about; nothing set: now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// What was so by then, in microseconds UTC.
    pub as_of: Option<i64>,
    /// What was recorded by then, in microseconds UTC.
    pub known_at: Option<i64>,
}

impl Moment {
    /// Whether it is the time of asking itself.
    #[must_use]
    pub fn is_now(&self) -> bool {
        self.as_of.is_none() && self.known_at.is_none()
    }

    /// The time of `status`, which is `now` where nothing else is asked.
    #[must_use]
    pub fn status_at(&self, now: i64) -> i64 {
        self.as_of.or(self.known_at).unwrap_or(now)
    }

    /// The license as its events gave it then; none where there was none of them, voided or not: a
    /// license exists from its first event on.
    #[must_use]
    pub fn fold(&self, events: &[RecordedEvent]) -> Option<FoldedLicense> {
        let mut then = self.among(events).peekable();
        then.peek()?;
        Some(fold_events(then))
    }

    fn among<'a>(
        &self,
        events: &'a [RecordedEvent],
    ) -> impl Iterator<Item = &'a LicenseEvent> + Clone {
        let moment = *self;
        let then = events.iter().filter(move |record| moment.has(record));
        then.map(|record| &record.event)
    }

    fn has(&self, record: &RecordedEvent) -> bool {
        // Kafka's timestamps are milliseconds.
        let recorded_at = record.at.timestamp.saturating_mul(1000);
        self.as_of.is_none_or(|at| record.event.occurred_at <= at)
            && self.known_at.is_none_or(|at| recorded_at <= at)
    }
}
