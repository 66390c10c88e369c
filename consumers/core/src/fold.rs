//! The fold of one license: its past and a batch's records give its change.
//!
//! | what came | how it is folded |
//! |---|---|
//! | events that are new | counted onto the state; late ones change only what they would have decided |
//! | a new event that a known EventVoided names | remembered, not counted |
//! | an EventVoided of an event that is known | folded again from the timeline |
//! | a lesser record with another content | folded again from the timeline |
//! | a lesser record with the same content | only its coordinates move |

use std::collections::BTreeMap;
use std::sync::Arc;

use licenseflow_avro::event::{LicenseEvent, Payload};
use licenseflow_avro::{EventKind, LicenseKey};

use crate::batch::LicenseBatch;
use crate::device::{DeviceState, add_usage, usage_digest};
use crate::digest::{RowDigest, bucket_of};
use crate::event_counts::Counted;
use crate::event_set::{
    ConflictChange, EventChange, KnownEvents, RecordedEvent, Settlement, settle,
};
use crate::license::LicenseState;
use crate::order::OrderKey;

pub use crate::fold_version::{FIRST_VERSION, version};

/// What the store knows of a license, as far as a batch needs it.
#[derive(Debug, Clone, Default)]
pub struct LicensePast {
    /// Its state; none: the license is new.
    pub state: Option<LicenseState>,
    /// The digest of that state's row, where it is at hand.
    pub digest: Option<RowDigest>,
    /// The events among [`LicenseBatch::event_ids`], and the conflicts of those ids.
    pub known: KnownEvents,
    /// Its devices, at least those that the batch names.
    pub devices: BTreeMap<String, DeviceState>,
    /// Its metrics' sums, at least those that the batch names.
    pub usage: BTreeMap<String, i64>,
}

/// What folding a license again needs beside [`LicensePast`], which must then have all devices
/// and all metrics.
#[derive(Debug, Clone, Default)]
pub struct WholePast {
    /// Every event of its timeline, voided ones too.
    pub timeline: Vec<RecordedEvent>,
}

/// What happens to an event in the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimelineChange {
    /// It is new.
    Append(RecordedEvent),
    /// It lies at other coordinates now.
    Move(RecordedEvent),
    /// It has another content, at other coordinates.
    Replace(RecordedEvent),
}

/// What a batch changes about a license. The store writes it, and decides nothing.
#[derive(Debug, Clone)]
pub struct LicenseChange {
    /// The license.
    pub key: Arc<LicenseKey>,
    /// Its state afterwards.
    pub state: LicenseState,
    /// The digest of that state's row.
    pub state_digest: RowDigest,
    /// Its devices that changed; none: the device exists no more.
    pub devices: BTreeMap<String, Option<DeviceState>>,
    /// Its metrics that changed; none: the metric exists no more.
    pub usage: BTreeMap<String, Option<i64>>,
    /// Its timeline.
    pub timeline: Vec<TimelineChange>,
    /// Its conflicts.
    pub conflicts: Vec<ConflictChange>,
    /// What changed about the number of its events that count.
    pub counted: Vec<Counted>,
    /// The bucket of the digest that all its rows count in.
    pub bucket: u8,
    /// What is to be added to that bucket.
    pub digest: RowDigest,
}

impl LicenseChange {
    /// How many event ids were new.
    #[must_use]
    pub fn new_events(&self) -> usize {
        let new = |change: &&TimelineChange| matches!(change, TimelineChange::Append(_));
        self.timeline.iter().filter(new).count()
    }

    /// How many conflicts were opened, each of which is a letter to be sent.
    #[must_use]
    pub fn opened_conflicts(&self) -> usize {
        let opened = |change: &&ConflictChange| matches!(change, ConflictChange::Opened(_));
        self.conflicts.iter().filter(opened).count()
    }
}

/// A license's batch after its event ids are settled against the past.
#[derive(Debug)]
pub struct Settled {
    key: Arc<LicenseKey>,
    events: Vec<Settlement>,
    heartbeats: BTreeMap<String, i64>,
}

impl Settled {
    /// Settles the event ids of a batch.
    #[must_use]
    pub fn of(key: Arc<LicenseKey>, batch: LicenseBatch, past: &LicensePast) -> Self {
        Self {
            key,
            events: settle(batch.arrived, &past.known),
            heartbeats: batch.heartbeats,
        }
    }

    /// The license.
    #[must_use]
    pub fn key(&self) -> &LicenseKey {
        &self.key
    }

    /// Whether the license must be folded again, and [`WholePast`] is needed.
    #[must_use]
    pub fn needs_whole_past(&self, past: &LicensePast) -> bool {
        self.events
            .iter()
            .any(|settlement| match settlement.change {
                EventChange::Replaced => true,
                EventChange::New => voids_what_counted(&settlement.event.event, past),
                EventChange::Same | EventChange::Moved => false,
            })
    }
}

fn voids_what_counted(event: &LicenseEvent, past: &LicensePast) -> bool {
    let Payload::EventVoided(void) = &event.payload else {
        return false;
    };
    let target = past.known.events.get(&void.voided_event_id);
    let counted = |target: &RecordedEvent| target.event.payload.kind() != EventKind::EventVoided;
    let voided_before = past
        .state
        .as_ref()
        .is_some_and(|state| state.voids.contains_key(&void.voided_event_id));
    target.is_some_and(counted) && !voided_before
}

/// Folds all that there is of a license: nothing of it is stored.
#[must_use]
pub fn fold_from_nothing(key: Arc<LicenseKey>, batch: LicenseBatch) -> LicenseChange {
    let past = LicensePast::default();
    fold(Settled::of(key, batch, &past), &past, None)
}

/// Folds a license's batch. `whole` is needed where [`Settled::needs_whole_past`] says so.
#[must_use]
pub fn fold(settled: Settled, past: &LicensePast, whole: Option<WholePast>) -> LicenseChange {
    let Settled {
        key,
        events,
        heartbeats,
    } = settled;
    let mut folded = match whole {
        None => Folded::onto(past, &events),
        Some(whole) => Folded::again(past, whole, &events),
    };
    for (device_id, occurred_at) in heartbeats {
        folded.device(past, device_id).beat(occurred_at);
    }
    let (timeline, conflicts) = writes_of(events);
    folded.into_change(key, past, timeline, conflicts)
}

/// A license as some of its events alone give it; no heartbeat is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoldedLicense {
    /// Its state.
    pub state: LicenseState,
    /// The devices that its events speak of, those whose every event is voided aside.
    pub devices: BTreeMap<String, DeviceState>,
}

/// Folds these events of one license from nothing. Each must be settled: no two have one id.
#[must_use]
pub fn fold_events<'a>(events: impl Iterator<Item = &'a LicenseEvent> + Clone) -> FoldedLicense {
    let mut folded = Folded::default();
    folded.take(&LicensePast::default(), events);
    let seats = folded.devices.values();
    folded.state.seats_used = seats.map(|device| i64::from(device.is_active())).sum();
    FoldedLicense {
        state: folded.state,
        devices: folded.devices,
    }
}

fn writes_of(events: Vec<Settlement>) -> (Vec<TimelineChange>, Vec<ConflictChange>) {
    let mut timeline = Vec::with_capacity(events.len());
    let mut conflicts = Vec::new();
    for settlement in events {
        let event = settlement.event;
        match settlement.change {
            EventChange::New => timeline.push(TimelineChange::Append(event)),
            EventChange::Moved => timeline.push(TimelineChange::Move(event)),
            EventChange::Replaced => timeline.push(TimelineChange::Replace(event)),
            EventChange::Same => {}
        }
        conflicts.extend(settlement.conflicts);
    }
    (timeline, conflicts)
}

/// A license while it is folded: its state, and the devices and metrics that were touched.
#[derive(Default)]
struct Folded {
    state: LicenseState,
    devices: BTreeMap<String, DeviceState>,
    /// None: no counting event is left of the metric.
    usage: BTreeMap<String, Option<i64>>,
    counted: Vec<Counted>,
}

impl Folded {
    /// Counts new events onto the past.
    fn onto(past: &LicensePast, events: &[Settlement]) -> Self {
        let mut folded = Self {
            state: past.state.clone().unwrap_or_default(),
            ..Self::default()
        };
        let new = events
            .iter()
            .filter(|settlement| settlement.change == EventChange::New)
            .map(|settlement| &settlement.event.event);
        folded.take(past, new);
        folded
    }

    /// Folds the whole timeline from nothing; only heartbeats are kept from the past, since no
    /// timeline has them.
    fn again(past: &LicensePast, whole: WholePast, events: &[Settlement]) -> Self {
        let settled: BTreeMap<_, _> = events
            .iter()
            .map(|settlement| (settlement.event.event.event_id, &settlement.event))
            .collect();
        let kept = whole
            .timeline
            .iter()
            .filter(|record| !settled.contains_key(&record.event.event_id));
        let timeline: Vec<&LicenseEvent> = kept
            .chain(settled.values().copied())
            .map(|record| &record.event)
            .collect();
        let mut folded = Self {
            usage: past
                .usage
                .keys()
                .map(|metric| (metric.clone(), None))
                .collect(),
            ..Self::default()
        };
        for (device_id, device) in &past.devices {
            folded
                .devices
                .entry(device_id.clone())
                .or_default()
                .seen_in_heartbeat = device.seen_in_heartbeat;
        }
        folded.take(&LicensePast::default(), timeline.into_iter());
        let before = whole.timeline.iter().map(|record| &record.event);
        let counted_before =
            before.filter(|event| past.state.as_ref().is_none_or(|state| !state.voids(event)));
        let taken_back = counted_before.map(|event| Counted::of(event, -1));
        folded.counted.extend(taken_back);
        folded.counted = Counted::net(folded.counted);
        folded
    }

    /// Takes events that are new to it, voids first, since each may name any of the others.
    fn take<'a>(
        &mut self,
        past: &LicensePast,
        events: impl Iterator<Item = &'a LicenseEvent> + Clone,
    ) {
        for event in events.clone() {
            if let Payload::EventVoided(void) = &event.payload {
                self.state
                    .note_void(OrderKey::of(event), void.voided_event_id);
            }
        }
        for event in events {
            self.state.remember(event.event_id);
            if !self.state.voids(event) {
                self.count(past, event);
            }
        }
    }

    fn count(&mut self, past: &LicensePast, event: &LicenseEvent) {
        let by = OrderKey::of(event);
        self.state.count(event);
        self.counted.push(Counted::of(event, 1));
        match &event.payload {
            Payload::DeviceActivated(said) => {
                self.device(past, said.device_id.clone()).activate(by, said);
            }
            Payload::DeviceDeactivated(said) => {
                self.device(past, said.device_id.clone()).deactivate(by);
            }
            Payload::UsageRecorded(said) => {
                let before = past.usage.get(&said.metric).copied();
                let sum = self.usage.entry(said.metric.clone()).or_insert(before);
                *sum = Some(add_usage(sum.unwrap_or(0), said.quantity));
            }
            Payload::LicenseIssued(_)
            | Payload::LicenseRenewed(_)
            | Payload::LicensePlanChanged(_)
            | Payload::LicenseTransferred(_)
            | Payload::LicenseSuspended(_)
            | Payload::LicenseReinstated(_)
            | Payload::LicenseRevoked(_)
            | Payload::DeviceHeartbeat(_)
            | Payload::EventVoided(_) => {}
        }
    }

    fn device(&mut self, past: &LicensePast, device_id: String) -> &mut DeviceState {
        let before = past.devices.get(&device_id);
        self.devices
            .entry(device_id)
            .or_insert_with(|| before.cloned().unwrap_or_default())
    }

    /// Compares with the past: what changed, and by how much the digest does.
    fn into_change(
        mut self,
        key: Arc<LicenseKey>,
        past: &LicensePast,
        timeline: Vec<TimelineChange>,
        conflicts: Vec<ConflictChange>,
    ) -> LicenseChange {
        let nothing = DeviceState::default();
        let mut digest = RowDigest::default();
        let mut seats = past.state.as_ref().map_or(0, |state| state.seats_used);
        let mut devices = BTreeMap::new();
        for (device_id, device) in self.devices {
            let before = past.devices.get(&device_id).unwrap_or(&nothing);
            if device == *before {
                continue;
            }
            seats += i64::from(device.is_active()) - i64::from(before.is_active());
            digest = digest
                .plus(device.digest(&key, &device_id))
                .minus(before.digest(&key, &device_id));
            devices.insert(device_id, device.exists().then_some(device));
        }
        let mut usage = BTreeMap::new();
        for (metric, sum) in self.usage {
            let before = past.usage.get(&metric).copied();
            if sum == before {
                continue;
            }
            digest = digest
                .plus(usage_digest(&key, &metric, sum))
                .minus(usage_digest(&key, &metric, before));
            usage.insert(metric, sum);
        }
        self.state.seats_used = seats;
        let before = past
            .state
            .as_ref()
            .map_or_else(RowDigest::default, |state| {
                past.digest.unwrap_or_else(|| state.digest(&key))
            });
        let state_digest = if past.state.as_ref() == Some(&self.state) {
            before
        } else {
            self.state.digest(&key)
        };
        digest = digest.plus(state_digest).minus(before);
        LicenseChange {
            bucket: bucket_of(&key),
            key,
            state: self.state,
            state_digest,
            devices,
            usage,
            timeline,
            conflicts,
            counted: self.counted,
            digest,
        }
    }
}
