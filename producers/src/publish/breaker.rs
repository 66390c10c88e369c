//! Says no at once while the brokers acknowledge nothing: a client that is told so in a millisecond is
//! better off than one that waits for its timeout, and knows for certain that its event is not in the log.
//!
//! Pure: the time comes in. It opens when a record ran out of time and nothing at all was acknowledged
//! since it was handed over, so one partition without a leader does not open it. While it is open, one
//! record a second goes through as a probe; the first acknowledgement closes it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a record goes through while the breaker is open.
const PROBE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    acknowledged_at: Instant,
    /// While it is open: when the last probe went through.
    probed_at: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(now: Instant) -> Self {
        let state = State {
            acknowledged_at: now,
            probed_at: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Whether a record may be sent now.
    pub(super) fn lets_through(&self, now: Instant) -> bool {
        let mut state = self.state();
        match state.probed_at {
            None => true,
            Some(probed_at) if now.duration_since(probed_at) < PROBE_EVERY => false,
            Some(_) => {
                state.probed_at = Some(now);
                true
            }
        }
    }

    pub(super) fn acknowledged(&self, now: Instant) {
        let mut state = self.state();
        state.acknowledged_at = now;
        if state.probed_at.take().is_some() {
            tracing::info!("the brokers acknowledge again");
        }
    }

    /// A record that was handed over then ran out of time now.
    pub(super) fn timed_out(&self, enqueued_at: Instant, now: Instant) {
        let mut state = self.state();
        if state.acknowledged_at >= enqueued_at || state.probed_at.is_some() {
            return;
        }
        state.probed_at = Some(now);
        tracing::error!("the brokers acknowledge nothing: events are refused until they do");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so a state that another thread left is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_opens_when_nothing_was_acknowledged_since_and_lets_a_probe_through_each_second() {
        let start = Instant::now();
        let breaker = Breaker::new(start);
        breaker.timed_out(start + SECOND, start + 16 * SECOND);
        assert!(!breaker.lets_through(start + 16 * SECOND));
        assert!(breaker.lets_through(start + 17 * SECOND));
        assert!(!breaker.lets_through(start + 17 * SECOND));
        breaker.acknowledged(start + 18 * SECOND);
        assert!(breaker.lets_through(start + 18 * SECOND));
    }

    #[test]
    fn one_partition_that_is_away_does_not_open_it() {
        let start = Instant::now();
        let breaker = Breaker::new(start);
        breaker.acknowledged(start + 10 * SECOND);
        breaker.timed_out(start + SECOND, start + 16 * SECOND);
        assert!(breaker.lets_through(start + 16 * SECOND));
    }
}
