//! A hundred thousand rows of each kind, and what is asked of them; for tests that hold the work of a page to
//! the page. It knows no store: those of a store's own code use it too.

use licenseflow_avro::event::{
    DeviceActivated, LicenseIssued, LicenseRevoked, Payload, UsageRecorded,
};
use licenseflow_avro::{Coordinates, EventKind, Lane, LicenseEvent, LicenseKey};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use uuid::Uuid;

pub(crate) const TENANT: &str = "default";
pub(crate) const LICENSES: usize = 100_000;
pub(crate) const DEVICES: usize = 50_000;
pub(crate) const EVENTS: usize = 1_000_000;
pub(crate) const PAGE: usize = 50;

/// When the first event of all occurred, which is the last in the order of events.
const NOW: i64 = 1_800_000_000_000_000;

fn license(license_id: String) -> LicenseKey {
    LicenseKey {
        tenant_id: TENANT.to_owned(),
        license_id,
    }
}

/// The license with the long timeline.
pub(crate) fn long() -> LicenseKey {
    license("long".to_owned())
}

/// Batches that say these events, each a microsecond before the one that comes before it.
pub(crate) fn batches(events: impl Iterator<Item = (LicenseKey, Payload)>) -> Vec<Batch> {
    let events: Vec<_> = (0i64..).zip(events).collect();
    let batch = |events: &[(i64, (LicenseKey, Payload))]| {
        let mut batch = Batch::default();
        for (offset, (key, payload)) in events {
            let at = Coordinates {
                timestamp: 1,
                lane: Lane::Interactive,
                partition: 0,
                offset: *offset,
            };
            let event = LicenseEvent {
                event_id: Uuid::from_u128(u128::from(offset.unsigned_abs())),
                license_id: key.license_id.clone(),
                tenant_id: key.tenant_id.clone(),
                occurred_at: NOW - offset,
                source: String::new(),
                actor: None,
                payload: payload.clone(),
            };
            batch.accept(at, Envelope::default(), &event);
        }
        batch
    };
    events.chunks(20_000).map(batch).collect()
}

/// Devices are activated, pages are used, and one event in the middle is of another type.
pub(crate) fn long_timeline() -> impl Iterator<Item = (LicenseKey, Payload)> {
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

/// Types and ranges of time that pages of the long timeline are asked for.
pub(crate) fn parts_of_the_long_timeline() -> [(Option<EventKind>, Option<i64>, Option<i64>); 4] {
    let middle = NOW - (EVENTS / 2) as i64;
    [
        (None, None, None),
        (None, Some(middle), None),
        (Some(EventKind::UsageRecorded), None, Some(middle)),
        (Some(EventKind::DeviceActivated), Some(NOW - 100), Some(NOW)),
    ]
}

pub(crate) fn licenses_of_one_customer() -> impl Iterator<Item = (LicenseKey, Payload)> {
    (0..LICENSES).map(|number| {
        let issued = LicenseIssued {
            customer_id: "c".to_owned(),
            product_id: "p".to_owned(),
            plan: "team".to_owned(),
            seats: 1,
            valid_from: NOW,
            expires_at: Some(NOW + (number % 1000) as i64),
            entitlements: [].into(),
            metadata: [].into(),
        };
        let key = license(format!("L-{number:06}"));
        (key, Payload::LicenseIssued(issued))
    })
}
