//! A record as it lies in a topic, before anyone has judged it.

use crate::position::{Offset, PartitionId};
use crate::topics::Lane;

/// Where a record lies, and when the broker took it in.
///
/// The order is the contract's: the least of several records with one event id *is* the event. The
/// lanes are declared in the order of their topics' names by bytes, whatever the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Coordinates {
    /// Kafka's timestamp, in milliseconds UTC.
    pub timestamp: i64,
    /// Which lane's topic.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
}

/// One header; Kafka allows a name more than once, and null values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Option<Vec<u8>>,
}

/// A record as it lies in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Where it lies.
    pub at: Coordinates,
    /// Null, or the bytes.
    pub key: Option<Vec<u8>>,
    /// Null, or the bytes.
    pub value: Option<Vec<u8>>,
    /// In their order.
    pub headers: Vec<Header>,
}

impl RawRecord {
    /// The bytes that this record holds in memory, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Vec::len)
            + self.value.as_ref().map_or(0, Vec::len)
            + headers_size(&self.headers)
            + self.headers.len() * size_of::<Header>() * 2
    }
}

/// The bytes of names and values together.
#[must_use]
pub fn headers_size(headers: &[Header]) -> usize {
    headers
        .iter()
        .map(|header| header.name.len() + header.value.as_ref().map_or(0, Vec::len))
        .sum()
}
