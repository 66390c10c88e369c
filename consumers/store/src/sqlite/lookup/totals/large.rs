//! A customer of a hundred thousand licenses: as much work as there are days, not licenses.

use licenseflow_avro::event::{LicenseEvent, LicenseIssued, LicenseRevoked, Payload};
use licenseflow_avro::{Coordinates, Lane};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use licenseflow_core::status::Status;
use uuid::Uuid;

use super::super::steps::counted;

const LICENSES: i64 = 100_000;
const DAY: i64 = 86_400_000_000;
const FIRST: i64 = 20_000 * DAY;

/// They end at times of their own, a hundred a day.
fn expires_at(number: i64) -> i64 {
    FIRST + number * (DAY / 100) + number
}

fn is_revoked(number: i64) -> bool {
    number % 3 == 0
}

fn said(number: i64, offset: i64, payload: Payload) -> LicenseEvent {
    LicenseEvent {
        event_id: Uuid::from_u128(u128::from(offset.cast_unsigned()) + 1),
        license_id: format!("L-{number}"),
        tenant_id: "t".to_owned(),
        occurred_at: offset,
        source: String::new(),
        actor: None,
        payload,
    }
}

fn everything_said() -> Batch {
    let (mut batch, mut offset) = (Batch::default(), 0);
    let mut accept = |event: LicenseEvent| {
        let at = Coordinates {
            timestamp: 0,
            lane: Lane::Interactive,
            partition: 0,
            offset: event.occurred_at,
        };
        batch.accept(at, Envelope::default(), &event);
    };
    for number in 0..LICENSES {
        let issued = LicenseIssued {
            customer_id: "c".to_owned(),
            product_id: "p".to_owned(),
            plan: "team".to_owned(),
            seats: 1,
            valid_from: 0,
            expires_at: Some(expires_at(number)),
            entitlements: Default::default(),
            metadata: Default::default(),
        };
        accept(said(number, offset, Payload::LicenseIssued(issued)));
        offset += 1;
        if is_revoked(number) {
            let reason = String::new();
            let revoked = Payload::LicenseRevoked(LicenseRevoked { reason });
            accept(said(number, offset, revoked));
            offset += 1;
        }
    }
    batch
}

#[test]
fn the_work_for_a_customer_does_not_grow_with_its_licenses() {
    counted([everything_said()], |snapshot, steps| {
        for number in [0, 1, LICENSES / 2, LICENSES - 1] {
            let at = expires_at(number);
            steps();
            let customer = snapshot.customer("t", "c", at).unwrap().unwrap();
            let taken = steps();
            assert!(
                taken < LICENSES.cast_unsigned(),
                "{taken} steps at {number}"
            );
            let counts = |number: &i64| !is_revoked(*number);
            let expired = (0..=number).filter(counts).count() as i64;
            let active = (number + 1..LICENSES).filter(counts).count() as i64;
            assert_eq!(customer.totals.of_status(Status::Expired), expired);
            assert_eq!(customer.totals.of_status(Status::Active), active);
            let next = (number + 1..LICENSES).find(counts).map(expires_at);
            assert_eq!(customer.next_expiry, next);
        }
    });
}
