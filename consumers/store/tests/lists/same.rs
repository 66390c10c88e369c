//! Every question that a lookup knows, put to both stores after the same batches: no answer differs.
//!
//! Ids and times are few, so that events meet: ties, duplicates, conflicts, voids, records without a
//! request id, and records that are rejected for their own fault.

use licenseflow_avro::event::{
    DeviceActivated, DeviceDeactivated, DeviceHeartbeat, EventVoided, LicenseEvent, LicenseIssued,
    LicenseSuspended, Payload, UsageRecorded,
};
use licenseflow_avro::headers::RequestId;
use licenseflow_avro::reason::Fault;
use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, EventKind, Lane, LicenseKey, RawRecord, Reason};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use licenseflow_store::lookup::{JourneyQuery, LicenseParts, TimelineQuery};
use licenseflow_store::{Lookup, PartitionEnd};
use uuid::Uuid;

use crate::data::{NOW, Random};
use crate::stores::{Kind, Place};

const BATCHES: usize = 12;
const RECORDS_PER_BATCH: usize = 60;
const TENANTS: [&str; 2] = ["t-1", "t-2"];
const LICENSES: usize = 5;
const EVENTS: usize = 60;
const REQUESTS: usize = 6;

fn name(prefix: &str, number: usize) -> String {
    format!("{prefix}-{number}")
}

pub(crate) fn event_id(number: usize) -> Uuid {
    Uuid::from_u128(0x7000_8000_0000_0000_0000 | number as u128)
}

pub(crate) fn payload(random: &mut Random) -> Payload {
    let device_id = name("d", random.below(4));
    match random.below(10) {
        0 | 1 => Payload::LicenseIssued(LicenseIssued {
            customer_id: name("c", random.below(3)),
            product_id: name("p", random.below(2)),
            plan: name("plan", random.below(3)),
            seats: i32::try_from(random.below(4)).unwrap(),
            valid_from: NOW,
            expires_at: (random.below(2) > 0).then_some(NOW + 1),
            entitlements: [("a".to_owned(), "é\t日\"\\".to_owned())].into(),
            metadata: [].into(),
        }),
        2 | 3 => Payload::DeviceActivated(DeviceActivated {
            device_id,
            fingerprint: (random.below(2) > 0).then(|| "\u{1d11e}".to_owned()),
            platform: None,
        }),
        4 => Payload::DeviceDeactivated(DeviceDeactivated {
            device_id,
            reason: String::new(),
        }),
        5 => Payload::DeviceHeartbeat(DeviceHeartbeat { device_id }),
        6 | 7 => Payload::UsageRecorded(UsageRecorded {
            metric: name("m", random.below(2)),
            quantity: i64::try_from(random.below(1000)).unwrap(),
        }),
        8 => Payload::LicenseSuspended(LicenseSuspended {
            reason: name("why", random.below(3)),
        }),
        _ => Payload::EventVoided(EventVoided {
            voided_event_id: event_id(random.below(EVENTS)),
            reason: String::new(),
        }),
    }
}

fn event(random: &mut Random) -> LicenseEvent {
    LicenseEvent {
        event_id: event_id(random.below(EVENTS)),
        license_id: name("L", random.below(LICENSES)),
        tenant_id: TENANTS[random.below(2)].to_owned(),
        occurred_at: NOW + i64::try_from(random.below(6)).unwrap(),
        source: "s".to_owned(),
        actor: (random.below(2) > 0).then(|| "somebody".to_owned()),
        payload: payload(random),
    }
}

/// The batches, which a store takes but once.
fn batches(seed: u64) -> Vec<Batch> {
    let mut random = Random::of(seed);
    let mut said: Vec<LicenseEvent> = Vec::new();
    let mut offset = 0;
    let batches = (0..BATCHES).map(|_| {
        let mut batch = Batch::default();
        for _ in 0..RECORDS_PER_BATCH {
            let at = Coordinates {
                timestamp: 100 + i64::try_from(random.below(5)).unwrap(),
                lane: Lane::Interactive,
                partition: 0,
                offset,
            };
            offset += 1;
            let headers = match random.below(REQUESTS + 3) {
                number if number < REQUESTS => vec![Header {
                    name: "x-request-id".to_owned(),
                    value: Some(name("r", number).into_bytes()),
                }],
                _ => Vec::new(),
            };
            if random.below(15) == 0 {
                batch.reject(
                    RawRecord {
                        at,
                        key: None,
                        value: Some(vec![9]),
                        headers,
                    },
                    Fault::new(Reason::UnknownFormat, "neither"),
                );
            } else {
                let again = !said.is_empty() && random.below(4) == 0;
                let event = match again {
                    true => said[random.below(said.len())].clone(),
                    false => event(&mut random),
                };
                batch.accept(at, Envelope::of(&headers), &event);
                said.push(event);
            }
            batch.note_timestamp(at.lane, at.partition, at.timestamp);
            batch.advance(at.lane, at.partition, at.offset, at.offset + 1);
        }
        batch
    });
    batches.collect()
}

fn filled(kind: Kind, seed: u64) -> (Place, Box<dyn Lookup>) {
    let place = Place::new(kind);
    let mut model = place.model();
    for (number, batch) in batches(seed).into_iter().enumerate() {
        model.apply(batch, 1000 + number as i64).unwrap();
    }
    let end = PartitionEnd {
        lane: Lane::Interactive,
        partition: 0,
        end_offset: (BATCHES * RECORDS_PER_BATCH) as i64,
        seen_at: 5000,
    };
    model.note_ends(&[end], 5000).unwrap();
    let lookup = place.lookup(2);
    (place, lookup)
}

/// Everything that one license is asked, as text.
fn of_license(lookup: &dyn Lookup, key: &LicenseKey, answers: &mut Vec<String>) {
    let mut say = |answer: String| answers.push(format!("{key:?}: {answer}"));
    say(format!("{:?}", lookup.license(key).unwrap()));
    say(format!("{:?}", lookup.usage(key).unwrap()));
    for limit in [2, 100] {
        let mut after: Option<String> = None;
        loop {
            let page = lookup.devices(key, after.as_deref(), limit).unwrap();
            say(format!("{page:?}"));
            after = page.value.and_then(|page| page.next);
            if after.is_none() {
                break;
            }
        }
        for (kind, from, to) in [
            (None, None, None),
            (Some(EventKind::EventVoided), None, None),
            (None, Some(NOW + 2), Some(NOW + 4)),
        ] {
            let mut after = None;
            loop {
                let query = TimelineQuery {
                    kind,
                    from,
                    to,
                    after,
                    limit,
                };
                let page = lookup.timeline(key, &query).unwrap();
                say(format!("{page:?}"));
                after = page.value.and_then(|page| page.next);
                if after.is_none() {
                    break;
                }
            }
        }
        let parts = LicenseParts {
            devices: Some(limit),
            usage: true,
            timeline: Some(limit),
            customer_at: Some(NOW),
        };
        say(format!("{:?}", lookup.license_with(key, &parts).unwrap()));
        let mut history = lookup.history(key, limit).unwrap();
        if let Some(history) = &mut history.value {
            history
                .events
                .sort_by_key(|recorded| recorded.event.event_id);
        }
        say(format!("{history:?}"));
    }
    say(format!(
        "{:?}",
        lookup.license_with(key, &LicenseParts::default()).unwrap()
    ));
}

/// Everything that a tenant and its customers are asked, before, while and after licenses turn.
fn of_tenant(lookup: &dyn Lookup, tenant_id: &str, answers: &mut Vec<String>) {
    const DAY: i64 = 86_400_000_000;
    for at in [0, NOW - 1, NOW, NOW + 1, NOW + DAY, NOW + 3 * DAY] {
        for number in 0..4 {
            let customer_id = name("c", number);
            let customer = lookup.customer(tenant_id, &customer_id, at).unwrap();
            answers.push(format!("{tenant_id} {customer_id} {at}: {customer:?}"));
        }
        let stats = lookup.stats(tenant_id, at).unwrap();
        answers.push(format!("{tenant_id} {at}: {stats:?}"));
    }
}

fn of_requests(lookup: &dyn Lookup, tenant_id: &str, answers: &mut Vec<String>) {
    let by_id = (0..REQUESTS).map(|number| (name("r", number), None));
    let offsets = (0..BATCHES * RECORDS_PER_BATCH).map(|offset| {
        let place = (Lane::Interactive, 0, offset as i64);
        (format!("license.events.v1:0:{offset}"), Some(place))
    });
    for (request_id, by_coordinates) in by_id.chain(offsets) {
        let mut after = None;
        loop {
            let query = JourneyQuery {
                tenant_id: tenant_id.to_owned(),
                request_id: RequestId::parse(&request_id).unwrap(),
                by_coordinates,
                after,
                limit: 7,
            };
            let page = lookup.journey(&query).unwrap();
            answers.push(format!("{tenant_id} {request_id}: {page:?}"));
            after = page.value.next;
            if after.is_none() {
                break;
            }
        }
    }
}

fn answers(lookup: &dyn Lookup) -> Vec<String> {
    let mut answers = vec![
        format!("{:?}", lookup.freshness().unwrap()),
        format!("{:?}", lookup.position().unwrap()),
    ];
    for tenant_id in TENANTS.into_iter().chain(["t-3"]) {
        let mut ids: Vec<String> = (0..=LICENSES).map(|number| name("L", number)).collect();
        for license_id in &ids {
            let key = LicenseKey {
                tenant_id: tenant_id.to_owned(),
                license_id: license_id.clone(),
            };
            of_license(lookup, &key, &mut answers);
        }
        ids.reverse();
        ids.push(ids[0].clone());
        answers.push(format!(
            "{:?}",
            lookup.licenses_by_id(tenant_id, &ids).unwrap()
        ));
        answers.push(format!(
            "{:?}",
            lookup.licenses_by_id(tenant_id, &[]).unwrap()
        ));
        of_requests(lookup, tenant_id, &mut answers);
        of_tenant(lookup, tenant_id, &mut answers);
    }
    answers
}

#[test]
fn no_answer_of_one_store_differs_from_the_others() {
    for seed in 1..=3 {
        let (_file, sqlite) = filled(Kind::Sqlite, seed);
        let (_schema, postgres) = filled(Kind::Postgres, seed);
        let (one, other) = (answers(&*sqlite), answers(&*postgres));
        assert_eq!(one.len(), other.len(), "seed {seed}");
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one, other, "seed {seed}");
        }
        // What could differ is there.
        let all = one.concat();
        for word in [
            "Duplicate",
            "Rejected",
            "EventConflict",
            "Heartbeat",
            "Applied",
            "next_expiry: Some",
            "totals: Ok",
        ] {
            assert!(all.contains(word), "seed {seed}: no {word}");
        }
        assert!(all.contains("voided_by: Some"), "seed {seed}");
        assert!(all.contains("is_whole: false") && all.contains("is_whole: true"));
    }
}
