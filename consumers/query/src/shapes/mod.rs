//! Rows and events as JSON, in the contract's shapes.

mod customer;
mod device;
mod event;
mod journey;
mod license;
mod next;
mod stats;

use licenseflow_core::OrderKey;
use licenseflow_core::contract::time::format_rfc3339;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

pub(crate) use customer::{Customer, customer};
pub(crate) use device::{Device, Metric, device, device_then, usage};
pub(crate) use event::{TimelineEvent, event};
pub(crate) use journey::{JourneyStep, step};
pub(crate) use license::{
    LICENSE_MEMBERS, License, in_address, license, license_and_next, license_then,
};
pub(crate) use stats::{
    EventsOfDay, EventsOfMinute, TenantTotals, per_day, per_minute, tenant_totals,
};

/// The shape as JSON.
pub(crate) fn value(shape: impl Serialize) -> Value {
    // Text, numbers, and maps by text: all of it always is JSON.
    serde_json::to_value(shape).unwrap_or_default()
}

/// A time of an event.
fn time(micros: Option<i64>) -> Option<String> {
    micros.map(format_rfc3339)
}

/// A time of Kafka's or ours.
pub(crate) fn time_ms(millis: i64) -> String {
    format_rfc3339(millis.saturating_mul(1000))
}

fn event_id(by: Option<OrderKey>) -> Option<Uuid> {
    by.map(|key| key.event_id)
}
