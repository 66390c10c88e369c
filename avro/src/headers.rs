//! The headers of records: their names, and the request id.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::position::{Offset, PartitionId};
use crate::record::{Coordinates, Header};
use crate::topics::Topics;

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

/// The offset at which a record that is tried again lay first, as its headers say it: a try is published into
/// the partition of the first. None where they say nothing of the kind.
#[must_use]
pub fn first_offset(at: &Coordinates, headers: &[Header]) -> Option<Offset> {
    let offset: Offset = text(headers, ORIGINAL_OFFSET)?.parse().ok()?;
    let partition: PartitionId = text(headers, ORIGINAL_PARTITION)?.parse().ok()?;
    // Whoever reads a lane knows its prefix; the name behind it tells the lanes apart.
    let topic = text(headers, ORIGINAL_TOPIC)?;
    let is_of_its_lane = topic.ends_with(&Topics::new("").lane(at.lane));
    let is_before = (0..at.offset).contains(&offset);
    (is_of_its_lane && partition == at.partition && is_before).then_some(offset)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::Lane;

    fn first(topic: &str, partition: &str, offset: &str) -> Option<Offset> {
        let at = Coordinates {
            timestamp: 0,
            lane: Lane::Bulk,
            partition: 3,
            offset: 9,
        };
        let header = |name: &str, value: &str| Header {
            name: name.to_owned(),
            value: Some(value.as_bytes().to_vec()),
        };
        let headers = [
            header(ORIGINAL_TOPIC, topic),
            header(ORIGINAL_PARTITION, partition),
            header(ORIGINAL_OFFSET, offset),
        ];
        first_offset(&at, &headers)
    }

    #[test]
    fn a_try_says_an_earlier_place_in_its_own_partition_or_none() {
        let topic = Topics::new("p.").lane(Lane::Bulk);
        assert_eq!(first(&topic, "3", "8"), Some(8));
        for (partition, offset) in [("2", "8"), ("3", "9"), ("3", "-1"), ("3", "x")] {
            assert_eq!(
                first(&topic, partition, offset),
                None,
                "{partition} {offset}"
            );
        }
        let other_lane = Topics::new("p.").lane(Lane::Interactive);
        assert_eq!(first(&other_lane, "3", "8"), None);
    }
}
