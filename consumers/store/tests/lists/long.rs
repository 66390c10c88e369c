//! A long timeline is read from an index, a short one from its events' heads: their pages are the same.
//!
//! What is said of a license is said twice: once alone, and once with as many other events before all of it
//! as make its timeline a long one; when these arrive, the former are not there yet, some of them, or all.

use licenseflow_avro::event::{LicenseEvent, Payload, UsageRecorded};
use licenseflow_avro::{Coordinates, EventKind, Lane, LicenseKey};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use licenseflow_store::Lookup;
use licenseflow_store::lookup::{TimelineQuery, TimelineRow};
use uuid::Uuid;

use crate::data::{NOW, Random, TENANT};
use crate::postgres::{in_schema, runtime};
use crate::same::{event_id, payload};
use crate::stores::{Kind, Place, on_every_store};

on_every_store!(a_long_timeline_has_the_pages_of_a_short_one);

/// More than a short timeline has.
const OTHERS: usize = 520;

/// Before this only the others happened.
const SPLIT: i64 = 1_000_000;

type Record = (Coordinates, LicenseEvent);

fn key() -> LicenseKey {
    LicenseKey {
        tenant_id: TENANT.to_owned(),
        license_id: "L".to_owned(),
    }
}

fn event(event_id: Uuid, occurred_at: i64, payload: Payload) -> LicenseEvent {
    event_of(key(), event_id, occurred_at, payload)
}

fn event_of(key: LicenseKey, event_id: Uuid, occurred_at: i64, payload: Payload) -> LicenseEvent {
    let LicenseKey {
        tenant_id,
        license_id,
    } = key;
    LicenseEvent {
        event_id,
        license_id,
        tenant_id,
        occurred_at,
        source: String::new(),
        actor: None,
        payload,
    }
}

fn at(timestamp: i64, offset: usize) -> Coordinates {
    Coordinates {
        timestamp,
        lane: Lane::Interactive,
        partition: 0,
        offset: i64::try_from(offset).unwrap(),
    }
}

/// Ids and times are few, so that events meet: ties, duplicates, conflicts, voids, lesser records that come
/// later.
fn said(random: &mut Random) -> Vec<Record> {
    let records = (0..90).map(|offset| {
        let timestamp = i64::try_from(random.below(9)).unwrap();
        let happened = NOW + i64::try_from(random.below(6)).unwrap();
        let id = event_id(random.below(60));
        (at(timestamp, offset), event(id, happened, payload(random)))
    });
    records.collect()
}

fn others() -> Vec<Record> {
    let records = (0..OTHERS).map(|number| {
        let used = Payload::UsageRecorded(UsageRecorded {
            metric: "other".to_owned(),
            quantity: 1,
        });
        let happened = i64::try_from(number).unwrap();
        let id = Uuid::from_u128(0xffff_0000 + number as u128);
        (at(5, 1000 + number), event(id, happened, used))
    });
    records.collect()
}

fn batch_of(records: &[Record]) -> Batch {
    let mut batch = Batch::default();
    for (at, event) in records {
        batch.accept(*at, Envelope::default(), event);
    }
    batch
}

/// A store that was told these records, and the others after so many batches of them.
fn told(kind: Kind, said: &[Record], others_after: Option<usize>) -> (Place, Box<dyn Lookup>) {
    let place = Place::new(kind);
    let mut model = place.model();
    for (number, records) in said.chunks(11).enumerate() {
        if others_after == Some(number) {
            model.apply(batch_of(&others()), 1).unwrap();
        }
        model.apply(batch_of(records), 1).unwrap();
    }
    if others_after.is_some_and(|after| after >= said.chunks(11).count()) {
        model.apply(batch_of(&others()), 1).unwrap();
    }
    let lookup = place.lookup(1);
    (place, lookup)
}

fn pages(lookup: &dyn Lookup, query: &TimelineQuery) -> Vec<Vec<TimelineRow>> {
    let (mut pages, mut after) = (Vec::new(), query.after);
    loop {
        let query = TimelineQuery {
            after,
            ..query.clone()
        };
        let page = lookup.timeline(&key(), &query).unwrap().value.unwrap();
        pages.push(page.items);
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

fn queries() -> Vec<TimelineQuery> {
    let kinds = [
        None,
        Some(EventKind::EventVoided),
        Some(EventKind::UsageRecorded),
        Some(EventKind::LicenseRevoked),
    ];
    let times = [(0, None), (2, None), (2, Some(4)), (4, Some(2))];
    let mut queries = Vec::new();
    for (kind, (from, to), limit) in kinds
        .iter()
        .flat_map(|kind| times.map(|time| (*kind, time)))
        .flat_map(|(kind, time)| [1, 3, 100].map(|limit| (kind, time, limit)))
    {
        queries.push(TimelineQuery {
            kind,
            from: Some(if from == 0 { SPLIT } else { NOW + from }),
            to: to.map(|to| NOW + to),
            after: None,
            limit,
        });
    }
    queries
}

fn a_long_timeline_has_the_pages_of_a_short_one(kind: Kind) {
    for seed in 1..=4 {
        let said = said(&mut Random::of(seed));
        let (_short, short) = told(kind, &said, None);
        let all = TimelineQuery {
            limit: 1000,
            ..TimelineQuery::default()
        };
        let expected = pages(&*short, &all).concat();
        assert!(expected.iter().any(|row| row.voided_by.is_some()));
        for others_after in [0, 4, 9] {
            let (_long, long) = told(kind, &said, Some(others_after));
            for query in queries() {
                let (one, other) = (pages(&*short, &query), pages(&*long, &query));
                assert_eq!(one, other, "seed {seed}, {others_after}, {query:?}");
            }
            let rows = pages(&*long, &all).concat();
            assert_eq!(rows.len(), OTHERS + expected.len());
            let (before, after) = rows.split_at(OTHERS);
            let times = before.iter().map(|row| row.recorded.event.occurred_at);
            assert!(times.eq(0..OTHERS as i64), "seed {seed}, {others_after}");
            assert_eq!(after, expected, "seed {seed}, {others_after}");
        }
    }
}

/// More than become long ones at a time.
const LICENSES: usize = 70;

/// One batch in which every license has these numbers of its events.
fn one_of_each(numbers: std::ops::Range<usize>) -> Batch {
    let mut records = Vec::new();
    for license in 0..LICENSES {
        for number in numbers.clone() {
            let key = LicenseKey {
                license_id: format!("L-{license}"),
                ..key()
            };
            let id = Uuid::from_u128((license << 32 | number) as u128);
            let used = Payload::UsageRecorded(UsageRecorded {
                metric: "m".to_owned(),
                quantity: 1,
            });
            let offset = license * 1000 + number;
            records.push((at(5, offset), event_of(key, id, number as i64, used)));
        }
    }
    batch_of(&records)
}

/// How many licenses have a long timeline, and how many events of these do not say where they stand.
fn ordered(schema: &str) -> (i64, i64) {
    let sql = "select (select count(*) from license where ordered),
         (select count(*) from timeline join license on license.tenant_id = timeline.tenant_id
            and license.number = timeline.license where ordered and standing is null)";
    let row = runtime().block_on(in_schema(schema).query_one(sql, &[]));
    let row = row.unwrap();
    (row.get(0), row.get(1))
}

#[test]
fn of_many_timelines_that_grow_long_at_once_a_bounded_number_is_put_in_order_and_none_is_forgotten()
{
    let place = Place::new(Kind::Postgres);
    let Place::Schema(schema) = &place else {
        panic!("a schema was asked for");
    };
    let mut model = place.model();
    model.apply(one_of_each(0..490), 1).unwrap();
    assert_eq!(ordered(schema.name()), (0, 0));
    model.apply(one_of_each(490..502), 1).unwrap();
    assert_eq!(ordered(schema.name()), (64, 0));
    model.apply(one_of_each(502..503), 1).unwrap();
    assert_eq!(ordered(schema.name()), (LICENSES as i64, 0));
    let lookup = place.lookup(1);
    for license in 0..LICENSES {
        let key = LicenseKey {
            license_id: format!("L-{license}"),
            ..key()
        };
        let all = TimelineQuery {
            limit: 1000,
            ..TimelineQuery::default()
        };
        let page = lookup.timeline(&key, &all).unwrap().value.unwrap();
        let times = page.items.iter().map(|row| row.recorded.event.occurred_at);
        assert!(times.eq(0..503), "L-{license}");
    }
}
