//! What the log says of a license by the naive fold, which shares no code with the projector's.

use std::collections::BTreeMap;

use licenseflow_avro::event::Payload;
use licenseflow_avro::{Coordinates, LicenseEvent, LicenseKey};
use licenseflow_core::OrderKey;
use licenseflow_core::naive::{NaiveLicense, fold_license};
use licenseflow_store::audit::Part;
use serde_json::Value;

use super::expected::{Beside, DeviceBeside, Expected, LicenseBeside, Row, Said, Standing};

/// Folds the records of one license; `said` says of each record that is no heartbeat what it says.
pub(super) fn expected<'r>(
    key: &LicenseKey,
    mut records: Vec<(Coordinates, LicenseEvent)>,
    said: &BTreeMap<Coordinates, Said<'r>>,
) -> Expected<'r> {
    records.sort_by_key(|(at, _)| *at);
    let folded = fold_license(&key.tenant_id, &key.license_id, &records);
    let standing = standing(&folded);
    let mut rows = BTreeMap::new();
    let beside = Beside::License(Box::new(license_beside(&folded, &standing)));
    let mut put = |part, name: &str, value: &Value, beside| {
        let canonical = value.to_string();
        rows.insert((part, name.to_owned()), Row { canonical, beside });
    };
    put(Part::License, "", &folded.license, beside);
    let besides = device_besides(&folded);
    for (device_id, row) in &folded.devices {
        let beside = besides.get(device_id.as_str()).cloned().unwrap_or_default();
        put(Part::Device, device_id, row, Beside::Device(beside));
    }
    for (metric, row) in &folded.usage {
        put(Part::Usage, metric, row, Beside::Usage);
    }
    let says = |at: &Coordinates| said.get(at).copied();
    let events = folded.events.iter();
    let conflicts = folded.conflicts.iter();
    Expected {
        rows,
        events: events
            .filter_map(|(id, (at, _))| Some((*id, says(at)?)))
            .collect(),
        voids: folded
            .voids
            .iter()
            .map(|(id, by)| (*id, by.event_id))
            .collect(),
        conflicts: conflicts
            .filter_map(|(at, event)| Some((event.event_id, says(at)?)))
            .collect(),
        counting: folded
            .counting
            .iter()
            .map(|event| (event.occurred_at, event.payload.kind()))
            .collect(),
        standing,
    }
}

fn standing(folded: &NaiveLicense<'_>) -> Standing {
    let row = &folded.license;
    let text = |name: &str| row[name].as_str().map(ToOwned::to_owned);
    let is_active = |device: &&Value| device["active"] == true;
    Standing {
        customer: text("customer_id"),
        product: text("product_id"),
        plan: text("plan"),
        lifecycle: text("lifecycle").unwrap_or_default(),
        seats: row["seats"].as_i64().unwrap_or(0),
        seats_used: folded.devices.values().filter(is_active).count() as i64,
        valid_from: row["valid_from"].as_i64(),
        expires_at: row["expires_at"].as_i64(),
    }
}

fn license_beside(folded: &NaiveLicense<'_>, standing: &Standing) -> LicenseBeside {
    let mut beside = LicenseBeside {
        seats_used: standing.seats_used,
        lifecycle: ["unknown", "active", "suspended", "revoked"]
            .iter()
            .position(|name| *name == standing.lifecycle)
            .map(|number| number as i64),
        last_event_at: folded.license["last_event_at"].as_i64(),
        voids: folded
            .voids
            .iter()
            .map(|(id, by)| (*id, order_of(by)))
            .collect(),
        first: folded.counting.first().map(|event| order_of(event)),
        last: folded.counting.last().map(|event| order_of(event)),
        ..LicenseBeside::default()
    };
    // In order: who comes last decides, but for the first Revoked.
    for event in &folded.counting {
        let by = order_of(event);
        match &event.payload {
            Payload::LicenseIssued(_) => {
                beside.customer = Some(by);
                beside.plan = Some(by);
                beside.expiry = Some(by);
                beside.issue = Some(by);
                beside.suspended = Some((by, false));
            }
            Payload::LicenseTransferred(_) => beside.customer = Some(by),
            Payload::LicensePlanChanged(_) => beside.plan = Some(by),
            Payload::LicenseRenewed(_) => beside.expiry = Some(by),
            Payload::LicenseSuspended(_) => beside.suspended = Some((by, true)),
            Payload::LicenseReinstated(_) => beside.suspended = Some((by, false)),
            Payload::LicenseRevoked(_) => {
                beside.revoked.get_or_insert(by);
            }
            Payload::DeviceActivated(_)
            | Payload::DeviceDeactivated(_)
            | Payload::DeviceHeartbeat(_)
            | Payload::UsageRecorded(_)
            | Payload::EventVoided(_) => {}
        }
    }
    beside
}

fn device_besides<'f>(folded: &'f NaiveLicense<'_>) -> BTreeMap<&'f str, DeviceBeside> {
    let mut devices: BTreeMap<&str, DeviceBeside> = BTreeMap::new();
    for (device_id, seen) in &folded.beats {
        devices.entry(device_id).or_default().seen_in_heartbeat = Some(*seen);
    }
    for event in &folded.counting {
        let by = order_of(event);
        let (device_id, is_activated) = match &event.payload {
            Payload::DeviceActivated(said) => (said.device_id.as_str(), true),
            Payload::DeviceDeactivated(said) => (said.device_id.as_str(), false),
            Payload::LicenseIssued(_)
            | Payload::LicenseRenewed(_)
            | Payload::LicensePlanChanged(_)
            | Payload::LicenseTransferred(_)
            | Payload::LicenseSuspended(_)
            | Payload::LicenseReinstated(_)
            | Payload::LicenseRevoked(_)
            | Payload::DeviceHeartbeat(_)
            | Payload::UsageRecorded(_)
            | Payload::EventVoided(_) => continue,
        };
        let device = devices.entry(device_id).or_default();
        device.active = Some(by);
        if is_activated {
            device.activated = Some(by);
        }
        device.seen_in_event = device.seen_in_event.max(Some(event.occurred_at));
    }
    devices
}

fn order_of(event: &LicenseEvent) -> OrderKey {
    let rank = match &event.payload {
        Payload::LicenseIssued(_) => 0,
        Payload::LicenseSuspended(_) | Payload::DeviceDeactivated(_) => 2,
        Payload::LicenseRenewed(_)
        | Payload::LicensePlanChanged(_)
        | Payload::LicenseTransferred(_)
        | Payload::LicenseReinstated(_)
        | Payload::LicenseRevoked(_)
        | Payload::DeviceActivated(_)
        | Payload::DeviceHeartbeat(_)
        | Payload::UsageRecorded(_)
        | Payload::EventVoided(_) => 1,
    };
    OrderKey {
        occurred_at: event.occurred_at,
        rank,
        event_id: event.event_id,
    }
}
