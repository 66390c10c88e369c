//! An event as JSON: every member, times in UTC with six decimals.

use serde_json::{Value, json};

use crate::event::{LicenseEvent, Payload};
use crate::time::format_rfc3339;

/// The JSON form of an event, with all its members. [`super::decode`] gives the same event back.
#[must_use]
pub fn encode(event: &LicenseEvent) -> Value {
    json!({
        "event_id": event.event_id.hyphenated().to_string(),
        "tenant_id": event.tenant_id,
        "license_id": event.license_id,
        "occurred_at": format_rfc3339(event.occurred_at),
        "source": event.source,
        "actor": event.actor,
        "type": event.payload.kind().name(),
        "data": data(&event.payload),
    })
}

/// The members of a payload.
fn data(payload: &Payload) -> Value {
    match payload {
        Payload::LicenseIssued(data) => json!({
            "customer_id": data.customer_id,
            "product_id": data.product_id,
            "plan": data.plan,
            "seats": data.seats,
            "valid_from": format_rfc3339(data.valid_from),
            "expires_at": data.expires_at.map(format_rfc3339),
            "entitlements": data.entitlements,
            "metadata": data.metadata,
        }),
        Payload::LicenseRenewed(data) => json!({
            "expires_at": data.expires_at.map(format_rfc3339),
        }),
        Payload::LicensePlanChanged(data) => json!({
            "plan": data.plan,
            "seats": data.seats,
            "entitlements": data.entitlements,
        }),
        Payload::LicenseTransferred(data) => json!({ "customer_id": data.customer_id }),
        Payload::LicenseSuspended(data) => json!({ "reason": data.reason }),
        Payload::LicenseReinstated(data) => json!({ "reason": data.reason }),
        Payload::LicenseRevoked(data) => json!({ "reason": data.reason }),
        Payload::DeviceActivated(data) => json!({
            "device_id": data.device_id,
            "fingerprint": data.fingerprint,
            "platform": data.platform,
        }),
        Payload::DeviceDeactivated(data) => json!({
            "device_id": data.device_id,
            "reason": data.reason,
        }),
        Payload::DeviceHeartbeat(data) => json!({ "device_id": data.device_id }),
        Payload::UsageRecorded(data) => json!({
            "metric": data.metric,
            "quantity": data.quantity,
        }),
        Payload::EventVoided(data) => json!({
            "voided_event_id": data.voided_event_id.hyphenated().to_string(),
            "reason": data.reason,
        }),
    }
}
