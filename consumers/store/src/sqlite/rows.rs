//! How states lie in columns, for the writer and the lookup alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use licenseflow_avro::codec::{decode_content, write_content};
use licenseflow_avro::headers::RequestId;
use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, Lane, LicenseEvent, LicenseKey};
use licenseflow_core::canonical::CanonicalMap;
use licenseflow_core::device::Activation;
use licenseflow_core::event_set::RecordedEvent;
use licenseflow_core::license::{IssueTerms, PlanTerms};
use licenseflow_core::order::Decided;
use licenseflow_core::status::Lifecycle;
use licenseflow_core::{DeviceState, LicenseState, OrderKey};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use crate::Error;

/// The columns that [`license_state`] reads, in its order.
pub(crate) const LICENSE_COLUMNS: &str = "customer_id, customer_by, plan, seats, entitlements, \
     plan_by, expires_at, expiry_by, product_id, valid_from, metadata, issue_by, suspended, \
     suspended_by, revoked_by, first_by, last_by, event_count, events, seats_used, voids";

/// How many columns [`LICENSE_COLUMNS`] names.
pub(crate) const LICENSE_COLUMN_COUNT: usize = 21;

/// The columns that [`device_state`] reads, in its order.
pub(crate) const DEVICE_COLUMNS: &str = "active, active_by, fingerprint, platform, activated_by, \
     seen_in_event, seen_in_heartbeat";

/// The columns that [`recorded_event`] reads, in its order.
pub(crate) const TIMELINE_COLUMNS: &str =
    "event_id, timestamp_ms, lane, partition, offset, request_id, body";

/// An order key as it lies in a `…_by` column: it compares as the key does.
pub(crate) fn order_key_blob(key: OrderKey) -> [u8; 25] {
    let mut blob = [0; 25];
    blob[..8].copy_from_slice(&key.occurred_at.to_be_bytes());
    blob[8] = key.rank;
    blob[9..].copy_from_slice(key.event_id.as_bytes());
    blob
}

fn order_key(blob: &[u8]) -> Result<OrderKey, Error> {
    let wrong = || Error::broken(format!("an order key of {} bytes", blob.len()));
    let (time, rest) = blob.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (rank, id) = rest.split_first().ok_or_else(wrong)?;
    Ok(OrderKey {
        occurred_at: i64::from_be_bytes(*time),
        rank: *rank,
        event_id: Uuid::from_slice(id).map_err(|_| wrong())?,
    })
}

fn optional_key(row: &Row<'_>, column: usize) -> Result<Option<OrderKey>, Error> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        value => Ok(Some(order_key(value.as_blob().map_err(broken_column)?)?)),
    }
}

fn broken_column(error: rusqlite::types::FromSqlError) -> Error {
    Error::Broken(Box::new(error))
}

fn text_map(row: &Row<'_>, column: usize) -> Result<CanonicalMap, Error> {
    let text = row.get_ref(column)?.as_str().map_err(broken_column)?;
    CanonicalMap::parse(text).map_err(|error| Error::Broken(Box::new(error)))
}

/// Reads [`LICENSE_COLUMNS`], beginning at column `first`.
pub(crate) fn license_state(row: &Row<'_>, first: usize) -> Result<LicenseState, Error> {
    let key = |column: usize| optional_key(row, first + column);
    let decided = |column: usize| -> Result<_, Error> { Ok(key(column)?.map(|by| (by, ()))) };
    let mut state = LicenseState {
        revoked: key(14)?,
        first: key(15)?,
        last: key(16)?,
        event_count: row.get(first + 17)?,
        events: u128::from_be_bytes(row.get(first + 18)?),
        seats_used: row.get(first + 19)?,
        ..LicenseState::default()
    };
    if let Some((by, ())) = decided(1)? {
        let text: String = row.get(first)?;
        let value = text.into();
        state.customer = Some(Decided { by, value });
    }
    if let Some((by, ())) = decided(5)? {
        let value = PlanTerms {
            plan: row.get(first + 2)?,
            seats: row.get(first + 3)?,
            entitlements: text_map(row, first + 4)?,
        };
        let value = Arc::new(value);
        state.plan = Some(Decided { by, value });
    }
    if let Some((by, ())) = decided(7)? {
        let value = row.get(first + 6)?;
        state.expiry = Some(Decided { by, value });
    }
    if let Some((by, ())) = decided(11)? {
        let value = IssueTerms {
            product_id: row.get(first + 8)?,
            valid_from: row.get(first + 9)?,
            metadata: text_map(row, first + 10)?,
        };
        let value = Arc::new(value);
        state.issue = Some(Decided { by, value });
    }
    if let Some((by, ())) = decided(13)? {
        let value = row.get(first + 12)?;
        state.suspended = Some(Decided { by, value });
    }
    if let Some(blob) = row
        .get_ref(first + 20)?
        .as_blob_or_null()
        .map_err(broken_column)?
    {
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
pub(crate) fn device_state(row: &Row<'_>, first: usize) -> Result<DeviceState, Error> {
    let mut device = DeviceState {
        seen_in_event: row.get(first + 5)?,
        seen_in_heartbeat: row.get(first + 6)?,
        ..DeviceState::default()
    };
    if let Some(by) = optional_key(row, first + 1)? {
        let value = row.get(first)?;
        device.active = Some(Decided { by, value });
    }
    if let Some(by) = optional_key(row, first + 4)? {
        let value = Activation {
            fingerprint: row.get(first + 2)?,
            platform: row.get(first + 3)?,
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

/// Reads timestamp, lane, partition and offset, beginning at column `first`.
pub(crate) fn coordinates(row: &Row<'_>, first: usize) -> Result<Coordinates, Error> {
    Ok(Coordinates {
        timestamp: row.get(first)?,
        lane: lane_of_number(row.get(first + 1)?)?,
        partition: row.get(first + 2)?,
        offset: row.get(first + 3)?,
    })
}

/// Reads [`TIMELINE_COLUMNS`], beginning at column `first`.
pub(crate) fn recorded_event(
    row: &Row<'_>,
    first: usize,
    license: &LicenseKey,
) -> Result<RecordedEvent, Error> {
    let event_id = Uuid::from_bytes(row.get(first)?);
    let body = row.get_ref(first + 6)?.as_blob().map_err(broken_column)?;
    let request_id: Option<String> = row.get(first + 5)?;
    Ok(RecordedEvent {
        at: coordinates(row, first + 1)?,
        request_id: request_id.as_deref().and_then(RequestId::parse),
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
