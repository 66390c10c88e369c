//! The theorem, over schedules: any order, any number of times, any batches, dying anywhere.

use std::collections::BTreeSet;

use licenseflow_avro::event::{
    DeviceActivated, DeviceDeactivated, DeviceHeartbeat, EventVoided, LicenseIssued,
    LicensePlanChanged, LicenseReinstated, LicenseRenewed, LicenseRevoked, LicenseSuspended,
    LicenseTransferred, Payload, UsageRecorded,
};
use licenseflow_avro::{Coordinates, Lane, LicenseEvent};
use licenseflow_core::{crash, naive};
use licenseflow_store::Outbox as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use uuid::Uuid;

use crate::crash::apply_or_die;
use crate::model::{Accepted, Model as _, Place, batch_of, on_every_store};

on_every_store!(rows_are_a_function_of_the_set_of_records);

/// Ids, times and names are few, so that events meet: ties, duplicates, conflicts, voids.
fn payload() -> impl Strategy<Value = Payload> {
    let name = |names: &'static [&'static str]| {
        proptest::sample::select(names).prop_map(ToOwned::to_owned)
    };
    let devices = || name(&["d1", "d2", "d3"]);
    let map = || proptest::collection::btree_map(name(&["a", "b"]), name(&["1", "2"]), 0..2);
    let text = || proptest::option::of(name(&["x", "é\u{1}日\"\\"]));
    let why = || name(&["", "because"]);
    prop_oneof![
        2 => (name(&["c1", "c2"]), name(&["p1", "p2"]), 0..4i32, 0..9i64, proptest::option::of(0..9i64), map(), map())
            .prop_map(|(customer_id, product_id, seats, valid_from, expires_at, entitlements, metadata)| {
                Payload::LicenseIssued(LicenseIssued {
                    plan: format!("plan-{seats}"), customer_id, product_id, seats, valid_from, expires_at,
                    entitlements, metadata,
                })
            }),
        1 => proptest::option::of(0..9i64).prop_map(|expires_at| Payload::LicenseRenewed(LicenseRenewed { expires_at })),
        1 => (name(&["basic", "pro"]), 0..9i32, map())
            .prop_map(|(plan, seats, entitlements)| Payload::LicensePlanChanged(LicensePlanChanged { plan, seats, entitlements })),
        1 => name(&["c2", "c3"]).prop_map(|customer_id| Payload::LicenseTransferred(LicenseTransferred { customer_id })),
        1 => why().prop_map(|reason| Payload::LicenseSuspended(LicenseSuspended { reason })),
        1 => why().prop_map(|reason| Payload::LicenseReinstated(LicenseReinstated { reason })),
        1 => why().prop_map(|reason| Payload::LicenseRevoked(LicenseRevoked { reason })),
        3 => (devices(), text(), text())
            .prop_map(|(device_id, fingerprint, platform)| Payload::DeviceActivated(DeviceActivated { device_id, fingerprint, platform })),
        2 => (devices(), why()).prop_map(|(device_id, reason)| Payload::DeviceDeactivated(DeviceDeactivated { device_id, reason })),
        2 => devices().prop_map(|device_id| Payload::DeviceHeartbeat(DeviceHeartbeat { device_id })),
        2 => (name(&["m1", "m2"]), prop_oneof![0..9i64, Just(1_000_000_000_000)])
            .prop_map(|(metric, quantity)| Payload::UsageRecorded(UsageRecorded { metric, quantity })),
        3 => (event_id(), why()).prop_map(|(voided_event_id, reason)| Payload::EventVoided(EventVoided { voided_event_id, reason })),
    ]
}

fn event_id() -> impl Strategy<Value = Uuid> {
    (0..24u128).prop_map(|id| Uuid::from_u128(id << 96 | 0x7000_8000_0000_0000_0000 | id))
}

fn event() -> impl Strategy<Value = LicenseEvent> {
    let tenants = proptest::sample::select(&["t1", "t2"][..]);
    let licenses = proptest::sample::select(&["L1", "L2"][..]);
    (event_id(), tenants, licenses, 0..6i64, payload()).prop_map(
        |(event_id, tenant, license, occurred_at, payload)| LicenseEvent {
            event_id,
            license_id: license.to_owned(),
            tenant_id: tenant.to_owned(),
            occurred_at,
            source: String::new(),
            actor: None,
            payload,
        },
    )
}

/// Records, some of which repeat an earlier content at other coordinates.
pub(crate) fn records() -> impl Strategy<Value = Vec<Accepted>> {
    let record = (
        event(),
        0..4i64,
        any::<bool>(),
        0..3i32,
        any::<Option<prop::sample::Index>>(),
    );
    proptest::collection::vec(record, 1..60).prop_map(|drawn| {
        let mut records: Vec<Accepted> = Vec::new();
        for (offset, (event, timestamp, bulk, partition, repeat)) in drawn.into_iter().enumerate() {
            let at = Coordinates {
                timestamp,
                lane: if bulk { Lane::Bulk } else { Lane::Interactive },
                partition,
                offset: offset as i64,
            };
            let event = match repeat {
                Some(index) if offset % 4 == 0 && !records.is_empty() => {
                    index.get(&records).1.clone()
                }
                Some(_) | None => event,
            };
            records.push((at, event));
        }
        records
    })
}

/// What is done with the records: which record is delivered next, and what happens on the way.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) deliver: Vec<prop::sample::Index>,
    pub(crate) dies_at: Option<usize>,
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        proptest::collection::vec(any::<prop::sample::Index>(), 1..12),
        proptest::option::weighted(0.2, 0..DEADLY.len()),
    );
    proptest::collection::vec(
        step.prop_map(|(deliver, dies_at)| Step { deliver, dies_at }),
        0..14,
    )
}

/// The points that a store passes in a batch.
pub(crate) const DEADLY: [&str; 3] = [
    crash::INSIDE_TRANSACTION,
    crash::BEFORE_COMMIT,
    crash::AFTER_COMMIT,
];

fn check<P: Place>(
    records: &[Accepted],
    steps: &[Step],
    all_again: bool,
) -> Result<(), TestCaseError> {
    let place = P::new();
    let mut model = place.open();
    let mut missing: BTreeSet<usize> = (0..records.len()).collect();
    for step in steps {
        let delivered: Vec<usize> = step
            .deliver
            .iter()
            .map(|index| index.index(records.len()))
            .collect();
        let batch = batch_of(delivered.iter().map(|index| &records[*index]));
        let dies_at = step.dies_at.map(|point| DEADLY[point]);
        model = apply_or_die(&place, model, batch, dies_at);
        if dies_at.is_none_or(|point| point == crash::AFTER_COMMIT) {
            missing.retain(|index| !delivered.contains(index));
        }
    }
    // What is missing comes at last, or everything once more, as after a lost position: what was
    // lost on the way would be made good by the latter, and what counts twice by the former.
    let rest = (0..records.len()).filter(|index| all_again || missing.contains(index));
    let batch = batch_of(rest.rev().map(|index| &records[index]));
    model = apply_or_die(&place, model, batch, None);

    let naive = naive::fold(records.iter().cloned());
    prop_assert_eq!(model.kept().text(), naive.digest());
    prop_assert_eq!(model.recounted(), model.kept());
    let conflicts: BTreeSet<Coordinates> =
        naive.conflicts.iter().map(|(_, _, _, at)| *at).collect();
    let letters: BTreeSet<Coordinates> = model
        .unsent(0, 1000, &[])
        .unwrap()
        .iter()
        .map(|letter| letter.at)
        .collect();
    prop_assert_eq!(letters, conflicts);
    Ok(())
}

/// Draws as many schedules as `SCHEDULES` says, or a part of those that are usual, by the seed that `SEED`
/// says. Both are printed, and so are there to read where a schedule fails.
pub(crate) fn runner<P: Place>(part: u32, max_shrink_iters: u32) -> TestRunner {
    let chosen = |name: &str| {
        let chosen = std::env::var(name).ok();
        chosen.map(|it| it.parse::<u64>().unwrap_or_else(|_| panic!("{name}={it}")))
    };
    let cases = chosen("SCHEDULES").map_or(P::SCHEDULES, |it| u32::try_from(it).unwrap());
    let cases = (cases / part).max(1);
    let seed = chosen("SEED").unwrap_or(20_261_122);
    println!("{cases} schedules, seed {seed} (SCHEDULES and SEED choose others)");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(config, rng)
}

fn rows_are_a_function_of_the_set_of_records<P: Place>() {
    runner::<P>(1, 2000)
        .run(
            &(records(), steps(), any::<bool>()),
            |(records, steps, all_again)| check::<P>(&records, &steps, all_again),
        )
        .unwrap();
}
