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

pub(crate) use customer::customer;
pub(crate) use device::{device, device_then, usage};
pub(crate) use event::event;
pub(crate) use journey::step;
pub(crate) use license::{LICENSE_MEMBERS, in_address, license, license_and_next, license_then};
pub(crate) use stats::{per_day, per_minute, tenant_totals};

/// A time of an event.
fn time(micros: Option<i64>) -> Option<String> {
    micros.map(format_rfc3339)
}

/// A time of Kafka's or ours.
fn time_ms(millis: i64) -> String {
    format_rfc3339(millis.saturating_mul(1000))
}

fn event_id(by: Option<OrderKey>) -> Option<String> {
    by.map(|key| key.event_id.hyphenated().to_string())
}
