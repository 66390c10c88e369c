//! A license at another time is what the naive fold gives for the records of that time alone, however
//! they were delivered since.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use licenseflow_avro::event::{
    DeviceActivated, DeviceDeactivated, EventVoided, LicenseIssued, LicensePlanChanged,
    LicenseReinstated, LicenseRenewed, LicenseRevoked, LicenseSuspended, LicenseTransferred,
    Payload, UsageRecorded,
};
use licenseflow_avro::{Coordinates, Lane, LicenseEvent, LicenseKey};
use licenseflow_core::event_set::{ConflictChange, KnownEvents, settle};
use licenseflow_core::{Moment, RecordedEvent, naive};
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

fn key() -> LicenseKey {
    LicenseKey {
        tenant_id: "t".to_owned(),
        license_id: "L".to_owned(),
    }
}

/// Ids, times and names are few, so that events meet: ties, conflicts, voids.
fn payload() -> impl Strategy<Value = Payload> {
    let name = |names: &'static [&'static str]| select(names).prop_map(str::to_owned);
    let reason = String::new;
    prop_oneof![
        2 => (name(&["c1", "c2"]), 0..3i32, 0..9i64, proptest::option::of(0..9i64)).prop_map(
            |(customer_id, seats, valid_from, expires_at)| Payload::LicenseIssued(LicenseIssued {
                customer_id, seats, valid_from, expires_at,
                product_id: format!("p{seats}"),
                plan: format!("plan-{seats}"),
                entitlements: BTreeMap::new(),
                metadata: [("k".to_owned(), "v".to_owned())].into(),
            })),
        1 => proptest::option::of(0..9i64)
            .prop_map(|expires_at| Payload::LicenseRenewed(LicenseRenewed { expires_at })),
        1 => (name(&["basic", "pro"]), 0..9i32).prop_map(|(plan, seats)| {
            Payload::LicensePlanChanged(LicensePlanChanged { plan, seats, entitlements: BTreeMap::new() })
        }),
        1 => name(&["c2", "c3"])
            .prop_map(|customer_id| Payload::LicenseTransferred(LicenseTransferred { customer_id })),
        1 => Just(Payload::LicenseSuspended(LicenseSuspended { reason: reason() })),
        1 => Just(Payload::LicenseReinstated(LicenseReinstated { reason: reason() })),
        1 => Just(Payload::LicenseRevoked(LicenseRevoked { reason: reason() })),
        3 => (name(&["d1", "d2"]), proptest::option::of(name(&["x", "y"]))).prop_map(
            |(device_id, fingerprint)| Payload::DeviceActivated(DeviceActivated {
                device_id, fingerprint, platform: None,
            })),
        2 => name(&["d1", "d2"]).prop_map(|device_id| {
            Payload::DeviceDeactivated(DeviceDeactivated { device_id, reason: String::new() })
        }),
        1 => (0..9i64).prop_map(|quantity| {
            Payload::UsageRecorded(UsageRecorded { metric: "m".to_owned(), quantity })
        }),
        3 => event_id().prop_map(|voided_event_id| {
            Payload::EventVoided(EventVoided { voided_event_id, reason: String::new() })
        }),
    ]
}

fn event_id() -> impl Strategy<Value = Uuid> {
    (1..12u128).prop_map(Uuid::from_u128)
}

fn recorded(at: Coordinates, event_id: Uuid, occurred_at: i64, payload: Payload) -> RecordedEvent {
    RecordedEvent {
        at,
        request_id: None,
        event: LicenseEvent {
            event_id,
            license_id: key().license_id,
            tenant_id: key().tenant_id,
            occurred_at,
            source: String::new(),
            actor: None,
            payload,
        },
    }
}

/// Records at a few times of the brokers' clock, in milliseconds.
fn records() -> impl Strategy<Value = Vec<RecordedEvent>> {
    let record = (event_id(), 0..6i64, payload(), 0..5i64, any::<bool>());
    proptest::collection::vec(record, 0..40).prop_map(|drawn| {
        let offsets = 0..;
        let records = drawn.into_iter().zip(offsets);
        let each = records.map(
            |((event_id, occurred_at, payload, timestamp, bulk), offset)| {
                let lane = if bulk { Lane::Bulk } else { Lane::Interactive };
                let at = Coordinates {
                    timestamp,
                    lane,
                    partition: 0,
                    offset,
                };
                recorded(at, event_id, occurred_at, payload)
            },
        );
        each.collect()
    })
}

fn moment() -> impl Strategy<Value = Moment> {
    let times = (
        proptest::option::of(0..7i64),
        // Also between two milliseconds.
        proptest::option::of((0..11i64).prop_map(|halves| halves * 500)),
    );
    times.prop_map(|(as_of, known_at)| Moment { as_of, known_at })
}

/// The timeline after these records came in batches of this size.
fn delivered(records: Vec<RecordedEvent>, batch: usize) -> Vec<RecordedEvent> {
    let mut known = KnownEvents::default();
    for arrived in records.chunks(batch) {
        for settled in settle(arrived.to_vec(), &known) {
            let id = settled.event.event.event_id;
            known.events.insert(id, settled.event);
            let mut open: HashMap<LicenseEvent, RecordedEvent> = HashMap::new();
            for conflict in known.conflicts.remove(&id).into_iter().flatten() {
                open.insert(conflict.event.clone(), conflict);
            }
            for change in settled.conflicts {
                match change {
                    ConflictChange::Opened(it) | ConflictChange::Moved(it) => {
                        open.insert(it.event.clone(), it);
                    }
                    ConflictChange::Closed(it) => {
                        open.remove(&it.event);
                    }
                }
            }
            known.conflicts.insert(id, open.into_values().collect());
        }
    }
    known.events.into_values().collect()
}

/// The rows of the records that were there at the moment, by the naive fold.
fn expected(records: &[RecordedEvent], moment: Moment) -> (BTreeSet<String>, BTreeSet<String>) {
    let by_then = |record: &&RecordedEvent| {
        let known_at = moment.known_at.unwrap_or(i64::MAX);
        record.at.timestamp * 1000 <= known_at
    };
    let mut least: BTreeMap<Uuid, &RecordedEvent> = BTreeMap::new();
    for record in records.iter().filter(by_then) {
        let event = least.entry(record.event.event_id).or_insert(record);
        if record.at < event.at {
            *event = record;
        }
    }
    let as_of = moment.as_of.unwrap_or(i64::MAX);
    let events = least.values().filter(|it| it.event.occurred_at <= as_of);
    let folded = naive::fold(events.map(|it| (it.at, it.event.clone())));
    (folded.licenses, folded.devices)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_moment_is_the_naive_fold_of_what_was_there_then(
        records in records(),
        moment in moment(),
        batch in 1..9usize,
        turned in any::<bool>(),
    ) {
        let (licenses, devices) = expected(&records, moment);
        let mut arrived = records;
        if turned {
            arrived.reverse();
        }
        let folded = moment.fold(&delivered(arrived, batch));
        prop_assert_eq!(folded.is_some(), !licenses.is_empty());
        let folded = folded.unwrap_or_default();
        let row = folded.state.canonical(&key());
        prop_assert!(licenses.iter().all(|it| *it == row), "{} is not {:?}", row, licenses);
        let rows = folded.devices.iter().map(|(id, device)| device.canonical(&key(), id));
        prop_assert_eq!(rows.collect::<BTreeSet<_>>(), devices);
        let active = folded.devices.values().filter(|device| device.is_active()).count();
        prop_assert_eq!(folded.state.seats_used, i64::try_from(active).unwrap());
    }
}

#[test]
fn a_void_that_came_later_voids_nothing_before_it() {
    let said = |number: u128, occurred_at, timestamp, payload| {
        let at = Coordinates {
            timestamp,
            lane: Lane::Interactive,
            partition: 0,
            offset: i64::try_from(number).unwrap(),
        };
        recorded(at, Uuid::from_u128(number), occurred_at, payload)
    };
    let suspended = Payload::LicenseSuspended(LicenseSuspended {
        reason: String::new(),
    });
    let voided = Payload::EventVoided(EventVoided {
        voided_event_id: Uuid::from_u128(1),
        reason: String::new(),
    });
    let events = [said(1, 10, 1, suspended), said(2, 20, 2, voided)];
    let lifecycle = |as_of, known_at| {
        let moment = Moment { as_of, known_at };
        moment.fold(&events).map(|it| it.state.lifecycle().name())
    };
    assert_eq!(lifecycle(None, None), Some("unknown"));
    assert_eq!(lifecycle(Some(20), Some(2000)), Some("unknown"));
    assert_eq!(lifecycle(Some(19), None), Some("suspended"));
    assert_eq!(lifecycle(None, Some(1999)), Some("suspended"));
    assert_eq!(lifecycle(Some(9), None), None);
    assert_eq!(lifecycle(None, Some(999)), None);
}
