//! What is tried again, and for how long.
//!
//! Brokers that restart, and instances that fence each other, are over in a moment; whoever asks
//! meanwhile should wait that moment and not be told of it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Why a reading or a write did not come about.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Worth another try: fenced by another instance, or the brokers are away.
    Again(Error),
    /// Trying again would bring the same.
    Final(Error),
}

impl Failure {
    /// Sorts an error of reading by whether it passes.
    pub(crate) fn of_reading(error: Error) -> Failure {
        match error {
            Error::Unavailable(_) => Failure::Again(error),
            other => Failure::Final(other),
        }
    }
}

/// Tries until it comes about, would bring the same again, or the time is over; an attempt that has
/// begun is not cut off.
pub(crate) fn tried<T>(
    within: Duration,
    mut attempt: impl FnMut() -> std::result::Result<T, Failure>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    let mut count = 0;
    loop {
        count += 1;
        match attempt() {
            Ok(done) => return Ok(done),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Again(error)) => {
                let pause = backoff(count);
                if Instant::now() + pause >= deadline {
                    return Err(error);
                }
                tracing::debug!(count, %error, "the registry's log is tried again");
                std::thread::sleep(pause);
            }
        }
    }
}

/// Random, and longer with each attempt: two instances that fence each other in turn must fall out
/// of step for one to get through.
fn backoff(attempt: u32) -> Duration {
    let ceiling_ms = u64::from(attempt.min(10)) * 40;
    let random = RandomState::new().build_hasher().finish();
    Duration::from_millis(5 + random % ceiling_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> Error {
        Error::Unavailable("away".into())
    }

    #[test]
    fn brokers_that_are_back_in_time_are_not_told_of() {
        let mut failures_left = 3;
        let outcome = tried(Duration::from_secs(30), || match failures_left {
            0 => Ok("read"),
            _ => {
                failures_left -= 1;
                Err(Failure::of_reading(away()))
            }
        });
        assert_eq!(Ok("read"), outcome);
    }

    #[test]
    fn brokers_that_stay_away_are_told_of_once_the_time_is_over() {
        let began = Instant::now();
        let mut attempts = 0;
        let outcome: Result<()> = tried(Duration::from_millis(200), || {
            attempts += 1;
            Err(Failure::of_reading(away()))
        });
        assert_eq!(Err(away()), outcome);
        assert!(attempts > 1, "it was not tried again");
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn what_would_be_the_same_again_is_tried_once() {
        let mut attempts = 0;
        let refused = || Error::Store("refused".into());
        let outcome: Result<()> = tried(Duration::from_secs(30), || {
            attempts += 1;
            Err(Failure::of_reading(refused()))
        });
        assert_eq!((Err(refused()), 1), (outcome, attempts));
    }
}
