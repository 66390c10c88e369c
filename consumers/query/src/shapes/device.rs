//! A device and a metric: the members of their rows.

use licenseflow_core::DeviceState;
use licenseflow_core::contract::LicenseKey;
use licenseflow_runtime::http::openapi::words::{EventId, Id, Time};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{event_id, time, value};

/// A device of a license.
#[derive(Serialize, ToSchema)]
pub(crate) struct Device<'d> {
    #[schema(value_type = Id)]
    tenant_id: &'d str,
    #[schema(value_type = Id)]
    license_id: &'d str,
    #[schema(value_type = Id)]
    device_id: &'d str,
    /// Whether it holds a seat.
    active: bool,
    /// The event that decided `active`; null: it only beat.
    #[schema(required = true, value_type = Option<EventId>)]
    decided_by: Option<Uuid>,
    /// The last activation, whose fingerprint and platform these are.
    #[schema(required = true, value_type = Option<EventId>)]
    activated_by: Option<Uuid>,
    /// What it was recognised by.
    #[schema(required = true)]
    fingerprint: Option<&'d str>,
    /// Such as linux.
    #[schema(required = true)]
    platform: Option<&'d str>,
    /// The last event or heartbeat; left out at another time, of which heartbeats say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Time>)]
    last_seen_at: Option<Option<String>>,
}

/// The device at another time, of which heartbeats say nothing.
pub(crate) fn device_then(license: &LicenseKey, device_id: &str, state: &DeviceState) -> Value {
    value(shape(license, device_id, state))
}

pub(crate) fn device(license: &LicenseKey, device_id: &str, state: &DeviceState) -> Value {
    value(Device {
        last_seen_at: Some(time(state.last_seen_at())),
        ..shape(license, device_id, state)
    })
}

fn shape<'d>(license: &'d LicenseKey, device_id: &'d str, state: &'d DeviceState) -> Device<'d> {
    let activation = state.activation.as_ref();
    Device {
        tenant_id: &license.tenant_id,
        license_id: &license.license_id,
        device_id,
        active: state.is_active(),
        decided_by: event_id(state.active.as_ref().map(|it| it.by)),
        activated_by: event_id(activation.map(|it| it.by)),
        fingerprint: activation.and_then(|it| it.value.fingerprint.as_deref()),
        platform: activation.and_then(|it| it.value.platform.as_deref()),
        last_seen_at: None,
    }
}

/// The use of a metric.
#[derive(Serialize, ToSchema)]
pub(crate) struct Metric<'m> {
    #[schema(value_type = Id)]
    tenant_id: &'m str,
    #[schema(value_type = Id)]
    license_id: &'m str,
    #[schema(value_type = Id)]
    metric: &'m str,
    /// The sum over all that counts, no more than 2⁵³−1.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    quantity: i64,
}

pub(crate) fn usage(license: &LicenseKey, metric: &str, quantity: i64) -> Value {
    value(Metric {
        tenant_id: &license.tenant_id,
        license_id: &license.license_id,
        metric,
        quantity,
    })
}
