//! The time of asking, which decides `status` and lag; passed in, so that a test can set it.

use std::sync::Arc;

use jiff::Timestamp;

/// Gives the time in microseconds UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's own clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(now)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the query API reads the time here and nowhere else"
)]
fn now() -> i64 {
    Timestamp::now().as_microsecond()
}
