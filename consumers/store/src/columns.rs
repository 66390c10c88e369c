//! How states lie in columns: the same in every store, for the writer and the lookup alike.
//!
//! A store says how a column of its rows is read ([`Columns`]), and what its columns are called; what
//! lies in them, and in their blobs, is known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use licenseflow_avro::codec::{decode_content, write_content};
use licenseflow_avro::headers::RequestId;
use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, Lane, LicenseEvent, LicenseKey, PartitionId};
use licenseflow_core::canonical::CanonicalMap;
use licenseflow_core::device::Activation;
use licenseflow_core::event_set::RecordedEvent;
use licenseflow_core::license::{IssueTerms, PlanTerms};
use licenseflow_core::order::Decided;
use licenseflow_core::status::Lifecycle;
use licenseflow_core::{DeviceState, LicenseState, OrderKey};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Error;

/// A row as it was read, whatever the store.
pub(crate) trait Columns {
    /// The number in a column.
    fn integer(&self, column: usize) -> Result<Option<i64>, Error>;

    /// The truth in a column.
    fn boolean(&self, column: usize) -> Result<Option<bool>, Error>;

    /// The text in a column.
    fn text(&self, column: usize) -> Result<Option<&str>, Error>;

    /// The bytes in a column, a uuid's too.
    fn bytes(&self, column: usize) -> Result<Option<&[u8]>, Error>;
}

/// What a column that is never null holds.
pub(crate) fn needed<T>(value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::broken("a null where none can be"))
}

/// The columns that [`license_state`] reads, in its order.
pub(crate) const LICENSE_COLUMNS: &str = "customer_id, customer_by, plan, seats, entitlements, \
     plan_by, expires_at, expiry_by, product_id, valid_from, metadata, issue_by, suspended, \
     suspended_by, revoked_by, first_by, last_by, event_count, events, seats_used, voids";

/// How many columns [`LICENSE_COLUMNS`] names.
pub(crate) const LICENSE_COLUMN_COUNT: usize = 21;

/// The columns that [`device_state`] reads, in its order.
pub(crate) const DEVICE_COLUMNS: &str = "active, active_by, fingerprint, platform, activated_by, \
     seen_in_event, seen_in_heartbeat";

/// What a dead letter says of a conflict.
pub(crate) const CONFLICT: &str = "another content stands under this event_id, in the record with the least \
     (timestamp, topic, partition, offset); send a correction under an event_id of its own";

/// A new secret that clients' ids are hashed with.
pub(crate) fn new_hash_seed() -> u64 {
    Uuid::now_v7().as_u128() as u64 ^ u64::from(std::process::id()) << 40
}

/// Where an event id lies in the timeline's index.
pub(crate) fn event_hash(event_id: Uuid, seed: u64) -> i64 {
    xxh3_64_with_seed(event_id.as_bytes(), seed).cast_signed()
}

/// An order key as it lies in a `…_by` column: it compares as the key does.
pub(crate) fn order_key_blob(key: OrderKey) -> [u8; 25] {
    let mut blob = [0; 25];
    blob[..8].copy_from_slice(&key.occurred_at.to_be_bytes());
    blob[8] = key.rank;
    blob[9..].copy_from_slice(key.event_id.as_bytes());
    blob
}

/// The order key of [`order_key_blob`].
pub(crate) fn order_key(blob: &[u8]) -> Result<OrderKey, Error> {
    let wrong = || Error::broken(format!("an order key of {} bytes", blob.len()));
    let (time, rest) = blob.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (rank, id) = rest.split_first().ok_or_else(wrong)?;
    Ok(OrderKey {
        occurred_at: i64::from_be_bytes(*time),
        rank: *rank,
        event_id: Uuid::from_slice(id).map_err(|_| wrong())?,
    })
}

fn optional_key(row: &impl Columns, column: usize) -> Result<Option<OrderKey>, Error> {
    row.bytes(column)?.map(order_key).transpose()
}

fn text_map(row: &impl Columns, column: usize) -> Result<CanonicalMap, Error> {
    let text = needed(row.text(column)?)?;
    CanonicalMap::parse(text).map_err(|error| Error::Broken(Box::new(error)))
}

/// Sixteen bytes as a number, the greatest first.
pub(crate) fn wide_number(bytes: &[u8]) -> Result<u128, Error> {
    let bytes: [u8; 16] = bytes
        .try_into()
        .map_err(|_| Error::broken(format!("a sum of {} bytes", bytes.len())))?;
    Ok(u128::from_be_bytes(bytes))
}

/// Reads [`LICENSE_COLUMNS`], beginning at column `first`.
pub(crate) fn license_state(row: &impl Columns, first: usize) -> Result<LicenseState, Error> {
    let key = |column: usize| optional_key(row, first + column);
    let integer = |column: usize| needed(row.integer(first + column)?);
    let text = |column: usize| needed(row.text(first + column)?);
    let mut state = LicenseState {
        revoked: key(14)?,
        first: key(15)?,
        last: key(16)?,
        event_count: integer(17)?,
        events: wide_number(needed(row.bytes(first + 18)?)?)?,
        seats_used: integer(19)?,
        ..LicenseState::default()
    };
    if let Some(by) = key(1)? {
        let value = text(0)?.into();
        state.customer = Some(Decided { by, value });
    }
    if let Some(by) = key(5)? {
        let seats = i32::try_from(integer(3)?).map_err(|error| Error::Broken(Box::new(error)))?;
        let value = PlanTerms {
            plan: text(2)?.to_owned(),
            seats,
            entitlements: text_map(row, first + 4)?,
        };
        let value = Arc::new(value);
        state.plan = Some(Decided { by, value });
    }
    if let Some(by) = key(7)? {
        let value = row.integer(first + 6)?;
        state.expiry = Some(Decided { by, value });
    }
    if let Some(by) = key(11)? {
        let value = IssueTerms {
            product_id: text(8)?.to_owned(),
            valid_from: integer(9)?,
            metadata: text_map(row, first + 10)?,
        };
        let value = Arc::new(value);
        state.issue = Some(Decided { by, value });
    }
    if let Some(by) = key(13)? {
        let value = needed(row.boolean(first + 12)?)?;
        state.suspended = Some(Decided { by, value });
    }
    if let Some(blob) = row.bytes(first + 20)? {
        state.voids = voids(blob)?;
    }
    Ok(state)
}

/// The voids of a license as they lie in a column; none without any.
pub(crate) fn voids_blob(voids: &BTreeMap<Uuid, OrderKey>) -> Option<Vec<u8>> {
    if voids.is_empty() {
        return None;
    }
    let entries = voids.iter().flat_map(|(voided, by)| {
        let by = order_key_blob(*by);
        voided.as_bytes().iter().copied().chain(by)
    });
    Some(entries.collect())
}

/// The voids of [`voids_blob`]; an empty blob has none.
pub(crate) fn voids(blob: &[u8]) -> Result<BTreeMap<Uuid, OrderKey>, Error> {
    let entries = blob.chunks_exact(16 + 25);
    if !entries.remainder().is_empty() {
        return Err(Error::broken(format!("voids of {} bytes", blob.len())));
    }
    entries
        .map(|entry| {
            let (voided, by) = entry.split_at(16);
            let voided =
                Uuid::from_slice(voided).map_err(|error| Error::Broken(Box::new(error)))?;
            Ok((voided, order_key(by)?))
        })
        .collect()
}

/// Reads [`DEVICE_COLUMNS`], beginning at column `first`.
pub(crate) fn device_state(row: &impl Columns, first: usize) -> Result<DeviceState, Error> {
    let mut device = DeviceState {
        seen_in_event: row.integer(first + 5)?,
        seen_in_heartbeat: row.integer(first + 6)?,
        ..DeviceState::default()
    };
    if let Some(by) = optional_key(row, first + 1)? {
        let value = needed(row.boolean(first)?)?;
        device.active = Some(Decided { by, value });
    }
    if let Some(by) = optional_key(row, first + 4)? {
        let text = |column: usize| -> Result<_, Error> {
            Ok(row.text(first + column)?.map(ToOwned::to_owned))
        };
        let value = Activation {
            fingerprint: text(2)?,
            platform: text(3)?,
        };
        device.activation = Some(Decided { by, value });
    }
    Ok(device)
}

/// A lane's number in the store.
pub(crate) fn lane_number(lane: Lane) -> i64 {
    match lane {
        Lane::Bulk => 0,
        Lane::Interactive => 1,
    }
}

/// The lane of a number in the store.
pub(crate) fn lane_of_number(number: i64) -> Result<Lane, Error> {
    match number {
        0 => Ok(Lane::Bulk),
        1 => Ok(Lane::Interactive),
        other => Err(Error::broken(format!("lane {other}"))),
    }
}

/// A lifecycle's number in the store.
pub(crate) fn lifecycle_number(lifecycle: Lifecycle) -> i64 {
    match lifecycle {
        Lifecycle::Unknown => 0,
        Lifecycle::Active => 1,
        Lifecycle::Suspended => 2,
        Lifecycle::Revoked => 3,
    }
}

/// The lifecycle of a number in the store.
pub(crate) fn lifecycle_of_number(number: i64) -> Result<Lifecycle, Error> {
    let mut all = Lifecycle::ALL.into_iter();
    all.find(|it| lifecycle_number(*it) == number)
        .ok_or_else(|| Error::broken(format!("lifecycle {number}")))
}

/// Reads tenant and license id, beginning at column `first`.
pub(crate) fn license_key(row: &impl Columns, first: usize) -> Result<LicenseKey, Error> {
    Ok(LicenseKey {
        tenant_id: needed(row.text(first)?)?.to_owned(),
        license_id: needed(row.text(first + 1)?)?.to_owned(),
    })
}

/// Reads timestamp, lane, partition and offset, beginning at column `first`.
pub(crate) fn coordinates(row: &impl Columns, first: usize) -> Result<Coordinates, Error> {
    let integer = |column: usize| needed(row.integer(first + column)?);
    Ok(Coordinates {
        timestamp: integer(0)?,
        lane: lane_of_number(integer(1)?)?,
        partition: partition_of_number(integer(2)?)?,
        offset: integer(3)?,
    })
}

/// The partition of a number in the store.
pub(crate) fn partition_of_number(number: i64) -> Result<PartitionId, Error> {
    PartitionId::try_from(number).map_err(|error| Error::Broken(Box::new(error)))
}

/// Reads event id, coordinates, request id and body, beginning at column `first`.
pub(crate) fn recorded_event(
    row: &impl Columns,
    first: usize,
    license: &LicenseKey,
) -> Result<RecordedEvent, Error> {
    let event_id = Uuid::from_slice(needed(row.bytes(first)?)?)
        .map_err(|error| Error::Broken(Box::new(error)))?;
    let body = needed(row.bytes(first + 6)?)?;
    Ok(RecordedEvent {
        at: coordinates(row, first + 1)?,
        request_id: row.text(first + 5)?.and_then(RequestId::parse),
        event: event_of(license, event_id, body)?,
    })
}

/// An event's body as it lies in a column: its Avro form without the fields that the row has in
/// other columns, which come first in the schema.
pub(crate) fn body_of(event: &LicenseEvent) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(160);
    write_content(&mut bytes, event);
    bytes
}

fn event_of(license: &LicenseKey, event_id: Uuid, body: &[u8]) -> Result<LicenseEvent, Error> {
    decode_content(license, event_id, body)
        .map_err(|fault| Error::broken(format!("event {event_id}: {fault}")))
}

/// Headers as they lie in a column: for each the name and the value, each after its length; a
/// length of `u32::MAX` is a null value.
pub(crate) fn headers_blob(headers: &[Header]) -> Vec<u8> {
    let mut blob = Vec::new();
    for header in headers {
        put_bytes(&mut blob, Some(header.name.as_bytes()));
        put_bytes(&mut blob, header.value.as_deref());
    }
    blob
}

fn put_bytes(blob: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let length = bytes.map_or(u32::MAX, |bytes| bytes.len() as u32);
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(bytes.unwrap_or_default());
}

/// The headers of [`headers_blob`].
pub(crate) fn headers_of_blob(mut blob: &[u8]) -> Result<Vec<Header>, Error> {
    let mut headers = Vec::new();
    while !blob.is_empty() {
        let name = take_bytes(&mut blob)?.unwrap_or_default();
        let name = String::from_utf8(name).map_err(|error| Error::Broken(Box::new(error)))?;
        let value = take_bytes(&mut blob)?;
        headers.push(Header { name, value });
    }
    Ok(headers)
}

fn take_bytes(blob: &mut &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let short = || Error::broken("headers cut short");
    let (length, rest) = blob.split_first_chunk::<4>().ok_or_else(short)?;
    let length = u32::from_be_bytes(*length);
    if length == u32::MAX {
        *blob = rest;
        return Ok(None);
    }
    let (bytes, rest) = rest.split_at_checked(length as usize).ok_or_else(short)?;
    *blob = rest;
    Ok(Some(bytes.to_vec()))
}

/// Partitions of both lanes as one number each.
pub(crate) fn partition_numbers(partitions: &[(Lane, PartitionId)]) -> Vec<i64> {
    let each = partitions.iter();
    each.map(|(lane, partition)| lane_number(*lane) << 32 | i64::from(*partition))
        .collect()
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::event::{DeviceHeartbeat, Payload};

    use super::*;

    #[test]
    fn a_body_gives_back_its_event_whatever_the_lengths_of_its_ids() {
        for length in [1, 63, 64, 65, 128] {
            let event = LicenseEvent {
                event_id: Uuid::from_u128(7),
                license_id: "l".repeat(length),
                tenant_id: "t".repeat(129 - length),
                occurred_at: 5,
                source: "s".to_owned(),
                actor: Some("é".to_owned()),
                payload: Payload::DeviceHeartbeat(DeviceHeartbeat {
                    device_id: "d".to_owned(),
                }),
            };
            let read = event_of(&event.license_key(), event.event_id, &body_of(&event)).unwrap();
            assert_eq!(read, event);
        }
    }

    #[test]
    fn headers_read_back_with_null_values_and_repeated_names() {
        let headers = vec![
            Header {
                name: "a".to_owned(),
                value: None,
            },
            Header {
                name: "a".to_owned(),
                value: Some(vec![]),
            },
            Header {
                name: String::new(),
                value: Some(vec![0, 255]),
            },
        ];
        assert_eq!(headers_of_blob(&headers_blob(&headers)).unwrap(), headers);
        assert!(headers_of_blob(&[0, 0, 0, 9, 1]).is_err());
    }
}
