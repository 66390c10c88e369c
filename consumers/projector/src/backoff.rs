//! How long to wait before asking again: 1, 2, 4 … seconds with jitter, up to a cap.

use std::time::Duration;

/// The first wait and the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// No wait is longer.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            cap: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The wait after that many failures in a row, counted from 1; `luck` in `[0, 1)` takes up to a
    /// quarter off, so that copies of the projector do not come back in step.
    #[must_use]
    pub fn wait(self, failures: u32, luck: f64) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1).min(16));
        let whole = self.first.saturating_mul(doubled).min(self.cap);
        whole.mul_f64(1.0 - 0.25 * luck.clamp(0.0, 1.0))
    }

    /// The same, with luck drawn.
    #[must_use]
    pub fn drawn(self, failures: u32) -> Duration {
        self.wait(failures, rand::random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_only_shortens_them() {
        let backoff = Backoff::default();
        let seconds = |failures| backoff.wait(failures, 0.0).as_secs();
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 60].map(seconds),
            [1, 2, 4, 8, 16, 30, 30]
        );
        assert_eq!(backoff.wait(2, 1.0), Duration::from_millis(1500));
    }
}
