//! A record as it stands in the log, owned, with its coordinates.

use std::sync::Arc;

use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers};
use rdkafka::{Message, Timestamp};

/// A header: Kafka allows a null value, and the same name twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub value: Option<Vec<u8>>,
}

/// Whose clock a record's timestamp is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The record has none.
    None,
    /// The producer's.
    CreateTime,
    /// The broker's.
    LogAppendTime,
}

/// One record, out of librdkafka's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic, shared by all records of a reading.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Milliseconds since 1970, by whichever clock the topic is set to; none in very old formats.
    pub timestamp_ms: Option<i64>,
    /// Which clock that was.
    pub timestamp_type: TimestampType,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in the record's order.
    pub headers: Vec<Header>,
}

impl Record {
    /// The last header of that name: where a name stands twice the last counts.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self
            .headers
            .iter()
            .rev()
            .find(|header| header.name == name)?;
        found.value.as_deref()
    }

    pub(crate) fn copied_from(topic: &Arc<str>, message: &BorrowedMessage<'_>) -> Record {
        let headers = message.headers().map_or_else(Vec::new, headers_of);
        Record {
            topic: Arc::clone(topic),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            timestamp_type: match message.timestamp() {
                Timestamp::NotAvailable => TimestampType::None,
                Timestamp::CreateTime(_) => TimestampType::CreateTime,
                Timestamp::LogAppendTime(_) => TimestampType::LogAppendTime,
            },
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }
}

/// What stands for the name of a header that is not UTF-8, as Kafka allows it to be.
const UNREADABLE_NAME: &str = "\u{FFFD}";

/// The headers of a message, in their order, doubles and nulls too.
///
/// The Rust client panics at a name that is not UTF-8. Any client may write one, and a record's own
/// fault stops nobody: such a header comes with a name of our own and without its value.
pub fn headers_of(headers: &BorrowedHeaders) -> Vec<Header> {
    (0..headers.count())
        .map(|index| {
            let read = || {
                headers.try_get(index).map(|header| Header {
                    name: header.key.to_owned(),
                    value: header.value.map(<[u8]>::to_vec),
                })
            };
            let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
            read.ok().flatten().unwrap_or_else(|| Header {
                name: UNREADABLE_NAME.to_owned(),
                value: None,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_header_stands_twice_the_last_counts() {
        let header = |value: &[u8]| Header {
            name: "x-request-id".into(),
            value: Some(value.to_vec()),
        };
        let record = Record {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            timestamp_type: TimestampType::None,
            key: None,
            value: None,
            headers: vec![header(b"first"), header(b"last")],
        };
        assert_eq!(Some(b"last".as_slice()), record.header("x-request-id"));
        assert_eq!(None, record.header("traceparent"));
    }
}
