//! Totals and numbers of events are a function of the set of records too: after any schedule they are
//! what counting the naive fold's rows gives, at any time of asking.

use std::collections::{BTreeMap, BTreeSet};

use licenseflow_avro::event::Payload;
use licenseflow_avro::{Coordinates, EventKind, LicenseEvent};
use licenseflow_core::status::Status;
use licenseflow_core::totals::Totals;
use licenseflow_core::{crash, naive};
use licenseflow_store::Lookup;
use licenseflow_store::lookup::Groups;
use proptest::prelude::*;
use serde_json::Value;

use crate::crash::apply_or_die;
use crate::model::{Accepted, Model as _, Place, batch_of, on_every_store};
use crate::schedule;

on_every_store!(totals_are_a_function_of_the_set_of_records);

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// The same records with times that lie hours and days apart, where those of the schedules lie within
/// microseconds.
fn stretched(records: Vec<Accepted>) -> Vec<Accepted> {
    let far = |at: &mut i64| *at *= 11 * HOUR;
    let stretch = |(mut at, mut event): Accepted| {
        at.timestamp *= 20 * HOUR / 1000;
        far(&mut event.occurred_at);
        match &mut event.payload {
            Payload::LicenseIssued(said) => {
                far(&mut said.valid_from);
                said.expires_at.as_mut().map(far);
            }
            Payload::LicenseRenewed(said) => {
                said.expires_at.as_mut().map(far);
            }
            _ => {}
        }
        (at, event)
    };
    records.into_iter().map(stretch).collect()
}

/// A license of the naive fold, and how many of its devices are active.
struct Counted {
    row: Value,
    seats_used: i64,
}

impl Counted {
    fn all(model: &naive::NaiveModel) -> Vec<Self> {
        let parse = |text: &String| serde_json::from_str::<Value>(text).unwrap();
        let devices: Vec<Value> = model.devices.iter().map(parse).collect();
        let active = |row: &Value| {
            let of = |it: &&Value| {
                ["tenant_id", "license_id"]
                    .iter()
                    .all(|id| it[*id] == row[*id])
            };
            let active = devices.iter().filter(of).filter(|it| it["active"] == true);
            active.count() as i64
        };
        let rows = model.licenses.iter().map(parse);
        rows.map(|row| Self {
            seats_used: active(&row),
            row,
        })
        .collect()
    }

    fn status(&self, at: i64) -> &str {
        let time = |name: &str| self.row[name].as_i64();
        match self.row["lifecycle"].as_str().unwrap() {
            "active" if time("expires_at").is_some_and(|end| end <= at) => "expired",
            "active" if time("valid_from").is_some_and(|start| start > at) => "pending",
            other => other,
        }
    }
}

fn assert_totals(totals: &Totals, licenses: &[&Counted], at: i64, what: &str) {
    for status in Status::ALL {
        let expected = licenses.iter().filter(|it| it.status(at) == status.name());
        let (found, expected) = (totals.of_status(status), expected.count() as i64);
        assert_eq!(found, expected, "{status} of {what} at {at}");
    }
    let all = totals.all();
    let seats = |it: &&Counted| it.row["seats"].as_i64().unwrap_or(0);
    assert_eq!(all.licenses, licenses.len() as i64, "{what}");
    assert_eq!(all.seats, licenses.iter().map(seats).sum::<i64>(), "{what}");
    let used = licenses.iter().map(|it| it.seats_used).sum::<i64>();
    assert_eq!(all.seats_used, used, "{what}");
}

fn assert_groups(groups: &Groups, licenses: &[&Counted], member: &str, at: i64) {
    let named: BTreeSet<&str> = licenses
        .iter()
        .filter_map(|it| it.row[member].as_str())
        .collect();
    assert!(!groups.goes_on);
    assert!(
        groups
            .totals
            .keys()
            .map(String::as_str)
            .eq(named.iter().copied())
    );
    for (name, totals) in &groups.totals {
        let licenses: Vec<&Counted> = with(licenses, member, name);
        assert_totals(totals, &licenses, at, name);
    }
}

fn with<'c>(licenses: &[&'c Counted], member: &str, name: &str) -> Vec<&'c Counted> {
    let licenses = licenses.iter().copied();
    licenses.filter(|it| it.row[member] == name).collect()
}

/// The events of a tenant that count, each at its time.
fn counting(records: &[Accepted], tenant: &str) -> Vec<(i64, EventKind)> {
    let mut events: BTreeMap<_, (Coordinates, &LicenseEvent)> = BTreeMap::new();
    for (at, event) in records
        .iter()
        .filter(|(_, event)| event.tenant_id == tenant)
    {
        if event.payload.kind() == EventKind::DeviceHeartbeat {
            continue;
        }
        let first = events
            .entry((&event.license_id, event.event_id))
            .or_insert((*at, event));
        if *at < first.0 {
            *first = (*at, event);
        }
    }
    let voided: BTreeSet<_> = events
        .values()
        .filter_map(|(_, event)| match &event.payload {
            Payload::EventVoided(void) => Some((&event.license_id, void.voided_event_id)),
            _ => None,
        })
        .collect();
    let counts = |id: &(&String, uuid::Uuid), kind: EventKind| {
        kind == EventKind::EventVoided || !voided.contains(id)
    };
    events
        .iter()
        .map(|(id, (_, event))| (id, event.occurred_at, event.payload.kind()))
        .filter(|(id, _, kind)| counts(id, *kind))
        .map(|(_, at, kind)| (at, kind))
        .collect()
}

fn by_time(events: &[(i64, EventKind)], length: i64, from: i64) -> BTreeMap<(i64, EventKind), i64> {
    let mut counts = BTreeMap::new();
    for (at, kind) in events {
        if at / length >= from {
            *counts.entry((at / length, *kind)).or_default() += 1;
        }
    }
    counts
}

/// Holds what a store answers against counting one by one.
pub(crate) fn check(lookup: &dyn Lookup, records: &[Accepted], times: &[i64]) {
    let model = naive::fold(records.iter().cloned());
    let licenses = Counted::all(&model);
    let licenses: Vec<&Counted> = licenses.iter().collect();
    let minute = 60_000_000;
    let newest = records.iter().map(|(at, _)| at.timestamp).max().unwrap() * 1000;
    for (tenant, at) in ["t1", "t2", "nobody"]
        .into_iter()
        .flat_map(|tenant| times.iter().map(move |at| (tenant, *at)))
    {
        let licenses = with(&licenses, "tenant_id", tenant);
        for customer in ["c1", "c2", "c3", "nobody"] {
            let licenses = with(&licenses, "customer_id", customer);
            let read = lookup.customer(tenant, customer, at).unwrap().value;
            assert_eq!(
                read.is_some(),
                !licenses.is_empty(),
                "{customer} of {tenant}"
            );
            let Some(read) = read else { continue };
            assert_totals(&read.totals, &licenses, at, customer);
            let active = licenses.iter().filter(|it| it.row["lifecycle"] == "active");
            let ends = active.filter_map(|it| it.row["expires_at"].as_i64());
            assert_eq!(read.next_expiry, ends.filter(|end| *end > at).min());
        }
        let stats = lookup.stats(tenant, at).unwrap().value;
        let totals = stats.totals.unwrap();
        assert_totals(&totals.all, &licenses, at, tenant);
        assert_groups(&totals.by_product, &licenses, "product_id", at);
        assert_groups(&totals.by_plan, &licenses, "plan", at);
        let events = counting(records, tenant);
        assert_eq!(stats.per_day.unwrap(), by_time(&events, DAY, 0));
        let from = (at / minute - 2879).max(newest / minute - 2880);
        assert_eq!(stats.per_minute.unwrap(), by_time(&events, minute, from));
    }
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        0..5 * DAY,
        (0..10i64, -1..2i64).prop_map(|(far, off)| far * 11 * HOUR + off)
    ]
    .prop_map(|at| at.max(0))
}

fn steps() -> impl Strategy<Value = Vec<(Vec<prop::sample::Index>, bool)>> {
    let deliver = proptest::collection::vec(any::<prop::sample::Index>(), 1..12);
    proptest::collection::vec((deliver, proptest::bool::weighted(0.15)), 0..14)
}

fn totals_are_a_function_of_the_set_of_records<P: Place>() {
    let schedules = (
        schedule::records().prop_map(stretched),
        steps(),
        proptest::collection::vec(time(), 1..6),
    );
    schedule::runner::<P>(4, 200)
        .run(&schedules, |(records, steps, times)| {
            let place = P::new();
            let mut model = place.open();
            for (delivered, dies) in &steps {
                let delivered = delivered.iter().map(|index| index.get(&records));
                let dies_at = dies.then_some(crash::BEFORE_COMMIT);
                model = apply_or_die(&place, model, batch_of(delivered), dies_at);
            }
            model = apply_or_die(&place, model, batch_of(records.iter().rev()), None);
            assert_eq!(model.totals_kept(), model.totals_recounted());
            check(&*place.lookup(), &records, &times);
            Ok(())
        })
        .unwrap();
}
