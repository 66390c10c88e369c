//! What a batch has for one license while it waits to be folded, in memory and as bytes.
//!
//! How many events there is room for decides how much work a batch saves, so they are as small as they can be.
//! The bytes are read by the process that wrote them or by the next one on the same store, never by another
//! release.

use std::collections::BTreeMap;

use licenseflow_avro::headers::RequestId;
use licenseflow_avro::reason::Fault;
use licenseflow_avro::{Coordinates, Lane, LicenseKey, codec};
use uuid::Uuid;

use super::LicenseBatch;
use crate::event_set::RecordedEvent;

/// An event that waits to be folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) at: Coordinates,
    pub(super) request_id: Option<RequestId>,
    pub(super) event_id: Uuid,
    /// What [`codec::write_content`] writes.
    pub(super) content: Box<[u8]>,
}

/// What a batch has for one license, while it grows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedBatch {
    arrived: Vec<Packed>,
    heartbeats: BTreeMap<String, i64>,
}

/// The length that stands for a text that is not there.
const NO_TEXT: u32 = u32::MAX;

impl PackedBatch {
    /// How many events it has, heartbeats aside.
    #[must_use]
    pub fn events(&self) -> usize {
        self.arrived.len()
    }

    /// The events themselves.
    ///
    /// # Errors
    /// None but by a mistake of ours: the bytes were written from an event.
    pub fn unpack(self, license: &LicenseKey) -> Result<LicenseBatch, Fault> {
        let events = self.arrived.into_iter().map(|packed| {
            Ok(RecordedEvent {
                event: codec::decode_content(license, packed.event_id, &packed.content)?,
                at: packed.at,
                request_id: packed.request_id,
            })
        });
        Ok(LicenseBatch {
            arrived: events.collect::<Result<_, Fault>>()?,
            heartbeats: self.heartbeats,
        })
    }

    /// Takes an event.
    pub(super) fn push(&mut self, event: Packed) {
        if self.arrived.len() == self.arrived.capacity() {
            // A new vector would take room for four, and many licenses have one event in a batch.
            self.arrived.reserve_exact(self.arrived.len().max(1));
        }
        self.arrived.push(event);
    }

    /// Takes a heartbeat of a device, of which the greatest counts.
    pub(super) fn beat(&mut self, device_id: String, occurred_at: i64) {
        let seen = self.heartbeats.entry(device_id).or_insert(occurred_at);
        *seen = (*seen).max(occurred_at);
    }

    /// Appends it as bytes, numbers in little-endian order and texts behind their lengths.
    pub fn write(&self, to: &mut Vec<u8>) {
        put_length(to, self.arrived.len());
        for event in &self.arrived {
            let Coordinates {
                timestamp,
                lane,
                partition,
                offset,
            } = event.at;
            to.extend_from_slice(&timestamp.to_le_bytes());
            to.push(match lane {
                Lane::Bulk => 0,
                Lane::Interactive => 1,
            });
            to.extend_from_slice(&partition.to_le_bytes());
            to.extend_from_slice(&offset.to_le_bytes());
            to.extend_from_slice(event.event_id.as_bytes());
            match &event.request_id {
                Some(request_id) => put_bytes(to, request_id.as_str().as_bytes()),
                None => to.extend_from_slice(&NO_TEXT.to_le_bytes()),
            }
            put_bytes(to, &event.content);
        }
        put_length(to, self.heartbeats.len());
        for (device_id, seen) in &self.heartbeats {
            put_bytes(to, device_id.as_bytes());
            to.extend_from_slice(&seen.to_le_bytes());
        }
    }

    /// Adds what [`PackedBatch::write`] has written; none: these bytes are not that.
    #[must_use]
    pub fn read(&mut self, mut bytes: &[u8]) -> Option<()> {
        let from = &mut bytes;
        for _ in 0..take_length(from)? {
            let at = Coordinates {
                timestamp: i64::from_le_bytes(*take(from)?),
                lane: match take::<1>(from)? {
                    [0] => Lane::Bulk,
                    [1] => Lane::Interactive,
                    [_] => return None,
                },
                partition: i32::from_le_bytes(*take(from)?),
                offset: i64::from_le_bytes(*take(from)?),
            };
            let event_id = Uuid::from_bytes(*take(from)?);
            let request_id = match u32::from_le_bytes(*take(from)?) {
                NO_TEXT => None,
                length => Some(RequestId::parse(text(take_bytes(from, length)?)?)?),
            };
            let length = take_length(from)?;
            self.push(Packed {
                at,
                request_id,
                event_id,
                content: take_bytes(from, length)?.into(),
            });
        }
        for _ in 0..take_length(from)? {
            let length = take_length(from)?;
            let device_id = text(take_bytes(from, length)?)?.to_owned();
            self.beat(device_id, i64::from_le_bytes(*take(from)?));
        }
        from.is_empty().then_some(())
    }
}

fn put_length(to: &mut Vec<u8>, length: usize) {
    to.extend_from_slice(&(length as u32).to_le_bytes());
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_length(to, bytes.len());
    to.extend_from_slice(bytes);
}

fn take<'b, const LENGTH: usize>(from: &mut &'b [u8]) -> Option<&'b [u8; LENGTH]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(taken)
}

fn take_length(from: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(*take(from)?))
}

fn take_bytes<'b>(from: &mut &'b [u8], length: u32) -> Option<&'b [u8]> {
    let (taken, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
    *from = rest;
    Some(taken)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(offset: i64, request_id: Option<&str>) -> Packed {
        Packed {
            at: Coordinates {
                timestamp: 1_700_000_000_000 + offset,
                lane: Lane::Interactive,
                partition: 7,
                offset,
            },
            request_id: request_id.and_then(RequestId::parse),
            event_id: Uuid::from_u128(offset as u128),
            content: vec![offset as u8; 3].into(),
        }
    }

    #[test]
    fn what_was_written_is_added_to_what_is_there() {
        let (mut one, mut other, mut both) = (
            PackedBatch::default(),
            PackedBatch::default(),
            PackedBatch::default(),
        );
        one.push(event(1, Some("r-1")));
        one.push(event(2, None));
        one.beat("d".to_owned(), 5);
        other.push(event(3, None));
        other.beat("d".to_owned(), 4);
        other.beat("e".to_owned(), 9);
        for of in [&one, &other] {
            let mut bytes = Vec::new();
            of.write(&mut bytes);
            both.read(&bytes).unwrap();
        }
        let mut expected = one;
        expected.push(event(3, None));
        expected.beat("e".to_owned(), 9);
        assert_eq!(both, expected);
    }

    #[test]
    fn bytes_that_are_cut_or_too_long_are_none() {
        let mut batch = PackedBatch::default();
        batch.push(event(1, Some("r-1")));
        batch.beat("d".to_owned(), 5);
        let mut bytes = Vec::new();
        batch.write(&mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(PackedBatch::default().read(&bytes[..cut]), None, "{cut}");
        }
        bytes.push(0);
        assert_eq!(PackedBatch::default().read(&bytes), None);
    }
}
