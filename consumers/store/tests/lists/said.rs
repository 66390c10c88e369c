//! What was said in parts of the log: exactly the events of the timelines that lie there, page by page,
//! the same on every store.

use std::collections::BTreeSet;

use licenseflow_avro::event::{EventVoided, LicenseEvent, LicenseIssued, Payload};
use licenseflow_avro::{Coordinates, Lane, LicenseKey};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use licenseflow_store::Lookup;
use licenseflow_store::lookup::{RecordPlace, SaidEvent, SaidQuery, Span, TimelineQuery};
use uuid::Uuid;

use crate::data::{NOW, Random};
use crate::stores::{Kind, Place, on_every_store};

const TENANTS: [&str; 3] = ["t-1", "t-2", "t-3"];
const LICENSES: usize = 6;
const PARTITIONS: i32 = 3;
const RECORDS: i64 = 90;

/// Few ids, so that records of one event lie in several partitions and lanes, and move it.
fn event(random: &mut Random) -> LicenseEvent {
    let payload = match random.below(5) {
        0 => Payload::EventVoided(EventVoided {
            voided_event_id: Uuid::from_u128(random.below(40) as u128),
            reason: String::new(),
        }),
        _ => Payload::LicenseIssued(LicenseIssued {
            customer_id: format!("c-{}", random.below(3)),
            product_id: format!("p-{}", random.below(2)),
            plan: "team".to_owned(),
            seats: 1,
            valid_from: NOW,
            expires_at: None,
            entitlements: [].into(),
            metadata: [].into(),
        }),
    };
    LicenseEvent {
        event_id: Uuid::from_u128(random.below(40) as u128),
        license_id: format!("L-{}", random.below(LICENSES)),
        tenant_id: TENANTS[random.below(TENANTS.len())].to_owned(),
        occurred_at: NOW + random.below(5) as i64,
        source: String::new(),
        actor: None,
        payload,
    }
}

fn filled(kind: Kind, seed: u64) -> (Place, Box<dyn Lookup>) {
    let place = Place::new(kind);
    let mut model = place.model();
    let mut random = Random::of(seed);
    for round in 0..3 {
        let mut batch = Batch::default();
        for lane in [Lane::Interactive, Lane::Bulk] {
            for partition in 0..PARTITIONS {
                let from = round * RECORDS / 3;
                for offset in from..from + RECORDS / 3 {
                    let at = Coordinates {
                        timestamp: 100 + random.below(50) as i64,
                        lane,
                        partition,
                        offset,
                    };
                    batch.accept(at, Envelope::default(), &event(&mut random));
                    batch.advance(lane, partition, offset, offset + 1);
                }
            }
        }
        model.apply(batch, 1000).unwrap();
    }
    let lookup = place.lookup(2);
    (place, lookup)
}

fn random_spans(random: &mut Random) -> Vec<Span> {
    let mut spans = Vec::new();
    for lane in [Lane::Bulk, Lane::Interactive] {
        for partition in 0..=PARTITIONS {
            let from = random.below(RECORDS as usize) as i64;
            let to = from + random.below(RECORDS as usize) as i64;
            if random.below(4) > 0 {
                spans.push(Span {
                    lane,
                    partition,
                    from,
                    to,
                });
            }
        }
    }
    spans
}

/// What is left of the spans from this place on.
fn rest(spans: &[Span], (lane, partition, offset): RecordPlace) -> Vec<Span> {
    let here = spans
        .iter()
        .position(|it| (it.lane, it.partition) == (lane, partition))
        .unwrap();
    let mut rest = spans[here..].to_vec();
    rest[0].from = offset;
    rest
}

fn paged(lookup: &dyn Lookup, query: &SaidQuery) -> Vec<SaidEvent> {
    let (mut all, mut query) = (Vec::new(), query.clone());
    loop {
        let page = lookup.said(&query).unwrap().value;
        assert!(page.items.len() <= query.limit);
        all.extend(page.items);
        let Some(next) = page.next else { return all };
        query.spans = rest(&query.spans, next);
    }
}

/// The same by the timelines alone.
fn expected(lookup: &dyn Lookup, query: &SaidQuery) -> Vec<SaidEvent> {
    let mut all = Vec::new();
    for tenant_id in &query.tenants {
        for number in 0..LICENSES {
            let key = LicenseKey {
                tenant_id: tenant_id.clone(),
                license_id: format!("L-{number}"),
            };
            let whole = TimelineQuery {
                limit: 10_000,
                ..TimelineQuery::default()
            };
            let Some(license) = lookup.license(&key).unwrap().value else {
                continue;
            };
            let timeline = lookup.timeline(&key, &whole).unwrap().value.unwrap();
            let state = license.state;
            all.extend(timeline.items.into_iter().map(|row| SaidEvent {
                row,
                customer_id: state.customer.as_ref().map(|it| it.value.to_string()),
                product_id: state.issue.as_ref().map(|it| it.value.product_id.clone()),
            }));
        }
    }
    let place = |event: &SaidEvent| {
        let at = event.row.recorded.at;
        let is_in = |span: &Span| {
            (span.lane, span.partition) == (at.lane, at.partition)
                && (span.from..span.to).contains(&at.offset)
        };
        query.spans.iter().position(is_in)
    };
    all.retain(|event| place(event).is_some());
    all.sort_by_key(|event| (place(event), event.row.recorded.at.offset));
    all
}

fn what_was_said_is_what_the_timelines_have_there(kind: Kind) {
    for seed in 0..4 {
        let (_place, lookup) = filled(kind, seed);
        let mut random = Random::of(seed + 100);
        let mut told = 0;
        for _ in 0..12 {
            let asked = (0..=random.below(3)).map(|_| TENANTS[random.below(3)].to_owned());
            let tenants: BTreeSet<String> = asked.collect();
            let query = SaidQuery {
                tenants,
                spans: random_spans(&mut random),
                limit: [1, 7, 1000][random.below(3)],
            };
            let said = paged(lookup.as_ref(), &query);
            assert_eq!(said, expected(lookup.as_ref(), &query), "seed {seed}");
            told += said.len();
        }
        assert!(told > 100, "seed {seed} told {told}");
    }
}

fn a_page_of_large_events_ends_by_its_bytes(kind: Kind) {
    let store = crate::data::Store::large(kind);
    let lookup = store.lookup(1);
    let query = SaidQuery {
        tenants: [crate::TENANT.to_owned()].into(),
        spans: vec![Span {
            lane: Lane::Interactive,
            partition: 0,
            from: 0,
            to: 1000,
        }],
        limit: 1000,
    };
    let first = lookup.said(&query).unwrap().value;
    assert!(first.next.is_some() && !first.items.is_empty());
    assert_eq!(paged(lookup.as_ref(), &query).len(), 39);
}

fn nobody_and_nowhere_say_nothing(kind: Kind) {
    let (_place, lookup) = filled(kind, 1);
    let nowhere = SaidQuery {
        tenants: ["t-1".to_owned()].into(),
        spans: Vec::new(),
        limit: 10,
    };
    assert!(lookup.said(&nowhere).unwrap().value.items.is_empty());
    let nobody = SaidQuery {
        tenants: BTreeSet::new(),
        spans: random_spans(&mut Random::of(2)),
        limit: 10,
    };
    assert!(lookup.said(&nobody).unwrap().value.items.is_empty());
}

on_every_store!(
    what_was_said_is_what_the_timelines_have_there,
    a_page_of_large_events_ends_by_its_bytes,
    nobody_and_nowhere_say_nothing,
);
