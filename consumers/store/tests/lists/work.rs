//! The work stays with the page: at a hundred thousand rows, a page visits no more than ten times as many
//! rows as it has. What PostgreSQL visited it says itself, over all statements of a page as they were run;
//! SQLite's steps are counted beside its lookup.

use licenseflow_avro::event::{
    DeviceActivated, LicenseIssued, LicenseRevoked, Payload, UsageRecorded,
};
use licenseflow_avro::{Coordinates, EventKind, Lane, LicenseEvent, LicenseKey};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use licenseflow_store::lookup::{LicenseQuery, TimelineQuery};
use licenseflow_store::{Lookup, ReadModel};
use uuid::Uuid;

use crate::data::{NOW, TENANT};
use crate::news::visited;
use crate::stores::{Kind, Place, on_every_store};
use crate::{SORTS, everything};

on_every_store!(a_sparse_filter_gives_short_pages_that_go_on);

const LICENSES: usize = 100_000;
const DEVICES: usize = 50_000;
const EVENTS: usize = 110_000;
const PAGE: usize = 50;

/// The most rows that a page of a timeline looks at.
const VISITS_MAX: usize = 10_000;

fn long() -> LicenseKey {
    LicenseKey {
        tenant_id: TENANT.to_owned(),
        license_id: "long".to_owned(),
    }
}

fn apply(model: &mut dyn ReadModel, events: impl Iterator<Item = (LicenseKey, Payload)>) {
    let events: Vec<_> = events.enumerate().collect();
    for events in events.chunks(20_000) {
        let mut batch = Batch::default();
        for (number, (key, payload)) in events {
            let offset = i64::try_from(*number).unwrap();
            let at = Coordinates {
                timestamp: 1,
                lane: Lane::Interactive,
                partition: 0,
                offset,
            };
            let event = LicenseEvent {
                event_id: Uuid::from_u128(*number as u128),
                license_id: key.license_id.clone(),
                tenant_id: key.tenant_id.clone(),
                // The last comes first.
                occurred_at: NOW - offset,
                source: String::new(),
                actor: None,
                payload: payload.clone(),
            };
            batch.accept(at, Envelope::default(), &event);
        }
        model.apply(batch, 1).unwrap();
    }
}

/// Devices are activated, pages are used, and one event in the middle is of another type.
fn long_timeline() -> impl Iterator<Item = (LicenseKey, Payload)> {
    (0..EVENTS).map(|number| {
        let payload = if number < DEVICES {
            Payload::DeviceActivated(DeviceActivated {
                device_id: format!("d-{number:06}"),
                fingerprint: None,
                platform: None,
            })
        } else if number == EVENTS / 2 {
            let reason = String::new();
            Payload::LicenseRevoked(LicenseRevoked { reason })
        } else {
            Payload::UsageRecorded(UsageRecorded {
                metric: "pages".to_owned(),
                quantity: 1,
            })
        };
        (long(), payload)
    })
}

fn licenses_of_one_customer() -> impl Iterator<Item = (LicenseKey, Payload)> {
    (0..LICENSES).map(|number| {
        let key = LicenseKey {
            tenant_id: TENANT.to_owned(),
            license_id: format!("L-{number:06}"),
        };
        let issued = LicenseIssued {
            customer_id: "c".to_owned(),
            product_id: "p".to_owned(),
            plan: "team".to_owned(),
            seats: 1,
            valid_from: NOW,
            expires_at: Some(NOW + i64::try_from(number % 1000).unwrap()),
            entitlements: [].into(),
            metadata: [].into(),
        };
        (key, Payload::LicenseIssued(issued))
    })
}

#[test]
fn on_postgres_a_page_of_a_hundred_thousand_licenses_visits_few_rows() {
    let place = Place::new(Kind::Postgres);
    apply(&mut *place.model(), licenses_of_one_customer());
    let (pages, rows) = visited(&place, "license", &|lookup: &dyn Lookup| {
        let mut pages = 0;
        for (sort, descending) in SORTS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
            let mut query = LicenseQuery {
                customer_id: Some("c".to_owned()),
                limit: PAGE,
                ..everything(sort, descending)
            };
            for _ in 0..3 {
                let page = lookup.licenses(&query).unwrap().value;
                assert_eq!(page.items.len(), PAGE);
                query.after = page.next;
                pages += 1;
            }
        }
        pages
    });
    assert!(rows <= 10 * PAGE * pages, "{rows} rows for {pages} pages");
}

#[test]
fn on_postgres_a_page_of_a_long_timeline_or_of_many_devices_visits_few_rows() {
    let place = Place::new(Kind::Postgres);
    apply(&mut *place.model(), long_timeline());
    let (pages, rows) = visited(&place, "timeline", &|lookup: &dyn Lookup| {
        let middle = NOW - i64::try_from(EVENTS / 2).unwrap();
        let queries = [
            (None, None, None),
            (None, Some(middle), None),
            (Some(EventKind::UsageRecorded), None, Some(middle)),
            (Some(EventKind::DeviceActivated), Some(NOW - 100), Some(NOW)),
        ];
        let mut pages = 0;
        for (kind, from, to) in queries {
            let mut query = TimelineQuery {
                kind,
                from,
                to,
                after: None,
                limit: PAGE,
            };
            for _ in 0..2 {
                let page = lookup.timeline(&long(), &query).unwrap().value.unwrap();
                assert_eq!(page.items.len(), PAGE);
                query.after = page.next;
                pages += 1;
            }
        }
        pages
    });
    assert!(rows <= 10 * PAGE * pages, "{rows} rows for {pages} pages");
    let (pages, rows) = visited(&place, "device", &|lookup: &dyn Lookup| {
        let mut after: Option<String> = Some("d-02".to_owned());
        for _ in 0..3 {
            let page = lookup.devices(&long(), after.as_deref(), PAGE).unwrap();
            let page = page.value.unwrap();
            assert_eq!(page.items.len(), PAGE);
            after = page.next;
        }
        3
    });
    assert!(rows <= 10 * PAGE * pages, "{rows} rows for {pages} pages");
}

fn a_sparse_filter_gives_short_pages_that_go_on(kind: Kind) {
    let place = Place::new(kind);
    apply(&mut *place.model(), long_timeline());
    let lookup = place.lookup(1);
    let mut query = TimelineQuery {
        kind: Some(EventKind::LicenseRevoked),
        limit: PAGE,
        ..TimelineQuery::default()
    };
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = lookup.timeline(&long(), &query).unwrap().value.unwrap();
        found.extend(page.items.into_iter().map(|row| row.recorded.at.offset));
        pages += 1;
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(found, [i64::try_from(EVENTS / 2).unwrap()]);
    // All but the last look at as many as they may; the last finds that there are no more.
    assert_eq!(pages, EVENTS / VISITS_MAX + 1);
}
