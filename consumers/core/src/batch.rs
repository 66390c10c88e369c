//! A batch: what was read from the log since the last one, grouped by license.
//!
//! It shrinks the work: fifty thousand events on nine thousand licenses are nine thousand rows.
//! It may span partitions, and carries for each the span of offsets that it deals with.

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::sync::Arc;

use hashbrown::hash_map::EntryRef;
use hashbrown::{Equivalent, HashMap};
use licenseflow_avro::event::{Payload, Said};
use licenseflow_avro::headers::{self, RequestId};
use licenseflow_avro::reason::Fault;
use licenseflow_avro::record::Header;
use licenseflow_avro::{
    Coordinates, Lane, LicenseEvent, LicenseKey, Offset, PartitionId, RawRecord, Reason, codec,
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::event_set::RecordedEvent;

mod packed;

use packed::Packed;
pub use packed::PackedBatch;

/// The offsets of one partition that a batch deals with: `from` is what the store must stand at,
/// `to` is where it stands afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to read before the batch.
    pub from: Offset,
    /// The next offset to read after it; transaction markers and aborted records are passed too.
    pub to: Offset,
    /// The greatest record timestamp in it, in milliseconds UTC, if it has any record.
    pub last_timestamp: Option<i64>,
}

/// What a batch has for one license.
#[derive(Debug, Clone, Default)]
pub struct LicenseBatch {
    /// Its events, in the order of arrival, which decides nothing.
    pub arrived: Vec<RecordedEvent>,
    /// For each device the greatest `occurred_at` of its heartbeats.
    pub heartbeats: BTreeMap<String, i64>,
}

impl LicenseBatch {
    /// The event ids whose past the fold must know: those that arrived, and those that are voided.
    pub fn event_ids(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.arrived.iter().flat_map(|record| {
            let voided = match &record.event.payload {
                Payload::EventVoided(void) => Some(void.voided_event_id),
                _ => None,
            };
            std::iter::once(record.event.event_id).chain(voided)
        })
    }
}

/// A record that goes to the dead-letter topic for its own fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// As it lay in the lane; without its value where that is too large.
    pub record: RawRecord,
    /// Why.
    pub fault: Fault,
}

/// A record that cannot be judged yet and may be a moment later. It waits beside the log: nothing behind it
/// waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// As it lies in the lane.
    pub record: RawRecord,
    /// Why it waits.
    pub fault: Fault,
    /// How long it waits before its next try, in milliseconds.
    pub wait_ms: i64,
    /// Whether it may be one more that waits. Where it may not, it waits only as another try of one that does,
    /// which the store alone knows: it is rejected for its fault otherwise.
    pub may_begin: bool,
}

impl Waiting {
    /// It does not wait.
    #[must_use]
    pub fn given_up(&self) -> Rejected {
        Rejected {
            record: self.record.clone(),
            fault: self.fault.clone(),
        }
    }
}

/// That a record says it is another try of one that was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// Where the try lies.
    pub at: Coordinates,
    /// Where the first lay, in the same partition.
    pub first: Offset,
    /// Which try it is, the first being 1.
    pub attempt: u32,
    /// Tells its key and value from others': see [`record_hash`].
    pub content: [u8; 32],
}

impl Try {
    /// What the record's headers say, which anybody can write: whoever acts on it compares the content.
    #[must_use]
    pub fn of(record: &RawRecord) -> Option<Self> {
        Some(Self {
            at: record.at,
            first: headers::first_offset(&record.at, &record.headers)?,
            attempt: attempt(record),
            content: record_hash(record),
        })
    }
}

/// Which try of a record this is, as its headers say it, the first being 1.
#[must_use]
pub fn attempt(record: &RawRecord) -> u32 {
    headers::attempt(&record.headers).saturating_add(1)
}

/// SHA-256 of a record's key and value: nobody can make a record that passes for another's try.
#[must_use]
pub fn record_hash(record: &RawRecord) -> [u8; 32] {
    let mut hash = Sha256::new();
    for bytes in [&record.key, &record.value] {
        // What is null is not what is empty.
        hash.update(
            bytes
                .as_ref()
                .map_or(-1, |it| it.len() as i64)
                .to_le_bytes(),
        );
        hash.update(bytes.as_deref().unwrap_or_default());
    }
    hash.finalize().into()
}

/// What the journey of a request keeps of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JourneyEntry {
    /// Where the record lies, and when the broker took it in.
    pub at: Coordinates,
    /// The request; none: it is known by its coordinates.
    pub request_id: Option<RequestId>,
    /// When the intake took the request in, in milliseconds UTC, where it said so.
    pub received_at: Option<i64>,
    /// What the record says, if it says an event.
    pub said: Option<Said>,
    /// [`content_hash`] of the event; 0 for a heartbeat, and for a record that was rejected.
    pub content: u64,
}

/// Tells the contents of records of one event id apart, for their journeys.
#[must_use]
pub fn content_hash(content: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(content)
}

/// What a record's headers say of its request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The request; none where the header is missing or is no request id.
    pub request_id: Option<RequestId>,
    /// When the intake took it in, in milliseconds UTC.
    pub received_at: Option<i64>,
}

impl Envelope {
    /// Reads the headers.
    #[must_use]
    pub fn of(record_headers: &[Header]) -> Self {
        Self {
            request_id: headers::text(record_headers, headers::REQUEST_ID)
                .and_then(RequestId::parse),
            received_at: headers::text(record_headers, headers::RECEIVED_AT)
                .and_then(|text| text.parse().ok()),
        }
    }
}

/// A license's key while it lies in an event.
#[derive(Hash)]
struct Named<'a> {
    // In the order of LicenseKey's, since both must hash alike.
    tenant_id: &'a str,
    license_id: &'a str,
}

impl Equivalent<Arc<LicenseKey>> for Named<'_> {
    fn equivalent(&self, key: &Arc<LicenseKey>) -> bool {
        self.license_id == key.license_id && self.tenant_id == key.tenant_id
    }
}

impl Named<'_> {
    fn to_key(&self) -> Arc<LicenseKey> {
        Arc::new(LicenseKey {
            tenant_id: self.tenant_id.to_owned(),
            license_id: self.license_id.to_owned(),
        })
    }
}

/// What was read from the log since the last batch.
#[derive(Debug, Default)]
pub struct Batch {
    /// For each partition the offsets that it deals with.
    pub spans: BTreeMap<(Lane, PartitionId), Span>,
    /// The events and heartbeats, by license.
    pub licenses: HashMap<Arc<LicenseKey>, PackedBatch, RandomState>,
    /// What goes to the dead-letter topic.
    pub rejected: Vec<Rejected>,
    /// What waits for another try.
    pub waiting: Vec<Waiting>,
    /// Accepted records that say they are another try of one that waits.
    pub retried: Vec<Try>,
    /// What the journeys keep.
    pub journey: Vec<JourneyEntry>,
    /// How many records it deals with.
    pub records: usize,
    /// How many bytes it holds, about.
    pub bytes: usize,
    /// Where contents are written before their size is known.
    content: Vec<u8>,
}

/// What an event costs in memory beside its content, about: its ids, its journey, its request's id,
/// and its share of the license's place in the map.
const EVENT_OVERHEAD_BYTES: usize = 320;

/// What a rejected record costs in memory beside its own bytes, about.
const RECORD_OVERHEAD_BYTES: usize = 400;

impl Batch {
    /// Takes an accepted record.
    pub fn accept(&mut self, at: Coordinates, envelope: Envelope, event: &LicenseEvent) {
        self.records += 1;
        self.bytes += EVENT_OVERHEAD_BYTES;
        let named = Named {
            tenant_id: &event.tenant_id,
            license_id: &event.license_id,
        };
        // Most licenses are there already: their key is not made again.
        let (license, of_license) = match self.licenses.entry_ref(&named) {
            EntryRef::Occupied(known) => known.into_entry(),
            EntryRef::Vacant(new) => new
                .insert_entry_with_key(named.to_key(), PackedBatch::default())
                .into_entry(),
        };
        let mut entry = JourneyEntry {
            at,
            request_id: envelope.request_id.clone(),
            received_at: envelope.received_at,
            said: Some(Said {
                license: license.clone(),
                event_id: event.event_id,
                kind: event.payload.kind(),
            }),
            content: 0,
        };
        if let Payload::DeviceHeartbeat(beat) = &event.payload {
            of_license.beat(beat.device_id.clone(), event.occurred_at);
            self.journey.push(entry);
            return;
        }
        self.content.clear();
        codec::write_content(&mut self.content, event);
        self.bytes += self.content.len();
        of_license.push(Packed {
            at,
            request_id: envelope.request_id,
            event_id: event.event_id,
            content: self.content.as_slice().into(),
        });
        entry.content = content_hash(&self.content);
        self.journey.push(entry);
    }

    /// Takes a record that is rejected for its own fault. A value that is too large stays in the
    /// lane: neither the store nor the dead-letter topic takes it.
    pub fn reject(&mut self, mut record: RawRecord, fault: Fault) {
        if fault.reason == Reason::TooLarge {
            record.value = None;
        }
        self.note(&record, &fault);
        self.rejected.push(Rejected { record, fault });
    }

    /// Takes a record that waits for another try.
    pub fn wait(&mut self, waiting: Waiting) {
        self.note(&waiting.record, &waiting.fault);
        self.waiting.push(waiting);
    }

    /// Counts a record that gave no event, and keeps what its journey shows.
    fn note(&mut self, record: &RawRecord, fault: &Fault) {
        self.records += 1;
        self.bytes += record.size() + RECORD_OVERHEAD_BYTES;
        let envelope = Envelope::of(&record.headers);
        self.journey.push(JourneyEntry {
            at: record.at,
            request_id: envelope.request_id,
            received_at: envelope.received_at,
            said: fault.said.as_deref().cloned(),
            content: 0,
        });
    }

    /// Notes that the batch deals with a partition's offsets up to `to`; `from` is where the
    /// partition stood when it was first named.
    pub fn advance(&mut self, lane: Lane, partition: PartitionId, from: Offset, to: Offset) {
        let span = self.spans.entry((lane, partition)).or_insert(Span {
            lane,
            partition,
            from,
            to,
            last_timestamp: None,
        });
        span.to = span.to.max(to);
    }

    /// Notes the timestamp of a record of a partition that [`Batch::advance`] has named.
    pub fn note_timestamp(&mut self, lane: Lane, partition: PartitionId, timestamp: i64) {
        if let Some(span) = self.spans.get_mut(&(lane, partition)) {
            span.last_timestamp = span.last_timestamp.max(Some(timestamp));
        }
    }

    /// Whether there is nothing to apply, not even a position that moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.spans.values().all(|span| span.from == span.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_too_large_stays_in_the_lane() {
        let record = RawRecord {
            at: Coordinates {
                timestamp: 1,
                lane: Lane::Bulk,
                partition: 0,
                offset: 0,
            },
            key: Some(vec![1]),
            value: Some(vec![0; 3000]),
            headers: Vec::new(),
        };
        let mut batch = Batch::default();
        batch.reject(record.clone(), Fault::new(Reason::TooLarge, "3 MiB"));
        batch.reject(record, Fault::new(Reason::BadAvro, "no"));
        let values: Vec<_> = batch
            .rejected
            .iter()
            .map(|it| it.record.value.is_some())
            .collect();
        assert_eq!(values, [false, true]);
    }
}
