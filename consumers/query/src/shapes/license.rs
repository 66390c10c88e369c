//! A license: the members of its row, and what depends on the time of asking.

use licenseflow_core::license::LicenseState;
use licenseflow_core::status::Status;
use licenseflow_store::lookup::LicenseRow;
use serde_json::{Value, json};

use super::{event_id, time};
use crate::links::{self, Links};

/// The license at a time in microseconds UTC.
pub(crate) fn license(row: &LicenseRow, at: i64) -> Value {
    let state = &row.state;
    let plan = state.plan.as_ref().map(|it| &it.value);
    let issue = state.issue.as_ref().map(|it| &it.value);
    let seats = plan.map(|it| it.seats);
    let valid_from = issue.map(|it| it.valid_from);
    let lifecycle = state.lifecycle();
    let status = Status::at(lifecycle, valid_from, state.expires_at(), at);
    json!({
        "tenant_id": row.key.tenant_id,
        "license_id": row.key.license_id,
        "customer_id": state.customer.as_ref().map(|it| &it.value),
        "product_id": issue.map(|it| &it.product_id),
        "plan": plan.map(|it| &it.plan),
        "seats": seats,
        "entitlements": plan.map(|it| it.entitlements.to_map()),
        "metadata": issue.map(|it| it.metadata.to_map()),
        "valid_from": time(valid_from),
        "expires_at": time(state.expires_at()),
        "lifecycle": lifecycle.name(),
        "status": status.name(),
        "seats_used": state.seats_used,
        "over_seat": seats.is_some_and(|seats| state.seats_used > i64::from(seats)),
        "event_count": state.event_count,
        "events": format!("{:032x}", state.events),
        "first_event_at": time(state.first.map(|it| it.occurred_at)),
        "last_event_at": time(state.last.map(|it| it.occurred_at)),
        "last_event_id": event_id(state.last),
        "decided_by": decided_by(state),
        "_links": links_of(&row.key.license_id),
    })
}

fn decided_by(state: &LicenseState) -> Value {
    json!({
        "customer": event_id(state.customer.as_ref().map(|it| it.by)),
        "expiry": event_id(state.expiry.as_ref().map(|it| it.by)),
        "issue": event_id(state.issue.as_ref().map(|it| it.by)),
        "lifecycle": event_id(state.lifecycle_decided_by()),
        "plan": event_id(state.plan.as_ref().map(|it| it.by)),
    })
}

fn links_of(license_id: &str) -> Value {
    let itself = links::license(license_id);
    Links::itself(&itself)
        .and("devices", format!("{itself}/devices"))
        .and("usage", format!("{itself}/usage"))
        .and("events", format!("{itself}/events"))
        .json()
}
