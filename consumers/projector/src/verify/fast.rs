//! What the log says of a license by the projector's own fold, in memory: quicker, and blind to what both get
//! wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use licenseflow_avro::{Coordinates, LicenseEvent, LicenseKey};
use licenseflow_core::device::usage_canonical;
use licenseflow_core::event_set::ConflictChange;
use licenseflow_core::fold::{TimelineChange, fold_from_nothing};
use licenseflow_core::{LicenseBatch, LicenseChange, RecordedEvent};
use licenseflow_store::audit::Part;

use super::expected::{Beside, Expected, Row, Said, Standing};
use super::held::{device_beside, license_beside};

/// Folds the records of one license, heartbeats aside, and the greatest heartbeat of each device; `said` says
/// of each record what it says.
pub(super) fn expected<'r>(
    key: &LicenseKey,
    records: Vec<(Coordinates, LicenseEvent)>,
    beats: &BTreeMap<String, i64>,
    said: &BTreeMap<Coordinates, Said<'r>>,
) -> Expected<'r> {
    let arrived = records.into_iter().map(|(at, event)| RecordedEvent {
        at,
        request_id: None,
        event,
    });
    let batch = LicenseBatch {
        arrived: arrived.collect(),
        heartbeats: beats.clone(),
    };
    let change = fold_from_nothing(Arc::new(key.clone()), batch);
    let says = |event: &RecordedEvent| Some((event.event.event_id, *said.get(&event.at)?));
    let events = change.timeline.iter().map(|change| match change {
        TimelineChange::Append(event)
        | TimelineChange::Move(event)
        | TimelineChange::Replace(event) => event,
    });
    let conflicts = change.conflicts.iter().map(|change| match change {
        ConflictChange::Opened(event)
        | ConflictChange::Moved(event)
        | ConflictChange::Closed(event) => event,
    });
    Expected {
        events: events.filter_map(says).collect(),
        conflicts: conflicts.filter_map(says).collect(),
        voids: change
            .state
            .voids
            .iter()
            .map(|(id, by)| (*id, by.event_id))
            .collect(),
        counting: change
            .counted
            .iter()
            .map(|counted| (counted.occurred_at, counted.kind))
            .collect(),
        rows: rows(key, &change),
        standing: standing(&change),
    }
}

fn rows(key: &LicenseKey, change: &LicenseChange) -> BTreeMap<(Part, String), Row> {
    let mut rows = BTreeMap::new();
    let row = Row {
        canonical: change.state.canonical(key),
        beside: Beside::License(Box::new(license_beside(&change.state))),
    };
    rows.insert((Part::License, String::new()), row);
    for (device_id, state) in &change.devices {
        if let Some(state) = state {
            let row = Row {
                canonical: state.canonical(key, device_id),
                beside: Beside::Device(device_beside(state)),
            };
            rows.insert((Part::Device, device_id.clone()), row);
        }
    }
    for (metric, quantity) in &change.usage {
        if let Some(quantity) = quantity {
            let row = Row {
                canonical: usage_canonical(key, metric, *quantity),
                beside: Beside::Usage,
            };
            rows.insert((Part::Usage, metric.clone()), row);
        }
    }
    rows
}

fn standing(change: &LicenseChange) -> Standing {
    let state = &change.state;
    let plan = state.plan.as_ref().map(|it| &it.value);
    let issue = state.issue.as_ref().map(|it| &it.value);
    Standing {
        customer: state.customer.as_ref().map(|it| it.value.to_string()),
        product: issue.map(|it| it.product_id.clone()),
        plan: plan.map(|it| it.plan.clone()),
        lifecycle: state.lifecycle().name().to_owned(),
        seats: plan.map_or(0, |it| i64::from(it.seats)),
        seats_used: state.seats_used,
        valid_from: issue.map(|it| it.valid_from),
        expires_at: state.expires_at(),
    }
}
