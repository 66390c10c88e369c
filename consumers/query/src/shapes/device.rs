//! A device and a metric: the members of their rows.

use licenseflow_core::DeviceState;
use licenseflow_core::contract::LicenseKey;
use serde_json::{Value, json};

use super::{event_id, time};

/// The device at another time, of which heartbeats say nothing.
pub(crate) fn device_then(license: &LicenseKey, device_id: &str, state: &DeviceState) -> Value {
    let mut shown = device(license, device_id, state);
    if let Value::Object(members) = &mut shown {
        members.remove("last_seen_at");
    }
    shown
}

pub(crate) fn device(license: &LicenseKey, device_id: &str, state: &DeviceState) -> Value {
    let activation = state.activation.as_ref();
    json!({
        "tenant_id": license.tenant_id,
        "license_id": license.license_id,
        "device_id": device_id,
        "active": state.is_active(),
        "decided_by": event_id(state.active.as_ref().map(|it| it.by)),
        "activated_by": event_id(activation.map(|it| it.by)),
        "fingerprint": activation.and_then(|it| it.value.fingerprint.as_ref()),
        "platform": activation.and_then(|it| it.value.platform.as_ref()),
        "last_seen_at": time(state.last_seen_at()),
    })
}

pub(crate) fn usage(license: &LicenseKey, metric: &str, quantity: i64) -> Value {
    json!({
        "tenant_id": license.tenant_id,
        "license_id": license.license_id,
        "metric": metric,
        "quantity": quantity,
    })
}
