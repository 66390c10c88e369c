//! The one place of this crate that asks the time.

use jiff::Timestamp;

/// Now, in microseconds since 1970 in UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "the intake says when it took an event in; everything below gets the time passed in"
)]
pub(crate) fn now_micros() -> i64 {
    Timestamp::now().as_microsecond()
}
