//! Journeys: what is kept of each record for the one who asks after its request.
//!
//! Records of one request in one batch lie in one row, since a request of ten thousand events must
//! not be ten thousand rows. A record without a request id is known by its coordinates: such
//! records lie together by runs of 1024 offsets.

use licenseflow_avro::headers::RequestId;
use licenseflow_avro::{Coordinates, EventKind, Lane, Offset, PartitionId};
use licenseflow_core::batch::JourneyEntry;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Error;
use crate::columns::{lane_number, lane_of_number};

/// The most entries that a row has, so that a page reads a bounded row.
const ENTRIES_PER_ROW: usize = 1024;

/// Which rows a look-up reads: those of this hash.
pub(crate) fn request_hash(request_id: &RequestId, seed: u64) -> i64 {
    xxh3_64_with_seed(request_id.as_str().as_bytes(), seed).cast_signed()
}

/// Which rows a look-up by coordinates reads: those of this hash.
pub(crate) fn coordinates_hash(
    lane: Lane,
    partition: PartitionId,
    offset: Offset,
    seed: u64,
) -> i64 {
    let mut run = [0; 20];
    run[..8].copy_from_slice(&lane_number(lane).to_le_bytes());
    run[8..12].copy_from_slice(&partition.to_le_bytes());
    run[12..].copy_from_slice(&(offset / ENTRIES_PER_ROW as i64).to_le_bytes());
    xxh3_64_with_seed(&run, seed).cast_signed()
}

/// A row to be written.
pub(crate) struct JourneyRow<'a> {
    pub(crate) hash: i64,
    pub(crate) tenant_id: Option<&'a str>,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) entries: Vec<u8>,
}

/// Groups a batch's entries into rows: those of one hash, tenant and request id together.
pub(crate) fn rows(entries: &[JourneyEntry], seed: u64) -> Vec<JourneyRow<'_>> {
    let each = entries.iter().map(|entry| (hash_of(entry, seed), entry));
    let mut sorted: Vec<(i64, &JourneyEntry)> = each.collect();
    // Texts are compared only where hashes are equal; the sort is stable, so arrival stays the order.
    sorted.sort_by(|one, other| {
        let texts = || {
            (tenant_of(one.1), request_of(one.1)).cmp(&(tenant_of(other.1), request_of(other.1)))
        };
        one.0.cmp(&other.0).then_with(texts)
    });
    let groups = sorted.chunk_by(|one, other| {
        one.0 == other.0
            && tenant_of(one.1) == tenant_of(other.1)
            && request_of(one.1) == request_of(other.1)
    });
    let rows = groups
        .flat_map(|group| group.chunks(ENTRIES_PER_ROW))
        .map(|chunk| {
            let (hash, first) = chunk[0];
            JourneyRow {
                hash,
                tenant_id: tenant_of(first),
                request_id: request_of(first),
                entries: encode(chunk.iter().map(|(_, entry)| *entry)),
            }
        });
    rows.collect()
}

fn hash_of(entry: &JourneyEntry, seed: u64) -> i64 {
    match &entry.request_id {
        Some(request_id) => request_hash(request_id, seed),
        None => coordinates_hash(entry.at.lane, entry.at.partition, entry.at.offset, seed),
    }
}

fn tenant_of(entry: &JourneyEntry) -> Option<&str> {
    entry
        .said
        .as_ref()
        .map(|said| said.license.tenant_id.as_str())
}

fn request_of(entry: &JourneyEntry) -> Option<&str> {
    entry.request_id.as_ref().map(RequestId::as_str)
}

/// An entry as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredEntry {
    pub(crate) at: Coordinates,
    pub(crate) received_at: Option<i64>,
    /// License id, event id and type.
    pub(crate) said: Option<(String, Uuid, EventKind)>,
    /// Its content's hash; 0 where it says no event that could conflict.
    pub(crate) content: u64,
}

/// No event is said.
const SAYS_NOTHING: u8 = 0xff;

fn encode<'a>(entries: impl ExactSizeIterator<Item = &'a JourneyEntry>) -> Vec<u8> {
    let mut blob = Vec::with_capacity(entries.len() * 64);
    for entry in entries {
        blob.push(lane_number(entry.at.lane) as u8);
        put_number(&mut blob, i64::from(entry.at.partition));
        put_number(&mut blob, entry.at.offset);
        put_number(&mut blob, entry.at.timestamp);
        // Times are never negative where they come from us; a client's may be, and is kept as none.
        let received_at = entry.received_at.filter(|at| *at >= 0);
        put_number(&mut blob, received_at.map_or(0, |at| at.saturating_add(1)));
        match &entry.said {
            None => blob.push(SAYS_NOTHING),
            Some(said) => {
                blob.push(said.kind as u8);
                blob.extend_from_slice(said.event_id.as_bytes());
                blob.extend_from_slice(&entry.content.to_le_bytes());
                put_number(&mut blob, said.license.license_id.len() as i64);
                blob.extend_from_slice(said.license.license_id.as_bytes());
            }
        }
    }
    blob
}

/// The entries of a row.
pub(crate) fn decode(mut blob: &[u8]) -> Result<Vec<StoredEntry>, Error> {
    let mut entries = Vec::new();
    while !blob.is_empty() {
        entries.push(decode_one(&mut blob).ok_or_else(|| Error::broken("a journey cut short"))?);
    }
    Ok(entries)
}

fn decode_one(blob: &mut &[u8]) -> Option<StoredEntry> {
    let lane = lane_of_number(i64::from(take(blob, 1)?[0])).ok()?;
    let partition = PartitionId::try_from(take_number(blob)?).ok()?;
    let offset = take_number(blob)?;
    let timestamp = take_number(blob)?;
    let received_at = take_number(blob)?.checked_sub(1).filter(|at| *at >= 0);
    let kind = take(blob, 1)?[0];
    let mut content = 0;
    let said = if kind == SAYS_NOTHING {
        None
    } else {
        let kind = *EventKind::ALL.get(usize::from(kind))?;
        let event_id = Uuid::from_slice(take(blob, 16)?).ok()?;
        content = u64::from_le_bytes(take(blob, 8)?.try_into().ok()?);
        let length = usize::try_from(take_number(blob)?).ok()?;
        let license_id = String::from_utf8(take(blob, length)?.to_vec()).ok()?;
        Some((license_id, event_id, kind))
    };
    Some(StoredEntry {
        at: Coordinates {
            timestamp,
            lane,
            partition,
            offset,
        },
        received_at,
        said,
        content,
    })
}

fn take<'a>(blob: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = blob.split_at_checked(length)?;
    *blob = rest;
    Some(taken)
}

/// A number in groups of seven bits, the least first.
fn put_number(blob: &mut Vec<u8>, number: i64) {
    let mut rest = number.cast_unsigned();
    while rest >= 0x80 {
        blob.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    blob.push(rest as u8);
}

fn take_number(blob: &mut &[u8]) -> Option<i64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(blob, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number.cast_signed());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::LicenseKey;
    use licenseflow_avro::event::Said;

    use super::*;

    fn entry(offset: Offset, request_id: Option<&str>) -> JourneyEntry {
        JourneyEntry {
            at: Coordinates {
                timestamp: 1_790_000_000_000 + offset,
                lane: Lane::Interactive,
                partition: 11,
                offset,
            },
            request_id: request_id.and_then(RequestId::parse),
            received_at: Some(offset),
            said: (offset % 2 == 0).then(|| Said {
                license: std::sync::Arc::new(LicenseKey {
                    tenant_id: "t".to_owned(),
                    license_id: "L-1".to_owned(),
                }),
                event_id: Uuid::from_u128(offset as u128),
                kind: EventKind::EventVoided,
            }),
            content: if offset % 2 == 0 { 77 } else { 0 },
        }
    }

    #[test]
    fn entries_read_back_as_they_were_written() {
        let entries: Vec<JourneyEntry> = (0..300).map(|offset| entry(offset, None)).collect();
        let blob = encode(entries.iter());
        let read = decode(&blob).unwrap();
        assert_eq!(read.len(), 300);
        for (read, written) in read.iter().zip(&entries) {
            assert_eq!(read.at, written.at);
            assert_eq!(read.received_at, written.received_at);
            let said = written.said.as_ref();
            let said = said.map(|it| (it.license.license_id.clone(), it.event_id, it.kind));
            assert_eq!((&read.said, read.content), (&said, written.content));
        }
        assert!(decode(&blob[..blob.len() - 1]).is_err());
    }

    #[test]
    fn one_request_is_one_row_and_one_without_an_id_is_known_by_its_coordinates() {
        let entries = vec![entry(0, Some("r")), entry(2, Some("r")), entry(4, None)];
        let rows = rows(&entries, 9);
        assert_eq!(rows.len(), 2);
        let by_coordinates = coordinates_hash(Lane::Interactive, 11, 4, 9);
        assert!(rows.iter().any(|row| row.hash == by_coordinates));
    }
}
