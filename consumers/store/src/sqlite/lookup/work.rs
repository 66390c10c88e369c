//! The work stays with the page: at a hundred thousand rows, a page takes no more of SQLite's steps than ten
//! times as many rows as it has would take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use licenseflow_avro::event::{
    DeviceActivated, LicenseEvent, LicenseIssued, Payload, UsageRecorded,
};
use licenseflow_avro::{Coordinates, EventKind, Lane, LicenseKey};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use rusqlite::Connection;
use uuid::Uuid;

use super::Snapshot;
use crate::lookup::{LicenseQuery, SortBy, TimelineQuery};
use crate::read_model::ReadModel;
use crate::sqlite::{SqliteModel, SqliteOptions};

const LICENSES: usize = 100_000;
const DEVICES: usize = 50_000;
const EVENTS: usize = 110_000;
const PAGE: usize = 50;

/// What it takes to visit a row: its columns, and the way to the next.
const STEPS_A_ROW: u64 = 30;

fn apply(model: &mut SqliteModel, events: impl Iterator<Item = (String, Payload)>) {
    let events: Vec<_> = events.enumerate().collect();
    for events in events.chunks(20_000) {
        let mut batch = Batch::default();
        for (number, (license_id, payload)) in events {
            let at = Coordinates {
                timestamp: 0,
                lane: Lane::Interactive,
                partition: 0,
                offset: *number as i64,
            };
            let event = LicenseEvent {
                event_id: Uuid::from_u128(*number as u128 + 1),
                license_id: license_id.clone(),
                tenant_id: "t".to_owned(),
                // The last comes first.
                occurred_at: (EVENTS - *number) as i64,
                source: String::new(),
                actor: None,
                payload: payload.clone(),
            };
            batch.accept(at, Envelope::default(), &event);
        }
        model.apply(batch, 0).unwrap();
    }
}

fn licenses() -> impl Iterator<Item = (String, Payload)> {
    (0..LICENSES).map(|number| {
        let issued = LicenseIssued {
            customer_id: "c".to_owned(),
            product_id: "p".to_owned(),
            plan: "team".to_owned(),
            seats: 1,
            valid_from: 0,
            expires_at: Some((number % 1000) as i64),
            entitlements: Default::default(),
            metadata: Default::default(),
        };
        (format!("L-{number:06}"), Payload::LicenseIssued(issued))
    })
}

fn long_timeline() -> impl Iterator<Item = (String, Payload)> {
    (0..EVENTS).map(|number| {
        let payload = if number < DEVICES {
            Payload::DeviceActivated(DeviceActivated {
                device_id: format!("d-{number:06}"),
                fingerprint: None,
                platform: None,
            })
        } else {
            Payload::UsageRecorded(UsageRecorded {
                metric: "pages".to_owned(),
                quantity: 1,
            })
        };
        ("long".to_owned(), payload)
    })
}

/// Asks of a store that holds these events, and holds each question to its steps.
fn ask(
    events: impl Iterator<Item = (String, Payload)>,
    questions: impl FnOnce(&Snapshot<'_>, &dyn Fn(&str)),
) {
    let name = format!("licenseflow-work-{}", Uuid::now_v7().simple());
    let folder = std::env::temp_dir().join(name);
    let path = folder.join("licenseflow.db");
    apply(
        &mut SqliteModel::open(&path, SqliteOptions::default()).unwrap(),
        events,
    );
    let mut connection = Connection::open(&path).unwrap();
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let count = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        false
    };
    connection.progress_handler(1, Some(count)).unwrap();
    let snapshot = Snapshot {
        rows: connection.transaction().unwrap(),
        hash_seed: 0,
    };
    questions(&snapshot, &|what| {
        let taken = steps.swap(0, Ordering::Relaxed);
        let most = 10 * PAGE as u64 * STEPS_A_ROW;
        assert!(taken <= most, "{what}: {taken} steps for {PAGE} rows");
    });
    drop(snapshot);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_page_of_a_hundred_thousand_licenses_of_one_customer_visits_few_rows() {
    ask(licenses(), |snapshot, hold| {
        for sort in [SortBy::LicenseId, SortBy::ExpiresAt, SortBy::LastEventAt] {
            for descending in [false, true] {
                let mut query = LicenseQuery {
                    tenant_id: "t".to_owned(),
                    customer_id: Some("c".to_owned()),
                    sort,
                    descending,
                    limit: PAGE,
                    visit_at_most: 10_000,
                    ..LicenseQuery::default()
                };
                for _ in 0..3 {
                    let page = snapshot.licenses(&query).unwrap();
                    assert_eq!(page.items.len(), PAGE);
                    query.after = page.next;
                    hold(&format!("licenses by {sort:?}"));
                }
            }
        }
    });
}

#[test]
fn a_page_of_a_long_timeline_or_of_many_devices_visits_few_rows() {
    ask(long_timeline(), |snapshot, hold| {
        let key = LicenseKey {
            tenant_id: "t".to_owned(),
            license_id: "long".to_owned(),
        };
        let license = snapshot.license_number(&key).unwrap().unwrap();
        let middle = (EVENTS / 2) as i64;
        for (kind, from, to) in [
            (None, None, None),
            (None, Some(middle), None),
            (Some(EventKind::UsageRecorded), None, Some(middle)),
            (
                Some(EventKind::DeviceActivated),
                Some(2 * middle - 100),
                None,
            ),
        ] {
            let mut query = TimelineQuery {
                kind,
                from,
                to,
                after: None,
                limit: PAGE,
            };
            for _ in 0..2 {
                let page = snapshot.timeline(&key, license, &query).unwrap();
                assert_eq!(page.items.len(), PAGE, "{query:?}");
                query.after = page.next;
                hold(&format!("events of {kind:?}"));
            }
        }
        let mut after: Option<String> = None;
        for _ in 0..3 {
            let page = snapshot.devices(license, after.as_deref(), PAGE).unwrap();
            assert_eq!(page.items.len(), PAGE);
            after = page.next;
            hold("devices");
        }
    });
}
