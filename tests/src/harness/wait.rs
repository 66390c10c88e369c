//! Waiting on a condition with a deadline: the only way a test may wait.

use std::time::{Duration, Instant};

use anyhow::bail;

const PAUSE: Duration = Duration::from_millis(20);

/// Asks until there is an answer.
///
/// # Errors
/// Where there was none before the deadline; `what` says what was waited for.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if begun.elapsed() > deadline {
            bail!("waited {deadline:?} in vain: {what}");
        }
        std::thread::sleep(PAUSE);
    }
}

/// Asks until it is so.
///
/// # Errors
/// Where it was not so before the deadline.
pub fn wait_until(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> bool,
) -> anyhow::Result<()> {
    wait_for(what, deadline, || condition().then_some(()))
}

/// As [`wait_for`], for a question that is itself asynchronous.
///
/// # Errors
/// Where there was no answer before the deadline.
pub async fn wait_for_async<T>(
    what: &str,
    deadline: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        if begun.elapsed() > deadline {
            bail!("waited {deadline:?} in vain: {what}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_in_vain_says_for_what() {
        let error = wait_until("the moon", Duration::from_millis(30), || false).unwrap_err();
        assert!(error.to_string().contains("the moon"), "{error}");
    }

    #[test]
    fn the_first_answer_is_taken() {
        let mut asked = 0;
        let answer = wait_for("three", Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(answer.unwrap(), 3);
    }
}
