//! The naive fold: every accepted event of every license at once, sorted, from nothing.
//!
//! It is what the contract says, written down with no thought of speed, and shares no code with
//! the fast fold: not its order, not its rows, not its JSON. Tests and `licenseflow verify` hold
//! the two against each other.

use std::collections::{BTreeMap, BTreeSet};

use licenseflow_avro::event::Payload;
use licenseflow_avro::{Coordinates, LicenseEvent};
use serde_json::{Value, json};
use uuid::Uuid;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The rows of the whole, as canonical JSON, and their digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NaiveModel {
    /// License rows.
    pub licenses: BTreeSet<String>,
    /// Device rows.
    pub devices: BTreeSet<String>,
    /// Usage rows.
    pub usage: BTreeSet<String>,
    /// Open conflicts: tenant, license, event id, and the least record that has the content.
    pub conflicts: BTreeSet<(String, String, Uuid, Coordinates)>,
    /// The digest's buckets that are not zero.
    pub buckets: BTreeMap<u8, u128>,
}

impl NaiveModel {
    /// `d1:` and 32 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        let sum = self
            .buckets
            .values()
            .fold(0u128, |sum, it| sum.wrapping_add(*it));
        format!("d1:{sum:032x}")
    }
}

/// Folds the accepted records, given in any order.
#[must_use]
pub fn fold(records: impl IntoIterator<Item = (Coordinates, LicenseEvent)>) -> NaiveModel {
    let mut licenses: BTreeMap<(String, String), Vec<(Coordinates, LicenseEvent)>> =
        BTreeMap::new();
    for (at, event) in records {
        let key = (event.tenant_id.clone(), event.license_id.clone());
        licenses.entry(key).or_default().push((at, event));
    }
    let mut model = NaiveModel::default();
    for ((tenant, license), mut records) in licenses {
        records.sort_by_key(|(at, _)| *at);
        let name = format!("{tenant}/{license}");
        let bucket = (xxh3_64(name.as_bytes()) & 0xff) as u8;
        let rows = fold_license(&tenant, &license, &records, &mut model.conflicts);
        for (kind, row) in rows {
            let text = canonical(&row);
            let sum = model.buckets.entry(bucket).or_default();
            *sum = sum.wrapping_add(xxh3_128(text.as_bytes()));
            match kind {
                Row::License => model.licenses.insert(text),
                Row::Device => model.devices.insert(text),
                Row::Usage => model.usage.insert(text),
            };
        }
    }
    model.buckets.retain(|_, sum| *sum != 0);
    model
}

enum Row {
    License,
    Device,
    Usage,
}

fn fold_license(
    tenant: &str,
    license: &str,
    records: &[(Coordinates, LicenseEvent)],
    conflicts: &mut BTreeSet<(String, String, Uuid, Coordinates)>,
) -> Vec<(Row, Value)> {
    let mut events: BTreeMap<Uuid, &LicenseEvent> = BTreeMap::new();
    let mut others: Vec<&LicenseEvent> = Vec::new();
    let mut beats: BTreeMap<&str, i64> = BTreeMap::new();
    // Least coordinates first: whoever comes first under an id is the event.
    for (at, event) in records {
        if let Payload::DeviceHeartbeat(beat) = &event.payload {
            let seen = beats.entry(&beat.device_id).or_insert(event.occurred_at);
            *seen = event.occurred_at.max(*seen);
            continue;
        }
        let first = events.entry(event.event_id).or_insert(event);
        if *first != event && !others.contains(&event) {
            others.push(event);
            conflicts.insert((tenant.to_owned(), license.to_owned(), event.event_id, *at));
        }
    }
    let voided: BTreeSet<Uuid> = events
        .values()
        .filter_map(|event| match &event.payload {
            Payload::EventVoided(void) => Some(void.voided_event_id),
            _ => None,
        })
        .collect();
    let mut counting: Vec<&LicenseEvent> = events
        .values()
        .filter(|event| {
            matches!(event.payload, Payload::EventVoided(_)) || !voided.contains(&event.event_id)
        })
        .copied()
        .collect();
    counting.sort_by_key(|event| {
        (
            event.occurred_at,
            naive_rank(event),
            event.event_id.into_bytes(),
        )
    });
    let hash = events.keys().fold(0u128, |sum, id| {
        sum.wrapping_add(xxh3_128(&id.into_bytes()))
    });
    let mut rows = vec![(Row::License, license_row(tenant, license, &counting, hash))];
    rows.extend(device_rows(tenant, license, &counting, &beats));
    rows.extend(usage_rows(tenant, license, &counting));
    rows
}

fn naive_rank(event: &LicenseEvent) -> u8 {
    match event.payload {
        Payload::LicenseIssued(_) => 0,
        Payload::LicenseSuspended(_) | Payload::DeviceDeactivated(_) => 2,
        _ => 1,
    }
}

fn license_row(tenant: &str, license: &str, counting: &[&LicenseEvent], hash: u128) -> Value {
    let last = counting.last();
    let mut row = json!({
        "customer_id": null, "entitlements": null, "expires_at": null, "metadata": null, "plan": null,
        "product_id": null, "seats": null, "valid_from": null, "lifecycle": "unknown",
        "event_count": counting.len(),
        "events": format!("{hash:032x}"),
        "first_event_at": counting.first().map(|it| it.occurred_at),
        "last_event_at": last.map(|it| it.occurred_at),
        "last_event_id": last.map(|it| it.event_id.to_string()),
        "license_id": license,
        "tenant_id": tenant,
        "decided_by": {"customer": null, "expiry": null, "issue": null, "lifecycle": null, "plan": null},
    });
    let mut says = |event: &LicenseEvent, group: &str, members: Value| {
        row["decided_by"][group] = json!(event.event_id.to_string());
        for (name, value) in members.as_object().into_iter().flatten() {
            row[name] = value.clone();
        }
    };
    for event in counting {
        for (group, members) in groups_said(&event.payload) {
            says(event, group, members);
        }
    }
    let revoked = |event: &&&LicenseEvent| matches!(event.payload, Payload::LicenseRevoked(_));
    if let Some(event) = counting.iter().find(revoked) {
        says(event, "lifecycle", json!({"lifecycle": "revoked"}));
    }
    row
}

/// The field groups that an event says, each with its members.
fn groups_said(payload: &Payload) -> Vec<(&'static str, Value)> {
    match payload {
        Payload::LicenseIssued(it) => vec![
            ("customer", json!({"customer_id": it.customer_id})),
            (
                "plan",
                json!({"plan": it.plan, "seats": it.seats, "entitlements": it.entitlements}),
            ),
            ("expiry", json!({"expires_at": it.expires_at})),
            (
                "issue",
                json!({"product_id": it.product_id, "valid_from": it.valid_from, "metadata": it.metadata}),
            ),
            ("lifecycle", json!({"lifecycle": "active"})),
        ],
        Payload::LicenseRenewed(it) => vec![("expiry", json!({"expires_at": it.expires_at}))],
        Payload::LicensePlanChanged(it) => vec![(
            "plan",
            json!({"plan": it.plan, "seats": it.seats, "entitlements": it.entitlements}),
        )],
        Payload::LicenseTransferred(it) => {
            vec![("customer", json!({"customer_id": it.customer_id}))]
        }
        Payload::LicenseSuspended(_) => vec![("lifecycle", json!({"lifecycle": "suspended"}))],
        Payload::LicenseReinstated(_) => vec![("lifecycle", json!({"lifecycle": "active"}))],
        _ => Vec::new(),
    }
}

fn device_rows(
    tenant: &str,
    license: &str,
    counting: &[&LicenseEvent],
    beats: &BTreeMap<&str, i64>,
) -> Vec<(Row, Value)> {
    let mut ids: BTreeSet<&str> = beats.keys().copied().collect();
    let device_of = |event: &LicenseEvent| match &event.payload {
        Payload::DeviceActivated(it) => Some(it.device_id.clone()),
        Payload::DeviceDeactivated(it) => Some(it.device_id.clone()),
        _ => None,
    };
    let named: Vec<String> = counting
        .iter()
        .filter_map(|event| device_of(event))
        .collect();
    ids.extend(named.iter().map(String::as_str));
    ids.into_iter()
        .map(|id| {
            let mine: Vec<_> = counting
                .iter()
                .filter(|event| device_of(event).as_deref() == Some(id))
                .collect();
            let last_activation = mine.iter().rev().find_map(|event| match &event.payload {
                Payload::DeviceActivated(it) => Some((event.event_id, it)),
                _ => None,
            });
            let active = mine
                .last()
                .is_some_and(|event| matches!(event.payload, Payload::DeviceActivated(_)));
            let seen = mine.iter().map(|event| event.occurred_at).max();
            let row = json!({
                "activated_by": last_activation.map(|(event_id, _)| event_id.to_string()),
                "active": active,
                "decided_by": mine.last().map(|event| event.event_id.to_string()),
                "device_id": id,
                "fingerprint": last_activation.map(|(_, it)| &it.fingerprint),
                "last_seen_at": seen.max(beats.get(id).copied()),
                "license_id": license,
                "platform": last_activation.map(|(_, it)| &it.platform),
                "tenant_id": tenant,
            });
            (Row::Device, row)
        })
        .collect()
}

fn usage_rows(tenant: &str, license: &str, counting: &[&LicenseEvent]) -> Vec<(Row, Value)> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for event in counting {
        if let Payload::UsageRecorded(it) = &event.payload {
            *sums.entry(&it.metric).or_default() += i128::from(it.quantity);
        }
    }
    sums.into_iter()
        .map(|(metric, sum)| {
            let row = json!({
                "license_id": license,
                "metric": metric,
                "quantity": sum.min((1 << 53) - 1) as i64,
                "tenant_id": tenant,
            });
            (Row::Usage, row)
        })
        .collect()
}

/// `serde_json` keeps members sorted and escapes as RFC 8785 does; no float occurs in a row.
fn canonical(row: &Value) -> String {
    row.to_string()
}
