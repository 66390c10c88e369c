//! The least that a store must be: rows in memory, asked for and written as the stores on disk do it.
//!
//! It gives the fold no more of a license's past than they give, and refuses what a database would: an event
//! appended twice, a conflict moved that is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use licenseflow_avro::event::Payload;
use licenseflow_avro::{Coordinates, EventKind, LicenseKey};
use licenseflow_core::batch::LicenseBatch;
use licenseflow_core::device::{device_of, usage_canonical};
use licenseflow_core::event_set::ConflictChange;
use licenseflow_core::fold::{Settled, TimelineChange, fold, fold_events};
use licenseflow_core::{
    Batch, Buckets, DeviceState, LicenseChange, LicensePast, LicenseState, RecordedEvent,
    RowDigest, WholePast,
};
use uuid::Uuid;

/// What is kept of a license.
#[derive(Default)]
struct Rows {
    state: Option<(LicenseState, RowDigest)>,
    timeline: BTreeMap<Uuid, RecordedEvent>,
    conflicts: BTreeMap<Uuid, Vec<RecordedEvent>>,
    devices: BTreeMap<String, DeviceState>,
    usage: BTreeMap<String, i64>,
}

/// A read model in memory.
#[derive(Default)]
pub(super) struct Memory {
    licenses: BTreeMap<Arc<LicenseKey>, Rows>,
    digest: Buckets,
    counted: BTreeMap<(i64, EventKind), i64>,
    batches: usize,
}

impl Memory {
    /// Applies a batch.
    pub(super) fn apply(&mut self, batch: Batch) {
        self.batches += 1;
        for (key, packed) in batch.licenses {
            let batch = packed.unpack(&key).unwrap();
            let rows = self.licenses.entry(key.clone()).or_default();
            // A store has the digest of some licenses at hand, and of others not.
            let mut past = rows.past(&batch, self.batches.is_multiple_of(2));
            let settled = Settled::of(key, batch, &past);
            let again = settled.needs_whole_past(&past);
            let whole = again.then(|| rows.whole(&mut past));
            let change = fold(settled, &past, whole);
            self.digest.add(change.bucket, change.digest);
            for counted in &change.counted {
                let place = (counted.occurred_at, counted.kind);
                *self.counted.entry(place).or_default() += counted.by;
            }
            rows.write(change);
        }
    }

    /// The digest as it was kept from change to change.
    pub(super) fn digest(&self) -> String {
        self.digest.text()
    }

    /// Every row's canonical JSON, sorted.
    pub(super) fn rows(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (key, rows) in &self.licenses {
            found.extend(rows.state.iter().map(|(state, _)| state.canonical(key)));
            let devices = rows.devices.iter();
            found.extend(devices.map(|(id, device)| device.canonical(key, id)));
            let usage = rows.usage.iter();
            found.extend(usage.map(|(metric, sum)| usage_canonical(key, metric, *sum)));
        }
        found.sort();
        found
    }

    /// Where the open conflicts are shown, sorted.
    pub(super) fn conflicts(&self) -> Vec<Coordinates> {
        let all = self.licenses.values();
        let open = all.flat_map(|rows| rows.conflicts.values().flatten());
        let mut found: Vec<Coordinates> = open.map(|it| it.at).collect();
        found.sort();
        found
    }

    /// How many events count, by time and type, those that come to nothing left out.
    pub(super) fn counted(&self) -> BTreeMap<(i64, EventKind), i64> {
        let all = self.counted.iter().map(|(place, count)| (*place, *count));
        all.filter(|(_, count)| *count != 0).collect()
    }

    /// Every license is what its timeline alone gives, heartbeats aside: so the past is asked for.
    pub(super) fn check_timelines(&self) {
        for rows in self.licenses.values() {
            let folded = fold_events(rows.timeline.values().map(|it| &it.event));
            let (state, _) = rows.state.as_ref().unwrap();
            assert_eq!(folded.state, *state);
            let devices = rows.devices.iter().map(|(id, device)| {
                let device = DeviceState {
                    seen_in_heartbeat: None,
                    ..device.clone()
                };
                (id.clone(), device)
            });
            let by_events: BTreeMap<_, _> = devices.filter(|(_, it)| it.exists()).collect();
            assert_eq!(folded.devices, by_events);
        }
    }
}

impl Rows {
    /// What a store reads for a batch: the rows that it names, and nothing else.
    fn past(&self, batch: &LicenseBatch, digest_at_hand: bool) -> LicensePast {
        let mut past = LicensePast::default();
        if let Some((state, digest)) = &self.state {
            past.state = Some(state.clone());
            past.digest = digest_at_hand.then_some(*digest);
        }
        for id in batch.event_ids() {
            let Some(event) = self.timeline.get(&id) else {
                continue;
            };
            past.known.events.insert(id, event.clone());
            let conflicts = self.conflicts.get(&id).cloned().unwrap_or_default();
            past.known.conflicts.insert(id, conflicts);
        }
        let in_events = batch.arrived.iter().filter_map(|it| device_of(&it.event));
        for id in in_events.chain(batch.heartbeats.keys().map(String::as_str)) {
            if let Some(device) = self.devices.get(id) {
                past.devices.insert(id.to_owned(), device.clone());
            }
        }
        for record in &batch.arrived {
            if let Payload::UsageRecorded(said) = &record.event.payload
                && let Some(sum) = self.usage.get(&said.metric)
            {
                past.usage.insert(said.metric.clone(), *sum);
            }
        }
        past
    }

    /// What a store reads of a license that is folded again.
    fn whole(&self, past: &mut LicensePast) -> WholePast {
        past.devices = self.devices.clone();
        past.usage = self.usage.clone();
        WholePast {
            timeline: self.timeline.values().cloned().collect(),
        }
    }

    fn write(&mut self, change: LicenseChange) {
        assert_eq!(change.state_digest, change.state.digest(&change.key));
        self.state = Some((change.state, change.state_digest));
        put(&mut self.devices, change.devices);
        put(&mut self.usage, change.usage);
        for event in change.timeline {
            let (recorded, is_known) = match event {
                TimelineChange::Append(recorded) => (recorded, false),
                TimelineChange::Move(recorded) | TimelineChange::Replace(recorded) => {
                    (recorded, true)
                }
            };
            let before = self.timeline.insert(recorded.event.event_id, recorded);
            assert_eq!(before.is_some(), is_known);
        }
        for conflict in change.conflicts {
            self.write_conflict(conflict);
        }
    }

    fn write_conflict(&mut self, change: ConflictChange) {
        let (recorded, was_open, is_open) = match change {
            ConflictChange::Opened(recorded) => (recorded, false, true),
            ConflictChange::Moved(recorded) => (recorded, true, true),
            ConflictChange::Closed(recorded) => (recorded, true, false),
        };
        let open = self.conflicts.entry(recorded.event.event_id).or_default();
        let place = open.iter().position(|it| it.event == recorded.event);
        assert_eq!(place.is_some(), was_open, "{recorded:?}");
        if let Some(place) = place {
            open.remove(place);
        }
        if is_open {
            open.push(recorded);
        }
    }
}

/// Writes rows, and deletes those that are no more.
fn put<T>(rows: &mut BTreeMap<String, T>, changes: BTreeMap<String, Option<T>>) {
    for (name, row) in changes {
        match row {
            Some(row) => rows.insert(name, row),
            None => rows.remove(&name),
        };
    }
}
