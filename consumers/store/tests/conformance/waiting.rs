//! Records that wait for another try: one row for all tries of a record, whatever is read twice or forged.

use licenseflow_avro::headers::{self, RequestId};
use licenseflow_avro::reason::Fault;
use licenseflow_avro::record::Header;
use licenseflow_avro::{Lane, LicenseEvent, Position, RawRecord, Reason, Topics, json};
use licenseflow_core::batch::Envelope;
use licenseflow_core::{Batch, Try, Waiting};
use licenseflow_store::lookup::JourneyQuery;
use licenseflow_store::{Error, LetterQuery, Outbox, ReadModel, Step};

use crate::model::{Model as _, Place, on_every_store};
use crate::store::{poison, span};

on_every_store!(
    a_record_waits_in_one_row_through_all_its_tries_until_one_is_accepted,
    what_is_given_up_on_after_its_tries_is_one_letter_at_its_first_place,
    a_try_that_was_published_twice_counts_once_and_a_forged_one_touches_nobodys_row,
    a_mark_of_an_earlier_try_says_nothing_of_the_next,
    nothing_waits_of_a_batch_that_another_owner_was_before,
    a_redriven_record_is_given_up_on_anew,
    without_room_for_one_more_a_try_waits_on_in_its_row_and_a_forged_one_is_rejected,
);

const WAIT_MS: i64 = 100;

fn first(offset: i64) -> RawRecord {
    RawRecord {
        key: Some(b"L".to_vec()),
        ..poison(offset)
    }
}

/// A try of the record that lay there first, behind so many tries.
fn again(offset: i64, first_offset: i64, tries: u32) -> RawRecord {
    let header = |name: &str, value: String| Header {
        name: name.to_owned(),
        value: Some(value.into_bytes()),
    };
    RawRecord {
        headers: vec![
            header(headers::REQUEST_ID, "r".to_owned()),
            header(
                headers::ORIGINAL_TOPIC,
                Topics::new("p.").lane(Lane::Interactive),
            ),
            header(headers::ORIGINAL_PARTITION, "3".to_owned()),
            header(headers::ORIGINAL_OFFSET, first_offset.to_string()),
            header(headers::ATTEMPT, tries.to_string()),
        ],
        ..first(offset)
    }
}

fn unknown() -> Fault {
    Fault::new(Reason::UnknownSchema, "id 9").that_may_heal()
}

fn waiting(record: RawRecord) -> Batch {
    let mut batch = span(record.at.offset, record.at.offset + 1);
    batch.wait(Waiting {
        record,
        fault: unknown(),
        wait_ms: WAIT_MS,
        may_begin: true,
    });
    batch
}

/// The same, where as many wait as may.
fn without_room(record: RawRecord) -> Batch {
    let mut batch = waiting(record);
    batch.waiting[0].may_begin = false;
    batch
}

fn rejecting(record: RawRecord) -> Batch {
    let mut batch = span(record.at.offset, record.at.offset + 1);
    batch.reject(record, Fault::new(Reason::RetriesExhausted, "at last"));
    batch
}

fn accepting(record: &RawRecord, event: &LicenseEvent) -> Batch {
    let mut batch = span(record.at.offset, record.at.offset + 1);
    batch.accept(record.at, Envelope::of(&record.headers), event);
    batch.retried.extend(Try::of(record));
    batch
}

fn revoked() -> LicenseEvent {
    json::decode(
        br#"{"event_id":"00000000-0000-7000-8000-000000000001","tenant_id":"t","license_id":"L","occurred_at":"2026-01-01T00:00:00Z","type":"LicenseRevoked","data":{}}"#,
    )
    .unwrap()
}

/// What is to be done at a time: the first place, the tries and the step of each.
fn due(model: &mut impl Outbox, now: i64) -> Vec<(i64, u32, Step)> {
    let due = model.due(now, 10).unwrap();
    let each = due.records.iter();
    each.map(|it| (it.record.at.offset, it.attempt, it.step))
        .collect()
}

/// Does what is to be done, as the brokers would.
fn do_what_is_due(model: &mut impl Outbox, now: i64) {
    let due = model.due(now, 10).unwrap();
    let done: Vec<_> = due.records.iter().map(|it| it.done()).collect();
    model.mark_done(&done, now).unwrap();
}

fn letters<P: Place>(place: &P) -> Vec<(i64, Reason)> {
    let query = LetterQuery {
        limit: 100,
        ..LetterQuery::default()
    };
    let page = place.letters().letters(&query).unwrap();
    page.items
        .iter()
        .map(|it| (it.at.offset, it.reason))
        .collect()
}

fn a_record_waits_in_one_row_through_all_its_tries_until_one_is_accepted<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    let applied = model.apply(waiting(first(0)), 10).unwrap();
    assert_eq!((applied.waiting, applied.letters), (1, 0));
    assert_eq!(due(&mut model, 10), [(0, 1, Step::Copy)]);
    do_what_is_due(&mut model, 10);
    let when = 10 + WAIT_MS;
    assert_eq!(due(&mut model, when - 1), []);
    assert_eq!(model.due(when - 1, 10).unwrap().next, Some(when));
    assert_eq!(due(&mut model, when), [(0, 1, Step::Publish)]);
    do_what_is_due(&mut model, when);
    assert_eq!(model.due(when, 10).unwrap(), Default::default());

    let asked: Position = "e:3:1".parse().unwrap();
    let waits = || place.lookup().freshness().unwrap().waits_for("L", &asked);
    assert!(waits());
    let applied = model.apply(waiting(again(1, 0, 1)), 200).unwrap();
    assert_eq!(applied.waiting, 1);
    assert_eq!(due(&mut model, 200), [(0, 2, Step::Copy)]);
    model.leave().unwrap();
    drop(model);
    let mut model = place.open();
    do_what_is_due(&mut model, 200);
    assert_eq!(due(&mut model, 200 + WAIT_MS), [(0, 2, Step::Publish)]);
    assert!(waits());

    let last = again(2, 0, 2);
    let applied = model.apply(accepting(&last, &revoked()), 400).unwrap();
    assert_eq!((applied.waiting, applied.events), (0, 1));
    assert!(!waits());
    assert_eq!(model.due(9999, 10).unwrap(), Default::default());
    assert_eq!(letters(&place), []);
    let query = JourneyQuery {
        tenant_id: "t".to_owned(),
        request_id: RequestId::parse("r").unwrap(),
        by_coordinates: None,
        after: None,
        limit: 10,
    };
    let steps = place.lookup().journey(&query).unwrap().value.items;
    let retried = steps[0].retried.as_ref().unwrap();
    assert_eq!(retried.first, (Lane::Interactive, 3, 0));
    assert_eq!((retried.attempts, retried.since), (3, 10));
}

fn what_is_given_up_on_after_its_tries_is_one_letter_at_its_first_place<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    // As in a rebuild, all of it in one batch.
    let mut batch = span(0, 3);
    for record in [first(0), again(1, 0, 1)] {
        batch.wait(Waiting {
            record,
            fault: unknown(),
            wait_ms: WAIT_MS,
            may_begin: true,
        });
    }
    batch.reject(
        again(2, 0, 2),
        Fault::new(Reason::RetriesExhausted, "at last"),
    );
    let applied = model.apply(batch, 10).unwrap();
    assert_eq!((applied.waiting, applied.letters), (0, 1));
    assert_eq!(letters(&place), [(0, Reason::RetriesExhausted)]);
    let unsent = model.unsent(0, 10, &[]).unwrap();
    assert_eq!(unsent[0].at, first(0).at);
    // The last try was published twice.
    model.apply(rejecting(again(3, 0, 2)), 20).unwrap();
    assert_eq!(letters(&place).len(), 1);
}

fn a_try_that_was_published_twice_counts_once_and_a_forged_one_touches_nobodys_row<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    model.apply(waiting(first(0)), 10).unwrap();
    do_what_is_due(&mut model, 10);
    model.apply(waiting(again(1, 0, 1)), 20).unwrap();
    do_what_is_due(&mut model, 20);
    let applied = model.apply(waiting(again(2, 0, 1)), 30).unwrap();
    assert_eq!(applied.waiting, 1);
    assert_eq!(due(&mut model, 30), [], "it waits for its time, not anew");

    let mut forged = again(3, 0, 5);
    forged.value = Some(vec![9, 8]);
    model.apply(rejecting(forged.clone()), 40).unwrap();
    assert_eq!(letters(&place), [(3, Reason::RetriesExhausted)]);
    forged.at.offset = 4;
    let applied = model.apply(accepting(&forged, &revoked()), 50).unwrap();
    assert_eq!(applied.waiting, 1, "another's bytes settle nothing");
    let key = forged.key.replace(b"M".to_vec());
    assert!(key.is_some());
    forged.at.offset = 5;
    assert_eq!(model.apply(waiting(forged), 60).unwrap().waiting, 2);
}

fn a_mark_of_an_earlier_try_says_nothing_of_the_next<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    model.apply(waiting(first(0)), 10).unwrap();
    do_what_is_due(&mut model, 10);
    let published = model.due(10 + WAIT_MS, 10).unwrap();
    let done: Vec<_> = published.records.iter().map(|it| it.done()).collect();
    // The brokers have it, and it is read before the store hears of that.
    model.apply(waiting(again(1, 0, 1)), 200).unwrap();
    model.mark_done(&done, 201).unwrap();
    do_what_is_due(&mut model, 202);
    assert_eq!(due(&mut model, 200 + WAIT_MS), [(0, 2, Step::Publish)]);
}

fn nothing_waits_of_a_batch_that_another_owner_was_before<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    model.apply(waiting(first(0)), 10).unwrap();
    let fenced = model.apply(waiting(first(0)), 20);
    assert!(matches!(fenced, Err(Error::Fenced { .. })), "{fenced:?}");
    let mut behind = waiting(first(5));
    behind.spans.clear();
    behind.advance(Lane::Interactive, 3, 4, 6);
    let fenced = model.apply(behind, 20);
    assert!(matches!(fenced, Err(Error::Fenced { .. })), "{fenced:?}");
    assert_eq!(due(&mut model, 20), [(0, 1, Step::Copy)]);
    assert_eq!(model.kept(), model.recounted());
}

fn a_redriven_record_is_given_up_on_anew<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    model.apply(waiting(first(0)), 10).unwrap();
    model.apply(rejecting(again(1, 0, 1)), 20).unwrap();
    let letter = model.unsent(0, 10, &[]).unwrap().remove(0);
    place.letters().mark_redriven(&[letter.id], 30).unwrap();
    model.apply(rejecting(again(2, 0, 2)), 40).unwrap();
    let both = [(0, Reason::RetriesExhausted), (2, Reason::RetriesExhausted)];
    assert_eq!(letters(&place), both);
}

fn without_room_for_one_more_a_try_waits_on_in_its_row_and_a_forged_one_is_rejected<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    model.apply(waiting(first(0)), 10).unwrap();
    let applied = model.apply(without_room(again(1, 0, 1)), 20).unwrap();
    assert_eq!((applied.waiting, applied.letters), (1, 0));
    assert_eq!(due(&mut model, 20), [(0, 2, Step::Copy)]);
    // It says that it is a try of a record of which no row knows.
    let applied = model.apply(without_room(again(2, 7, 1)), 30).unwrap();
    assert_eq!((applied.waiting, applied.letters), (1, 1));
    assert_eq!(letters(&place), [(2, Reason::UnknownSchema)]);
}
