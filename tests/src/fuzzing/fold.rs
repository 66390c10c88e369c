//! Any bytes as a small set of records, delivered twice: in another order, other batches, with others twice.

use std::collections::{BTreeMap, BTreeSet};

use licenseflow_avro::event::{
    DeviceActivated, DeviceDeactivated, DeviceHeartbeat, EventVoided, LicenseIssued,
    LicensePlanChanged, LicenseReinstated, LicenseRenewed, LicenseRevoked, LicenseSuspended,
    LicenseTransferred, Payload, TextMap, UsageRecorded,
};
use licenseflow_avro::{Coordinates, EventKind, Lane, LicenseEvent};
use licenseflow_core::batch::Envelope;
use licenseflow_core::naive::{self, NaiveModel};
use licenseflow_core::{Batch, RecordedEvent};
use uuid::Uuid;

use super::draw::Draw;
use super::memory::Memory;
use crate::chance::Chance;

/// An accepted record.
pub type Accepted = (Coordinates, LicenseEvent);

/// More records than this show nothing that fewer do not, and take longer.
const RECORDS_MAX: usize = 40;
/// The bytes of one record.
const RECORD_BYTES: usize = 6;

/// Records, and the ways in which they are delivered: each a list of batches, each of these a list of records.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// All records, at coordinates that no two share.
    pub records: Vec<Accepted>,
    /// For each delivery its batches, by the records' indices; each record is in it at least once.
    pub deliveries: [Vec<Vec<usize>>; 2],
}

/// Takes bytes for records and deliveries, and asserts that rows are a function of the set of records.
pub fn fold(bytes: &[u8]) {
    let schedule = Schedule::of(bytes);
    let naive = naive::fold(schedule.records.iter().cloned());
    let counted = counted(&schedule.records);
    for batches in &schedule.deliveries {
        let mut store = Memory::default();
        for batch in batches {
            store.apply(batch_of(&schedule.records, batch));
        }
        check(&store, &naive);
        assert_eq!(store.counted(), counted);
    }
}

/// The records of these indices as a batch that moves no position.
#[must_use]
pub fn batch_of(records: &[Accepted], indices: &[usize]) -> Batch {
    let mut batch = Batch::default();
    for index in indices {
        let (at, event) = &records[*index];
        batch.accept(*at, Envelope::default(), event);
    }
    batch
}

fn check(store: &Memory, naive: &NaiveModel) {
    let mut rows: Vec<String> = [&naive.licenses, &naive.devices, &naive.usage]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    rows.sort();
    assert_eq!(store.rows(), rows);
    assert_eq!(store.digest(), naive.digest());
    let mut conflicts: Vec<Coordinates> = naive.conflicts.iter().map(|it| it.3).collect();
    conflicts.sort();
    assert_eq!(store.conflicts(), conflicts);
    store.check_timelines();
}

/// How many events count by time and type, from nothing: the least record of an id is the event, unless
/// another names it that is one itself.
fn counted(records: &[Accepted]) -> BTreeMap<(i64, EventKind), i64> {
    let mut least: BTreeMap<_, RecordedEvent> = BTreeMap::new();
    for (at, event) in records {
        if event.payload.kind() == EventKind::DeviceHeartbeat {
            continue;
        }
        let here = RecordedEvent {
            at: *at,
            request_id: None,
            event: event.clone(),
        };
        let known = least
            .entry((event.license_key(), event.event_id))
            .or_insert_with(|| here.clone());
        if here.at < known.at {
            *known = here;
        }
    }
    let voids = least
        .iter()
        .filter_map(|((license, _), it)| match &it.event.payload {
            Payload::EventVoided(void) => Some((license.clone(), void.voided_event_id)),
            _ => None,
        });
    let voided: BTreeSet<_> = voids.collect();
    let mut counted = BTreeMap::new();
    for (of, it) in &least {
        let kind = it.event.payload.kind();
        if kind == EventKind::EventVoided || !voided.contains(of) {
            *counted.entry((it.event.occurred_at, kind)).or_default() += 1;
        }
    }
    counted
}

impl Schedule {
    /// The first four bytes choose the deliveries, each six of the others a record.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut draw = Draw::new(bytes);
        let seeds = [draw.take(2), draw.take(2)].map(|seed| {
            let seed = seed.iter().rev();
            seed.fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        });
        let mut records: Vec<Accepted> = Vec::new();
        while !draw.is_empty() && records.len() < RECORDS_MAX {
            let record = record(&mut Draw::new(draw.take(RECORD_BYTES)), &records);
            records.push(record);
        }
        let deliveries = seeds.map(|seed| delivery(records.len(), seed));
        Self {
            records,
            deliveries,
        }
    }
}

/// An order, its cuts, and what comes twice. Seed 0 is all at once, as it lies in the log.
fn delivery(records: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..records).collect();
    if seed == 0 {
        return vec![order];
    }
    let mut chance = Chance::new(seed);
    for place in (1..records).rev() {
        order.swap(place, chance.below(place as u64 + 1) as usize);
    }
    let (twice_in, cut_in) = (2 + chance.below(6), 1 + chance.below(8));
    for index in 0..records {
        if chance.once_in(twice_in) {
            let place = chance.below(order.len() as u64 + 1) as usize;
            order.insert(place, index);
        }
    }
    let mut batches = vec![Vec::new()];
    for index in order {
        if chance.once_in(cut_in) {
            batches.push(Vec::new());
        }
        if let Some(batch) = batches.last_mut() {
            batch.push(index);
        }
    }
    batches
}

fn record(draw: &mut Draw<'_>, before: &[Accepted]) -> Accepted {
    let place = draw.byte();
    let at = Coordinates {
        timestamp: i64::from(place & 3),
        lane: if place & 4 == 0 {
            Lane::Interactive
        } else {
            Lane::Bulk
        },
        partition: i32::from(place >> 3 & 1),
        // No two records lie at one place.
        offset: before.len() as i64,
    };
    let (whose, id) = (draw.byte(), draw.byte());
    // What was said before is said again.
    if whose & 0xC0 == 0xC0 && !before.is_empty() {
        return (at, before[usize::from(id) % before.len()].1.clone());
    }
    let event = LicenseEvent {
        event_id: event_id(id),
        license_id: ["L1", "L2"][usize::from(whose & 1)].to_owned(),
        tenant_id: ["t1", "t2"][usize::from(whose >> 1 & 1)].to_owned(),
        occurred_at: i64::from(whose >> 2 & 7),
        source: ["", "s"][usize::from(whose >> 5 & 1)].to_owned(),
        actor: None,
        payload: payload(draw),
    };
    (at, event)
}

/// Few enough that events meet; their order by bytes is not that of their numbers.
fn event_id(number: u8) -> Uuid {
    let number = u128::from(number % 24);
    Uuid::from_u128((number * 7 % 24) << 120 | number)
}

fn payload(draw: &mut Draw<'_>) -> Payload {
    let kind = EventKind::ALL[draw.below(EventKind::ALL.len())];
    let (one, other) = (draw.byte(), draw.byte());
    let name = |prefix: &str, choice: u8| format!("{prefix}{}", choice % 3);
    let time = |choice: u8| (!choice.is_multiple_of(5)).then(|| i64::from(choice % 9));
    let map = |choice: u8| {
        let entries = (0..choice % 3).map(|it| (name("k", it), name("v", choice / 3)));
        entries.collect::<TextMap>()
    };
    let text = |choice: u8| {
        (choice & 8 != 0).then(|| ["x", "é\t日\"\\"][usize::from(choice & 1)].to_owned())
    };
    let reason = ["", "because"][usize::from(one & 1)].to_owned();
    match kind {
        EventKind::LicenseIssued => Payload::LicenseIssued(LicenseIssued {
            customer_id: name("c", one),
            product_id: name("p", one / 3),
            plan: name("plan", one / 9),
            seats: i32::from(other % 4),
            valid_from: i64::from(other % 7),
            expires_at: time(other),
            entitlements: map(one),
            metadata: map(other),
        }),
        EventKind::LicenseRenewed => Payload::LicenseRenewed(LicenseRenewed {
            expires_at: time(one),
        }),
        EventKind::LicensePlanChanged => Payload::LicensePlanChanged(LicensePlanChanged {
            plan: name("plan", one),
            seats: i32::from(other % 4),
            entitlements: map(other),
        }),
        EventKind::LicenseTransferred => Payload::LicenseTransferred(LicenseTransferred {
            customer_id: name("c", one),
        }),
        EventKind::LicenseSuspended => Payload::LicenseSuspended(LicenseSuspended { reason }),
        EventKind::LicenseReinstated => Payload::LicenseReinstated(LicenseReinstated { reason }),
        EventKind::LicenseRevoked => Payload::LicenseRevoked(LicenseRevoked { reason }),
        EventKind::DeviceActivated => Payload::DeviceActivated(DeviceActivated {
            device_id: name("d", one),
            fingerprint: text(other),
            platform: text(other / 16),
        }),
        EventKind::DeviceDeactivated => Payload::DeviceDeactivated(DeviceDeactivated {
            device_id: name("d", other),
            reason,
        }),
        EventKind::DeviceHeartbeat => Payload::DeviceHeartbeat(DeviceHeartbeat {
            device_id: name("d", one),
        }),
        EventKind::UsageRecorded => Payload::UsageRecorded(UsageRecorded {
            metric: name("m", one),
            // More than one event may say, so that a few of them reach the greatest sum.
            quantity: [i64::from(other), 1 << 52][usize::from(other & 1)],
        }),
        EventKind::EventVoided => Payload::EventVoided(EventVoided {
            voided_event_id: event_id(one),
            reason: String::new(),
        }),
    }
}
