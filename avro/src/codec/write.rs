//! Events to Avro bytes, in version 1 of the schema.

use uuid::Uuid;

use super::wire::MAGIC;
use crate::event::{LicenseEvent, Payload, TextMap};

/// About what an event takes, so that most are written without growing.
const CAPACITY: usize = 256;

/// An event in Confluent's wire format: a zero byte, the schema id, and the body.
///
/// `schema_id` must be the registry's id of [`crate::schema::LICENSE_EVENT`].
#[must_use]
pub fn encode(schema_id: u32, event: &LicenseEvent) -> Vec<u8> {
    let mut to = Vec::with_capacity(CAPACITY);
    to.push(MAGIC);
    to.extend_from_slice(&schema_id.to_be_bytes());
    write_event(&mut to, event);
    to
}

/// An event's body alone. Equal events give equal bytes.
#[must_use]
pub fn encode_body(event: &LicenseEvent) -> Vec<u8> {
    let mut to = Vec::with_capacity(CAPACITY);
    write_event(&mut to, event);
    to
}

fn write_event(to: &mut Vec<u8>, event: &LicenseEvent) {
    uuid(to, event.event_id);
    text(to, &event.license_id);
    text(to, &event.tenant_id);
    write_content(to, event);
}

/// What follows the three ids, which come first in a body: for those who keep the ids apart.
pub fn write_content(to: &mut Vec<u8>, event: &LicenseEvent) {
    long(to, event.occurred_at);
    text(to, &event.source);
    nullable_text(to, event.actor.as_deref());
    // The variants of `EventKind` stand in the order of the union.
    long(to, event.payload.kind() as i64);
    write_payload(to, &event.payload);
}

fn write_payload(to: &mut Vec<u8>, payload: &Payload) {
    match payload {
        Payload::LicenseIssued(data) => {
            text(to, &data.customer_id);
            text(to, &data.product_id);
            text(to, &data.plan);
            long(to, i64::from(data.seats));
            long(to, data.valid_from);
            nullable_long(to, data.expires_at);
            map(to, &data.entitlements);
            map(to, &data.metadata);
        }
        Payload::LicenseRenewed(data) => nullable_long(to, data.expires_at),
        Payload::LicensePlanChanged(data) => {
            text(to, &data.plan);
            long(to, i64::from(data.seats));
            map(to, &data.entitlements);
        }
        Payload::LicenseTransferred(data) => text(to, &data.customer_id),
        Payload::LicenseSuspended(data) => text(to, &data.reason),
        Payload::LicenseReinstated(data) => text(to, &data.reason),
        Payload::LicenseRevoked(data) => text(to, &data.reason),
        Payload::DeviceActivated(data) => {
            text(to, &data.device_id);
            nullable_text(to, data.fingerprint.as_deref());
            nullable_text(to, data.platform.as_deref());
        }
        Payload::DeviceDeactivated(data) => {
            text(to, &data.device_id);
            text(to, &data.reason);
        }
        Payload::DeviceHeartbeat(data) => text(to, &data.device_id),
        Payload::UsageRecorded(data) => {
            text(to, &data.metric);
            long(to, data.quantity);
        }
        Payload::EventVoided(data) => {
            uuid(to, data.voided_event_id);
            text(to, &data.reason);
        }
    }
}

/// A number in Avro's zigzag form, seven bits a byte.
fn long(to: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest > 0x7F {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

fn text(to: &mut Vec<u8>, value: &str) {
    long(to, value.len() as i64);
    to.extend_from_slice(value.as_bytes());
}

fn uuid(to: &mut Vec<u8>, id: Uuid) {
    let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
    text(to, id.hyphenated().encode_lower(&mut buffer));
}

fn nullable_text(to: &mut Vec<u8>, value: Option<&str>) {
    match value {
        None => long(to, 0),
        Some(value) => {
            long(to, 1);
            text(to, value);
        }
    }
}

fn nullable_long(to: &mut Vec<u8>, value: Option<i64>) {
    match value {
        None => long(to, 0),
        Some(value) => {
            long(to, 1);
            long(to, value);
        }
    }
}

fn map(to: &mut Vec<u8>, value: &TextMap) {
    if !value.is_empty() {
        long(to, value.len() as i64);
        for (key, entry) in value {
            text(to, key);
            text(to, entry);
        }
    }
    long(to, 0);
}
