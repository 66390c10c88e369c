//! What the embedded store does with files, and what its lookup sees of the writer's work.

use licenseflow_avro::headers::RequestId;
use licenseflow_avro::json;
use licenseflow_avro::reason::Fault;
use licenseflow_avro::record::Header;
use licenseflow_avro::{Lane, Reason};
use licenseflow_store::lookup::{JourneyOutcome, JourneyQuery, Lookup};
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{Error, PartitionEnd, ReadModel, SqliteLookup, SqliteModel};

use crate::model::{Folder, Place};
use crate::store::{poison, span};

#[test]
fn a_partition_is_caught_up_when_it_stands_at_the_end_that_was_seen() {
    let folder = Folder::new();
    let mut model = folder.open();
    let end = |end_offset, seen_at| PartitionEnd {
        lane: Lane::Interactive,
        partition: 3,
        end_offset,
        seen_at,
    };
    model.note_ends(&[end(5, 100)], 100).unwrap();
    assert_eq!(model.positions().unwrap()[0].next_offset, 0);
    model.apply(span(0, 5), 1).unwrap();
    model.note_ends(&[end(5, 200)], 200).unwrap();
    model.note_ends(&[end(6, 300)], 300).unwrap();
    let lookup = licenseflow_store::SqliteLookup::open(&folder.store(), 1).unwrap();
    let freshness = licenseflow_store::Lookup::freshness(&lookup).unwrap();
    assert_eq!(freshness.partitions[0].caught_up_at, Some(200));
    assert_eq!(freshness.partitions[0].end_offset, Some(6));
}

#[test]
fn the_second_writer_of_a_file_is_told_who_holds_it() {
    let folder = Folder::new();
    let _model = folder.open();
    let error = SqliteModel::open(&folder.store(), SqliteOptions::default()).unwrap_err();
    assert!(
        matches!(&error, Error::Held { holder, .. } if holder.contains(&std::process::id().to_string())),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    std::fs::write(
        folder.store(),
        b"some text that is no database, and long enough to have a header",
    )
    .unwrap();
    let error = SqliteModel::open(&folder.store(), SqliteOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Unusable(_)), "{error}");
    assert!(
        std::fs::read(folder.store())
            .unwrap()
            .starts_with(b"some text")
    );
}

#[test]
fn a_rejected_record_that_says_its_tenant_is_found_by_its_request_and_by_nobody_else() {
    let folder = Folder::new();
    let mut model = folder.open();
    let event = json::decode(
        br#"{"event_id":"00000000-0000-7000-8000-000000000001","tenant_id":"t1","license_id":"L","occurred_at":"2026-01-01T00:00:00Z","type":"LicenseRevoked","data":{}}"#,
    )
    .unwrap();
    let mut record = poison(0);
    record.headers = vec![Header {
        name: "x-request-id".to_owned(),
        value: Some(b"r-1".to_vec()),
    }];
    let mut batch = span(0, 1);
    let fault = Fault::new(Reason::KeyMismatch, "another key").of(&event);
    batch.reject(record, fault);
    model.apply(batch, 1).unwrap();

    let lookup = SqliteLookup::open(&folder.store(), 1).unwrap();
    let asked = |tenant: &str| JourneyQuery {
        tenant_id: tenant.to_owned(),
        request_id: RequestId::parse("r-1").unwrap(),
        by_coordinates: None,
        after: None,
        limit: 10,
    };
    let steps = lookup.journey(&asked("t1")).unwrap().value.items;
    assert!(
        matches!(
            &steps[0].outcome,
            JourneyOutcome::Rejected {
                reason: Reason::KeyMismatch,
                dead_lettered_at: None,
                ..
            }
        ),
        "{steps:?}"
    );
    assert!(lookup.journey(&asked("t2")).unwrap().value.items.is_empty());
}
