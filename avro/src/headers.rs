//! The headers of records: their names, and the request id.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::Header;

/// Follows a request through logs, topics and read models.
pub const REQUEST_ID: &str = "x-request-id";
/// When the intake took the request in, in milliseconds UTC, as text.
pub const RECEIVED_AT: &str = "x-received-at";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// W3C trace context.
pub const TRACESTATE: &str = "tracestate";
/// The topic that a retried or dead-lettered record came from.
pub const ORIGINAL_TOPIC: &str = "x-original-topic";
/// Its partition.
pub const ORIGINAL_PARTITION: &str = "x-original-partition";
/// Its offset.
pub const ORIGINAL_OFFSET: &str = "x-original-offset";
/// Its Kafka timestamp, in milliseconds.
pub const ORIGINAL_TIMESTAMP: &str = "x-original-timestamp";
/// Why; see [`crate::Reason`].
pub const REASON: &str = "x-reason";
/// What was wrong, in words, at most [`MAX_ERROR_BYTES`].
pub const ERROR: &str = "x-error";
/// Which try this is.
pub const ATTEMPT: &str = "x-attempt";
/// When the next try is due, in milliseconds UTC.
pub const DUE: &str = "x-due";

/// The longest `x-error`, in bytes.
pub const MAX_ERROR_BYTES: usize = 1024;

/// How often a record was tried, as its own header says; 0 without one.
#[must_use]
pub fn attempt(headers: &[Header]) -> u32 {
    text(headers, ATTEMPT)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The last value of a header that is text; where a name stands twice the last counts.
#[must_use]
pub fn text<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    let header = headers.iter().rev().find(|header| header.name == name)?;
    std::str::from_utf8(header.value.as_deref()?).ok()
}

/// The id of a request: 1–128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Takes a text that is one; none otherwise.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits =
            (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
