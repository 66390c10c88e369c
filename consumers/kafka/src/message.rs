//! A record out of librdkafka's memory, as it lay in the lane.

use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, Lane, RawRecord};
use licenseflow_runtime::log::{Record, headers_of};
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

/// What stands for the timestamp of record formats that have none; no broker of today writes them.
const NO_TIMESTAMP: i64 = -1;

/// Copies a message. Null and empty stay apart, and headers keep their order, doubles and nulls.
pub(crate) fn raw_record(lane: Lane, message: &BorrowedMessage<'_>) -> RawRecord {
    RawRecord {
        at: Coordinates {
            timestamp: message.timestamp().to_millis().unwrap_or(NO_TIMESTAMP),
            lane,
            partition: message.partition(),
            offset: message.offset(),
        },
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: message
            .headers()
            .map_or_else(Vec::new, |headers| taken(headers_of(headers))),
    }
}

/// A record that was read outside the lanes' consumer, by its coordinates.
pub(crate) fn raw_record_at(at: Coordinates, record: Record) -> RawRecord {
    RawRecord {
        at,
        key: record.key,
        value: record.value,
        headers: taken(record.headers),
    }
}

fn taken(headers: Vec<licenseflow_runtime::log::Header>) -> Vec<Header> {
    let each = headers.into_iter().map(|header| Header {
        name: header.name,
        value: header.value,
    });
    each.collect()
}
