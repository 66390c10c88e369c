//! A row that breaks a rule of the store: it is told from a store that is away, and nothing of its batch stays.

use licenseflow_avro::{LicenseEvent, json};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use licenseflow_store::{Kind, ReadModel as _};

use crate::model::{Model as _, Place, on_every_store};
use crate::store::{poison, span};

on_every_store!(a_row_that_breaks_a_rule_is_refused_and_nothing_of_its_batch_is_written);

fn revoked(license: &str) -> LicenseEvent {
    let text = format!(
        "{{\"event_id\":\"00000000-0000-7000-8000-000000000001\",\"license_id\":\"{license}\",\
         \"occurred_at\":\"2026-01-01T00:00:00Z\",\"type\":\"LicenseRevoked\",\"data\":{{}}}}"
    );
    json::decode(text.as_bytes()).unwrap()
}

fn of(licenses: &[&str]) -> Batch {
    let mut batch = span(0, licenses.len() as i64);
    for (offset, license) in (0..).zip(licenses) {
        batch.accept(poison(offset).at, Envelope::default(), &revoked(license));
    }
    batch
}

fn a_row_that_breaks_a_rule_is_refused_and_nothing_of_its_batch_is_written<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    place.refuse("bad");
    let error = model.apply(of(&["good", "bad"]), 1).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert!(model.positions().unwrap().is_empty());
    assert_eq!(model.kept(), model.recounted());
    let applied = model.apply(of(&["good"]), 2).unwrap();
    assert_eq!(applied.events, 1);
    assert_eq!(model.kept(), model.recounted());
}
