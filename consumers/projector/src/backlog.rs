//! What was read and is not written: how much of it there may be, and what is said of it.
//!
//! It owns the two marks. At the high one nothing more is taken; what waited is taken up again at the low one,
//! so that a slow store does not have partitions left and taken up with each batch. Everything that waits is
//! either in the batch that grows or in the one that the store is at.

use std::time::{Duration, Instant};

use crate::metrics::Gauges;

/// How often the numbers are told.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many bytes may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Nothing more is taken where so much waits.
    pub high_bytes: usize,
    /// It is taken up again where no more than this waits.
    pub low_bytes: usize,
}

impl Marks {
    /// The marks as percents of what two full batches hold.
    #[must_use]
    pub fn of(batch_bytes_max: usize, high_percent: u32, low_percent: u32) -> Self {
        let of_both = |percent: u32| {
            let bytes = batch_bytes_max as u128 * 2 * u128::from(percent) / 100;
            usize::try_from(bytes).unwrap_or(usize::MAX)
        };
        Self {
            high_bytes: of_both(high_percent),
            low_bytes: of_both(low_percent),
        }
    }
}

/// Past what an operator is told; none: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertsAt {
    /// How long a partition of the interactive lane may be behind.
    pub lag: Option<Duration>,
    /// How old what was read may become before it is applied.
    pub waiting: Option<Duration>,
}

impl Default for AlertsAt {
    fn default() -> Self {
        Self {
            lag: Some(Duration::from_secs(60)),
            waiting: Some(Duration::from_secs(30)),
        }
    }
}

/// Something that an operator is told of once, when it begins and when it ends.
#[derive(Debug)]
struct Alert {
    name: &'static str,
    what: &'static str,
    at: Option<Duration>,
    is_over: bool,
}

impl Alert {
    /// Whether this changed.
    fn look(&mut self, value: Duration) -> bool {
        let is_over = self.at.is_some_and(|at| value > at);
        std::mem::replace(&mut self.is_over, is_over) != is_over
    }

    fn tell(&mut self, value: Duration, gauges: &Gauges) {
        if !self.look(value) {
            return;
        }
        gauges.alert(self.name, self.is_over);
        let (alert, threshold) = (self.name, self.at);
        if self.is_over {
            tracing::warn!(alert, ?value, ?threshold, "alert: {}", self.what);
        } else {
            tracing::info!(alert, ?value, "the alert is over");
        }
    }
}

/// What waits.
#[derive(Debug)]
pub(crate) struct Backlog {
    marks: Marks,
    /// Records and bytes that the store is at.
    writing: (usize, usize),
    lag: Alert,
    waiting: Alert,
    told: Option<Instant>,
}

impl Backlog {
    pub(crate) fn new(marks: Marks, alerts: AlertsAt) -> Self {
        Self {
            marks,
            writing: (0, 0),
            lag: Alert {
                name: "lag",
                what: "a partition of the interactive lane is behind for longer than it may be",
                at: alerts.lag,
                is_over: false,
            },
            waiting: Alert {
                name: "waiting",
                what: "what was read waits for the store for longer than it may",
                at: alerts.waiting,
                is_over: false,
            },
            told: None,
        }
    }

    pub(crate) fn handed_over(&mut self, records: usize, bytes: usize) {
        self.writing = (records, bytes);
    }

    /// The store is at nothing: all of it was written, or was dropped.
    pub(crate) fn is_written(&mut self) {
        self.writing = (0, 0);
    }

    /// Whether no more may be taken beside the bytes that the growing batch holds.
    pub(crate) fn is_high(&self, growing_bytes: usize) -> bool {
        growing_bytes > 0 && self.writing.1 + growing_bytes >= self.marks.high_bytes
    }

    /// Whether what was left may be taken up, where nothing grows.
    pub(crate) fn is_low(&self) -> bool {
        self.writing.1 <= self.marks.low_bytes
    }

    /// Whether it is time to tell.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= INTERVAL);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }

    /// Tells what waits beside the records and bytes that the growing batch holds, how old the oldest is, and
    /// how long the interactive lane is behind.
    pub(crate) fn tell(
        &mut self,
        gauges: &Gauges,
        growing: (usize, usize),
        oldest: Duration,
        behind: Duration,
    ) {
        let (records, bytes) = self.writing;
        gauges.waiting(records + growing.0, bytes + growing.1);
        self.waiting.tell(oldest, gauges);
        self.lag.tell(behind, gauges);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn nothing_more_is_taken_from_the_high_mark_on_until_the_low_one() {
        let mut backlog = Backlog::new(Marks::of(100, 80, 30), AlertsAt::default());
        assert!(!backlog.is_high(0) && !backlog.is_high(100) && backlog.is_low());
        backlog.handed_over(5, 70);
        assert!(!backlog.is_high(89) && backlog.is_high(90));
        assert!(!backlog.is_low());
        backlog.handed_over(5, 60);
        assert!(backlog.is_low());
        backlog.is_written();
        assert!(backlog.is_low() && !backlog.is_high(100));
    }

    #[test]
    fn one_record_that_is_over_the_marks_is_taken_all_the_same() {
        let backlog = Backlog::new(Marks::of(0, 100, 50), AlertsAt::default());
        assert!(!backlog.is_high(0) && backlog.is_high(1));
    }

    #[test]
    fn an_alert_is_told_when_it_begins_and_when_it_ends() {
        let mut alert = Backlog::new(Marks::of(1, 100, 50), AlertsAt::default()).waiting;
        let told: Vec<bool> = [30, 31, 40, 29, 30].map(|age| alert.look(age * S)).into();
        assert_eq!(told, [false, true, false, true, false]);
        alert.at = None;
        assert!(!alert.look(1000 * S));
    }
}
