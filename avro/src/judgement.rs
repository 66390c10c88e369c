//! A record judged by itself: its bytes, key, headers' size, timestamp, and the schema of its id.
//!
//! The order of judgement is the contract's, and that of [`Reason::ALL`]; what else the record's event
//! meets (`event_conflict`, the store) is judged elsewhere. No clock, no network: schemas come through
//! [`Schemas`].

use std::sync::Arc;

use crate::codec::{Plan, Prefix, prefix};
use crate::event::LicenseEvent;
use crate::json;
use crate::limits;
use crate::reason::{Fault, Reason};
use crate::record::{RawRecord, headers_size};
use crate::topics::{MAX_HEADER_BYTES, MAX_RECORD_BYTES};

/// Where the plans for registered schemas come from.
pub trait Schemas {
    /// The plan for a schema id; none where the registry has no such schema. For one that gives no
    /// LicenseEvents: [`Plan::unusable`].
    ///
    /// # Errors
    /// The registry cannot be asked now.
    fn plan(&self, id: u32) -> Result<Option<Arc<Plan>>, SchemasAway>;
}

/// The registry cannot be asked now: the record is not to blame, and waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema registry cannot be asked: {reason}")]
pub struct SchemasAway {
    /// What went wrong.
    pub reason: String,
}

/// Why a record gave no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is at fault, and is rejected.
    Fault(Fault),
    /// It cannot be judged now.
    Away(SchemasAway),
}

impl From<Fault> for Verdict {
    fn from(fault: Fault) -> Self {
        Verdict::Fault(fault)
    }
}

/// The event of a record, or the first reason against it.
///
/// # Errors
/// The record's fault, or that its schema cannot be had now.
pub fn judge(
    record: &RawRecord,
    schemas: &dyn Schemas,
    max_future_skew_micros: i64,
) -> Result<LicenseEvent, Verdict> {
    let value = checked_value(record)?;
    let event = match prefix(value) {
        Prefix::Avro(id, body) => plan(schemas, id)?.decode(body)?,
        Prefix::Truncated => {
            return Err(Fault::new(Reason::Truncated, "the bytes end within the schema id").into());
        }
        Prefix::Other => json::decode(value)?,
    };
    limits::check(&event)
        .and_then(|()| check_against_record(&event, record, max_future_skew_micros))
        .map_err(|fault| fault.of(&event))?;
    Ok(event)
}

/// The value, if its size and its first byte are those of an event.
fn checked_value(record: &RawRecord) -> Result<&[u8], Fault> {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let size = length(&record.key) + length(&record.value);
    if size > MAX_RECORD_BYTES {
        let error = format!("{size} bytes of key and value; at most {MAX_RECORD_BYTES} are taken");
        return Err(Fault::new(Reason::TooLarge, error));
    }
    let size = headers_size(&record.headers);
    if size > MAX_HEADER_BYTES {
        let error = format!("{size} bytes of headers; at most {MAX_HEADER_BYTES} are taken");
        return Err(Fault::new(Reason::TooLarge, error));
    }
    match record.value.as_deref() {
        None => Err(Fault::new(Reason::Tombstone, "the value is null")),
        Some([]) => Err(Fault::new(Reason::Empty, "the value has no bytes")),
        Some(value @ [0x00 | b'{', ..]) => Ok(value),
        Some([first, ..]) => Err(Fault::new(
            Reason::UnknownFormat,
            format!("the first byte is 0x{first:02x}: neither 0x00 (Avro) nor {{ (JSON)"),
        )),
    }
}

fn plan(schemas: &dyn Schemas, id: u32) -> Result<Arc<Plan>, Verdict> {
    let plan = schemas.plan(id).map_err(Verdict::Away)?;
    plan.ok_or_else(|| {
        let error = format!("schema id {id} is not in the registry");
        Fault::new(Reason::UnknownSchema, error)
            .that_may_heal()
            .into()
    })
}

fn check_against_record(
    event: &LicenseEvent,
    record: &RawRecord,
    max_future_skew_micros: i64,
) -> Result<(), Fault> {
    if let Some(key) = &record.key
        && key != event.license_id.as_bytes()
    {
        let error = format!(
            "the record's key is {}, the event's license_id {}",
            key.escape_ascii()
                .to_string()
                .chars()
                .take(256)
                .collect::<String>(),
            event.license_id
        );
        return Err(Fault::new(Reason::KeyMismatch, error));
    }
    let now = record.at.timestamp.saturating_mul(1000);
    let ahead = event.occurred_at.saturating_sub(now);
    if ahead > max_future_skew_micros {
        let error = format!(
            "occurred_at is {} ms ahead of the record's timestamp",
            ahead / 1000
        );
        return Err(Fault::new(Reason::OccurredAtInFuture, error));
    }
    Ok(())
}
