//! What a store does with positions and letters.

use licenseflow_avro::headers::RequestId;
use licenseflow_avro::json;
use licenseflow_avro::reason::Fault;
use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, Lane, RawRecord, Reason};
use licenseflow_core::batch::Envelope;
use licenseflow_core::{Batch, naive};
use licenseflow_store::lookup::{JourneyOutcome, JourneyQuery};
use licenseflow_store::{
    Error, Ground, LETTERS_BYTES, LetterContent, Outbox as _, PartitionEnd, ReadModel as _,
};

use crate::model::{Model as _, Place, on_every_store};

on_every_store!(
    a_position_moves_only_from_where_it_stands,
    a_fenced_batch_leaves_nothing_behind,
    letters_wait_until_they_are_marked_even_over_a_restart,
    a_generation_keeps_what_it_judges_records_by,
    what_a_fenced_batch_folded_is_not_folded_onto,
    words_that_a_record_chose_are_stored_whatever_they_are,
    a_round_of_letters_stops_at_its_bytes,
    a_model_is_of_one_log_and_of_no_other,
    a_partition_is_caught_up_when_it_stands_at_the_end_that_was_seen,
    a_rejected_record_that_says_its_tenant_is_found_by_its_request_and_by_nobody_else,
);

pub(crate) fn span(from: i64, to: i64) -> Batch {
    let mut batch = Batch::default();
    batch.advance(Lane::Interactive, 3, from, to);
    batch.note_timestamp(Lane::Interactive, 3, 1000 + to);
    batch
}

pub(crate) fn poison(offset: i64) -> RawRecord {
    RawRecord {
        at: Coordinates {
            timestamp: 5,
            lane: Lane::Interactive,
            partition: 3,
            offset,
        },
        key: None,
        value: Some(vec![9, 9]),
        headers: vec![Header {
            name: "h".to_owned(),
            value: None,
        }],
    }
}

fn a_model_is_of_one_log_and_of_no_other<P: Place>() {
    let ground = |cluster_id: &str, topic: &str| Ground {
        cluster_id: cluster_id.to_owned(),
        topic: topic.to_owned(),
    };
    let place = P::new();
    let mut model = place.open();
    model.begin_on(&ground("one", "license.events.v1")).unwrap();
    for _ in 0..2 {
        for (cluster_id, topic) in [
            ("other", "license.events.v1"),
            ("one", "t-license.events.v1"),
        ] {
            let error = model.begin_on(&ground(cluster_id, topic)).unwrap_err();
            assert!(matches!(error, Error::Unusable(_)), "{error}");
            let words = error.to_string();
            assert!(
                words.contains("cluster one") && words.contains(topic),
                "{words}"
            );
        }
        model.begin_on(&ground("one", "license.events.v1")).unwrap();
        drop(model);
        model = place.open();
    }
}

fn a_position_moves_only_from_where_it_stands<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    model.apply(span(0, 5), 1).unwrap();
    model.apply(span(5, 9), 1).unwrap();
    let states = model.positions().unwrap();
    assert_eq!(
        (
            states[0].partition,
            states[0].next_offset,
            states[0].last_timestamp
        ),
        (3, 9, Some(1009))
    );
    for (from, to) in [(0, 5), (5, 9), (8, 12), (10, 12)] {
        let error = model.apply(span(from, to), 1).unwrap_err();
        assert!(
            matches!(error, Error::Fenced { partition: 3, expected, .. } if expected == from),
            "{error}"
        );
    }
    assert_eq!(model.positions().unwrap()[0].next_offset, 9);
}

fn a_fenced_batch_leaves_nothing_behind<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    model.apply(span(0, 5), 1).unwrap();
    let mut batch = span(4, 6);
    batch.reject(poison(5), Fault::new(Reason::UnknownFormat, "no"));
    assert!(model.apply(batch, 1).is_err());
    assert!(model.unsent(0, 10, &[]).unwrap().is_empty());
}

fn letters_wait_until_they_are_marked_even_over_a_restart<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    let mut batch = span(0, 2);
    batch.reject(poison(0), Fault::new(Reason::UnknownFormat, "first"));
    batch.reject(poison(1), Fault::invalid("/data/seats", "second"));
    assert_eq!(model.apply(batch, 1).unwrap().letters, 2);
    let letters = model.unsent(0, 1, &[]).unwrap();
    assert_eq!(letters[0].reason, Reason::UnknownFormat);
    let behind = model.unsent(letters[0].id, 10, &[]).unwrap();
    assert_eq!(behind.len(), 1);
    assert_eq!(behind[0].at.offset, 1);
    model.mark_sent(&[letters[0].id], 2).unwrap();
    model.leave().unwrap();
    drop(model);
    let letters = place.open().unsent(0, 10, &[]).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].error, "/data/seats: second");
    assert_eq!(letters[0].at.offset, 1);
    let kept = LetterContent::Kept {
        key: None,
        value: Some(vec![9, 9]),
        headers: poison(1).headers,
    };
    assert_eq!(letters[0].content, kept);
}

fn a_generation_keeps_what_it_judges_records_by<P: Place>() {
    let place = P::new();
    drop(place.open());
    let error = place.open_with(1_000_000).err().unwrap();
    assert!(matches!(error, Error::Unusable(_)), "{error}");
    assert!(error.to_string().contains("300 s"), "{error}");
    place.open();
}

fn what_a_fenced_batch_folded_is_not_folded_onto<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    let said = |event: u8| {
        let text = format!(
            "{{\"event_id\":\"00000000-0000-7000-8000-0000000000{event:02}\",\"license_id\":\"L-1\",\
             \"occurred_at\":\"2026-01-31T10:00:00Z\",\"type\":\"UsageRecorded\",\
             \"data\":{{\"metric\":\"m\",\"quantity\":1}}}}"
        );
        json::decode(text.as_bytes()).unwrap()
    };
    let batch = |from: i64, to: i64, event: u8| {
        let mut batch = span(from, to);
        let at = poison(from).at;
        batch.accept(at, Envelope::default(), &said(event));
        batch
    };
    model.apply(batch(0, 1, 1), 1).unwrap();
    assert!(model.apply(batch(7, 8, 2), 1).is_err());
    model.apply(batch(1, 2, 3), 1).unwrap();
    let counted = [(poison(0).at, said(1)), (poison(1).at, said(3))];
    assert_eq!(model.kept().text(), naive::fold(counted).digest());
    assert_eq!(model.recounted(), model.kept());
}

fn words_that_a_record_chose_are_stored_whatever_they_are<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    let mut event = json::decode(
        br#"{"event_id":"00000000-0000-7000-8000-000000000001","license_id":"L","occurred_at":"2026-01-01T00:00:00Z","type":"LicenseRevoked","data":{}}"#,
    )
    .unwrap();
    // No index takes a key of a megabyte, and no text of PostgreSQL's takes U+0000.
    event.tenant_id = "t\0".repeat(500_000);
    event.license_id = "\0".to_owned();
    let mut batch = span(0, 2);
    batch.reject(
        poison(0),
        Fault::invalid("/tenant_id", "\0 is no id").of(&event),
    );
    let mut record = poison(1);
    record.key = Some(vec![0, 0xff]);
    record.headers[0].name = "\0".to_owned();
    batch.reject(record.clone(), Fault::new(Reason::BadAvro, "no"));
    model.apply(batch, 1).unwrap();
    let letters = model.unsent(0, 10, &[]).unwrap();
    assert!(letters[0].error.ends_with(" is no id"));
    let kept = LetterContent::Kept {
        key: record.key,
        value: record.value,
        headers: record.headers,
    };
    assert_eq!(letters[1].content, kept);
}

fn a_round_of_letters_stops_at_its_bytes<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    let mut batch = span(0, 7);
    for offset in 0..7 {
        let mut record = poison(offset);
        record.value = Some(vec![7; 1 << 20]);
        batch.reject(record, Fault::new(Reason::BadAvro, "no"));
    }
    model.apply(batch, 1).unwrap();
    let letters = model.unsent(0, 100, &[]).unwrap();
    // The one that reaches the bound goes with them.
    assert_eq!(letters.len(), LETTERS_BYTES >> 20);
    let rest = model
        .unsent(letters[letters.len() - 1].id, 100, &[])
        .unwrap();
    assert_eq!(letters.len() + rest.len(), 7);
}

fn a_partition_is_caught_up_when_it_stands_at_the_end_that_was_seen<P: Place>() {
    let place = P::new();
    let mut model = place.open();
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
    let lookup = place.lookup();
    let freshness = lookup.freshness().unwrap();
    assert_eq!(freshness.partitions[0].caught_up_at, Some(200));
    assert_eq!(freshness.partitions[0].end_offset, Some(6));
}

fn a_rejected_record_that_says_its_tenant_is_found_by_its_request_and_by_nobody_else<P: Place>() {
    let place = P::new();
    let mut model = place.open();
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

    let lookup = place.lookup();
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
