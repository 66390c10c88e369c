//! Back into the lanes: records that were given up on are read from there, and published there again.
//!
//! It owns the headers that a redriven record has beside its own. It must not know which records are redriven,
//! nor when one counts as such.

use std::time::{Duration, Instant};

use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, RawRecord, Reason, Topics, headers};
use licenseflow_runtime::log::KafkaSettings;

use crate::Result;
use crate::lane_reader::LaneReader;
use crate::letter::{self, Delivery, Originals};
use crate::letter_producer::{Outgoing, Producing};

/// What librdkafka may hold of records that are read from the lanes at once.
const READ_BYTES_MAX: usize = 8 << 20;

/// A record that is published again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redriven {
    /// As it lies in its lane, with its value.
    pub record: RawRecord,
    /// Why it was given up on.
    pub reason: Reason,
    /// Which try this is, the first being 1.
    pub attempt: u32,
}

/// Reads records from their lanes, and publishes them there again.
pub struct KafkaLanes {
    lanes: LaneReader,
    producing: Producing,
}

impl KafkaLanes {
    /// Makes the clients; no broker is asked yet.
    ///
    /// # Errors
    /// The settings', or from librdkafka.
    pub fn new(settings: &KafkaSettings, topics: &Topics) -> Result<Self> {
        let settings = settings.named(format!("{}-redrive", settings.client_id));
        Ok(Self {
            producing: Producing::start(&settings)?,
            lanes: LaneReader {
                settings,
                topics: topics.clone(),
            },
        })
    }

    /// The records at these coordinates, as far as they are still there and there was room for them. Blocks.
    ///
    /// # Errors
    /// The brokers are away.
    pub fn originals(&self, at: &[Coordinates]) -> Result<Originals> {
        self.lanes.originals(at, READ_BYTES_MAX)
    }

    /// Publishes records into the partitions that they came from, and waits until the brokers have answered
    /// for all of them, `within` at most. Gives what became of each, in their order. Blocks.
    ///
    /// # Errors
    /// None was sent.
    pub fn publish(&mut self, records: &[Redriven], within: Duration) -> Result<Vec<Delivery>> {
        let topics = &self.lanes.topics;
        let until = Instant::now() + within;
        self.producing.send(records, until, |redriven| {
            let RawRecord { at, key, value, .. } = &redriven.record;
            Outgoing {
                topic: topics.lane(at.lane),
                partition: at.partition,
                key: key.as_deref(),
                value: value.as_deref(),
                headers: headers_in_lane(
                    &redriven.record,
                    redriven.reason,
                    redriven.attempt,
                    topics,
                ),
            }
        })
    }
}

/// All headers of a record that is published into its lane again: its own in their order, of which those that
/// name its first place stay, and ours.
pub(crate) fn headers_in_lane(
    record: &RawRecord,
    reason: Reason,
    attempt: u32,
    topics: &Topics,
) -> Vec<Header> {
    let RawRecord {
        at, headers: own, ..
    } = record;
    let text = |name: &str, value: &str| letter::bytes(name, value.as_bytes());
    let replaced = [
        headers::REASON,
        headers::ATTEMPT,
        headers::ERROR,
        headers::DUE,
    ];
    let kept = own
        .iter()
        .filter(|one| !replaced.contains(&one.name.as_str()));
    let mut all: Vec<Header> = kept.cloned().collect();
    if headers::text(own, headers::ORIGINAL_TOPIC).is_none() {
        all.extend([
            text(headers::ORIGINAL_TOPIC, &topics.lane(at.lane)),
            text(headers::ORIGINAL_PARTITION, &at.partition.to_string()),
            text(headers::ORIGINAL_OFFSET, &at.offset.to_string()),
            text(headers::ORIGINAL_TIMESTAMP, &at.timestamp.to_string()),
        ]);
    }
    all.extend([
        text(headers::REASON, reason.name()),
        text(headers::ATTEMPT, &attempt.to_string()),
    ]);
    all
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::Lane;

    use super::*;

    fn redriven(own: &[(&str, &str)], attempt: u32) -> Redriven {
        let header = |(name, value): &(&str, &str)| Header {
            name: (*name).to_owned(),
            value: Some(value.as_bytes().to_vec()),
        };
        Redriven {
            record: RawRecord {
                at: Coordinates {
                    timestamp: 5,
                    lane: Lane::Bulk,
                    partition: 3,
                    offset: 7,
                },
                key: None,
                value: None,
                headers: own.iter().map(header).collect(),
            },
            reason: Reason::UnknownSchema,
            attempt,
        }
    }

    fn shown(redriven: &Redriven) -> Vec<(String, String)> {
        let Redriven {
            record,
            reason,
            attempt,
        } = redriven;
        let all = headers_in_lane(record, *reason, *attempt, &Topics::new("p."));
        let text = |it: Header| String::from_utf8(it.value.unwrap()).unwrap();
        all.into_iter()
            .map(|it| (it.name.clone(), text(it)))
            .collect()
    }

    #[test]
    fn a_redriven_record_keeps_its_headers_and_says_where_it_first_lay_and_which_try_this_is() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let first = shown(&redriven(&[("x-request-id", "r"), ("x-attempt", "old")], 1));
        let expected = [
            pair("x-request-id", "r"),
            pair("x-original-topic", "p.license.events.bulk.v1"),
            pair("x-original-partition", "3"),
            pair("x-original-offset", "7"),
            pair("x-original-timestamp", "5"),
            pair("x-reason", "unknown_schema"),
            pair("x-attempt", "1"),
        ];
        assert_eq!(first, expected);
        // Rejected again it lies elsewhere, and still says where it lay first.
        let own: Vec<(&str, &str)> = first.iter().map(|(a, b)| (&**a, &**b)).collect();
        let again = shown(&redriven(&own, 2));
        assert_eq!(again[..6], expected[..6]);
        assert_eq!(again[6..], [pair("x-attempt", "2")]);
    }
}
