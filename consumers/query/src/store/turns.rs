//! Turns at the store: so many questions at once, and so many that wait for theirs. What is beyond that is
//! refused at once, since an answer that comes after its client has gone helps nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::metrics;

/// How long a question waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(5);

pub(super) struct Turns {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// Who asks for a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    /// A request, which may be refused.
    Request,
    /// Whether the process is well: that is asked most when there is most to do, and is never refused.
    Health,
}

/// Why there was no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many wait as may.
    Crowded,
    /// The turn did not come in time.
    TooLate,
}

impl Refused {
    pub(super) fn name(self) -> &'static str {
        match self {
            Refused::Crowded => "crowded",
            Refused::TooLate => "too_late",
        }
    }
}

impl Turns {
    pub(super) fn new(at_once: usize, waiting_max: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(at_once.max(1))),
            waiting: AtomicUsize::new(0),
            waiting_max,
        }
    }

    /// A turn that is free now.
    pub(super) fn try_take(&self) -> Option<SemaphorePermit<'_>> {
        self.free.try_acquire().ok()
    }

    /// A turn, given back when dropped; waits for it no longer than this.
    pub(super) async fn take(
        &self,
        longest: Duration,
        rank: Rank,
    ) -> Result<OwnedSemaphorePermit, Refused> {
        if let Ok(turn) = Arc::clone(&self.free).try_acquire_owned() {
            metrics::turn_waited(Duration::ZERO);
            return Ok(turn);
        }
        let place = Place::enter(&self.waiting);
        if rank == Rank::Request && place.before >= self.waiting_max {
            return Err(Refused::Crowded);
        }
        let begun = Instant::now();
        let turn = Arc::clone(&self.free).acquire_owned();
        let turn = timeout(longest.min(WAIT_MAX), turn).await;
        metrics::turn_waited(begun.elapsed());
        match turn {
            Ok(Ok(turn)) => Ok(turn),
            // Nobody closes the turns, so both are that it did not come.
            Ok(Err(_)) | Err(_) => Err(Refused::TooLate),
        }
    }

    /// Whether a question would have to wait now.
    pub(super) fn are_taken(&self) -> bool {
        self.free.available_permits() == 0
    }
}

/// A place among those who wait, given up when dropped.
struct Place<'t> {
    waiting: &'t AtomicUsize,
    before: usize,
}

impl<'t> Place<'t> {
    fn enter(waiting: &'t AtomicUsize) -> Self {
        let before = waiting.fetch_add(1, Ordering::AcqRel);
        Self { waiting, before }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn beyond_those_in_turn_and_those_who_wait_everybody_is_refused_at_once() {
        let turns = Arc::new(Turns::new(1, 1));
        let first = turns.take(MINUTE, Rank::Request).await.unwrap();
        assert!(turns.are_taken());
        let second = turns.take(MINUTE, Rank::Request);
        let rest = async {
            let begun = Instant::now();
            let third = turns.take(MINUTE, Rank::Request).await;
            assert_eq!(third.err(), Some(Refused::Crowded));
            assert_eq!(begun.elapsed(), Duration::ZERO);
            // Health waits beside them, and those in front come first.
            let health = turns.take(MINUTE, Rank::Health);
            let (health, ()) = tokio::join!(health, async { drop(first) });
            health.map(drop)
        };
        let (second, health) = tokio::join!(async { second.await.map(drop) }, rest);
        assert_eq!((second, health), (Ok(()), Ok(())));
        assert!(!turns.are_taken());
        drop(turns.take(MINUTE, Rank::Request).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_waited_for_as_long_as_the_request_has_and_five_seconds_at_most() {
        let turns = Turns::new(1, 9);
        let _first = turns.take(MINUTE, Rank::Request).await.unwrap();
        for (longest, expected) in [(MINUTE, WAIT_MAX), (WAIT_MAX / 5, WAIT_MAX / 5)] {
            let begun = Instant::now();
            let refused = turns.take(longest, Rank::Request).await.err();
            assert_eq!(refused, Some(Refused::TooLate));
            assert!(begun.elapsed() >= expected && begun.elapsed() < expected + WAIT_MAX / 10);
        }
    }
}
