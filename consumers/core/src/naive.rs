//! The naive fold: every accepted event of every license at once, sorted, from nothing.
//!
//! It is what the contract says, written down with no thought of speed, and shares no code with
//! the fast fold: not its order, not its rows, not its JSON. Tests and `licenseflow verify` hold
//! the two against each other.

use std::collections::{BTreeMap, BTreeSet, HashSet};

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
        let folded = fold_license(&tenant, &license, &records);
        let sum = model.buckets.entry(bucket).or_default();
        let mut text = |row: &Value| {
            let text = canonical(row);
            *sum = sum.wrapping_add(xxh3_128(text.as_bytes()));
            text
        };
        model.licenses.insert(text(&folded.license));
        model.devices.extend(folded.devices.values().map(&mut text));
        model.usage.extend(folded.usage.values().map(&mut text));
        let conflicts = folded
            .conflicts
            .iter()
            .map(|(at, event)| (tenant.clone(), license.clone(), event.event_id, **at));
        model.conflicts.extend(conflicts);
    }
    model.buckets.retain(|_, sum| *sum != 0);
    model
}

/// One license, folded from nothing, and what its rows come from.
#[derive(Debug, Clone, Default)]
pub struct NaiveLicense<'a> {
    /// Its row.
    pub license: Value,
    /// Its devices' rows, by device.
    pub devices: BTreeMap<String, Value>,
    /// Its metrics' rows, by metric.
    pub usage: BTreeMap<String, Value>,
    /// Its events, voided ones too, each at the least record of its id.
    pub events: BTreeMap<Uuid, (&'a Coordinates, &'a LicenseEvent)>,
    /// Those that count, in order.
    pub counting: Vec<&'a LicenseEvent>,
    /// The ids that an EventVoided names, each with the first such EventVoided in order.
    pub voids: BTreeMap<Uuid, &'a LicenseEvent>,
    /// The greatest heartbeat of each device, in microseconds UTC.
    pub beats: BTreeMap<&'a str, i64>,
    /// Other contents than the events', each at the least record that has it.
    pub conflicts: Vec<(&'a Coordinates, &'a LicenseEvent)>,
}

/// Folds the accepted records of one license, given in the order of their coordinates.
#[must_use]
pub fn fold_license<'a>(
    tenant: &str,
    license: &str,
    records: &'a [(Coordinates, LicenseEvent)],
) -> NaiveLicense<'a> {
    let mut events: BTreeMap<Uuid, (&Coordinates, &LicenseEvent)> = BTreeMap::new();
    let mut conflicts: Vec<(&Coordinates, &LicenseEvent)> = Vec::new();
    let mut others: HashSet<&LicenseEvent> = HashSet::new();
    let mut beats: BTreeMap<&str, i64> = BTreeMap::new();
    // Least coordinates first: whoever comes first under an id is the event.
    for (at, event) in records {
        if let Payload::DeviceHeartbeat(beat) = &event.payload {
            let seen = beats.entry(&beat.device_id).or_insert(event.occurred_at);
            *seen = event.occurred_at.max(*seen);
            continue;
        }
        let (_, first) = events.entry(event.event_id).or_insert((at, event));
        if *first != event && others.insert(event) {
            conflicts.push((at, event));
        }
    }
    let in_order = |event: &&LicenseEvent| {
        (
            event.occurred_at,
            naive_rank(event),
            event.event_id.into_bytes(),
        )
    };
    let mut all: Vec<&LicenseEvent> = events.values().map(|(_, event)| *event).collect();
    all.sort_by_key(in_order);
    let mut voids: BTreeMap<Uuid, &LicenseEvent> = BTreeMap::new();
    for event in &all {
        if let Payload::EventVoided(void) = &event.payload {
            voids.entry(void.voided_event_id).or_insert(event);
        }
    }
    let counts = |event: &&LicenseEvent| {
        matches!(event.payload, Payload::EventVoided(_)) || !voids.contains_key(&event.event_id)
    };
    let counting: Vec<&LicenseEvent> = all.into_iter().filter(counts).collect();
    let hash = events.keys().fold(0u128, |sum, id| {
        sum.wrapping_add(xxh3_128(&id.into_bytes()))
    });
    NaiveLicense {
        license: license_row(tenant, license, &counting, hash),
        devices: device_rows(tenant, license, &counting, &beats),
        usage: usage_rows(tenant, license, &counting),
        events,
        counting,
        voids,
        beats,
        conflicts,
    }
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
) -> BTreeMap<String, Value> {
    let mut devices: BTreeMap<&str, Vec<&LicenseEvent>> =
        beats.keys().map(|id| (*id, Vec::new())).collect();
    for event in counting {
        match &event.payload {
            Payload::DeviceActivated(it) => devices.entry(&it.device_id).or_default().push(event),
            Payload::DeviceDeactivated(it) => devices.entry(&it.device_id).or_default().push(event),
            _ => {}
        }
    }
    devices
        .into_iter()
        .map(|(id, mine)| {
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
            (id.to_owned(), row)
        })
        .collect()
}

fn usage_rows(tenant: &str, license: &str, counting: &[&LicenseEvent]) -> BTreeMap<String, Value> {
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
            (metric.to_owned(), row)
        })
        .collect()
}

/// `serde_json` keeps members sorted and escapes as RFC 8785 does; no float occurs in a row.
fn canonical(row: &Value) -> String {
    row.to_string()
}
