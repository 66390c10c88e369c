//! What a store knows of letters beside sending them: who they name, and what was done about them.

use licenseflow_avro::headers::RequestId;
use licenseflow_avro::reason::Fault;
use licenseflow_avro::record::Header;
use licenseflow_avro::{LicenseEvent, LicenseKey, RawRecord, Reason, json};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use licenseflow_store::lookup::RecordPlace;
use licenseflow_store::{
    DeadLetters, LetterContent, LetterQuery, LetterRow, LetterState, ReadModel as _,
};

use crate::model::{Model as _, Place, on_every_store};
use crate::store::{poison, span};

on_every_store!(
    letters_are_found_by_each_filter_page_by_page,
    a_letter_is_found_by_where_its_record_lies_with_all_that_was_kept,
    a_letter_is_closed_once_and_stays_closed_over_a_restart,
    a_redriven_letter_is_open_no_more_and_a_redriven_conflict_is,
    a_license_shows_the_open_letters_that_name_it_and_its_tenant,
    marks_are_no_part_of_rows_and_stay_whatever_is_read_again,
);

fn key(tenant: &str, license: &str) -> LicenseKey {
    LicenseKey {
        tenant_id: tenant.to_owned(),
        license_id: license.to_owned(),
    }
}

fn naming(reason: Reason, license: Option<LicenseKey>) -> Fault {
    Fault::new(reason, "for a test").naming(license)
}

fn from_request(offset: i64, request_id: &str) -> RawRecord {
    let mut record = poison(offset);
    record.headers.push(Header {
        name: "x-request-id".to_owned(),
        value: Some(request_id.as_bytes().to_vec()),
    });
    record
}

fn place(offset: i64) -> RecordPlace {
    let at = poison(offset).at;
    (at.lane, at.partition, at.offset)
}

/// An event of the license `L` of the tenant `t`; its content is told apart by the quantity.
fn used(event: u8, quantity: i64) -> LicenseEvent {
    let text = format!(
        "{{\"event_id\":\"00000000-0000-7000-8000-0000000000{event:02}\",\"tenant_id\":\"t\",\
         \"license_id\":\"L\",\"occurred_at\":\"2026-01-31T10:00:00Z\",\"type\":\"UsageRecorded\",\
         \"data\":{{\"metric\":\"m\",\"quantity\":{quantity}}}}}"
    );
    json::decode(text.as_bytes()).unwrap()
}

fn accept(batch: &mut Batch, offset: i64, event: &LicenseEvent) {
    batch.accept(poison(offset).at, Envelope::default(), event);
}

fn everything() -> LetterQuery {
    LetterQuery {
        limit: 100,
        ..LetterQuery::default()
    }
}

fn offsets(letters: &[LetterRow]) -> Vec<i64> {
    letters.iter().map(|letter| letter.at.offset).collect()
}

fn found(letters: &dyn DeadLetters, query: &LetterQuery) -> Vec<i64> {
    offsets(&letters.letters(query).unwrap().items)
}

fn ids(letters: &dyn DeadLetters) -> Vec<i64> {
    let page = letters.letters(&everything()).unwrap();
    page.items.iter().map(|letter| letter.id).collect()
}

fn letters_are_found_by_each_filter_page_by_page<P: Place>() {
    let place = P::new();
    let mut model = place.open();
    let mut batch = span(0, 5);
    batch.reject(poison(0), naming(Reason::Empty, None));
    batch.reject(poison(1), naming(Reason::Truncated, Some(key("t", "L"))));
    batch.reject(
        from_request(2, "r"),
        naming(Reason::Truncated, Some(key("t", "M"))),
    );
    model.apply(batch, 10).unwrap();
    let mut batch = span(5, 7);
    batch.reject(
        from_request(5, "r"),
        naming(Reason::BadAvro, Some(key("u", "L"))),
    );
    batch.reject(poison(6), naming(Reason::Empty, Some(key("t", "L"))));
    model.apply(batch, 20).unwrap();
    let letters = place.letters();
    let all = ids(&*letters);
    letters.mark_resolved(&all[4..], "known", 30).unwrap();
    letters.mark_redriven(&all[..1], 30).unwrap();

    let text = |text: &str| Some(text.to_owned());
    let with = |set: &dyn Fn(&mut LetterQuery)| {
        let mut query = everything();
        set(&mut query);
        found(&*letters, &query)
    };
    assert_eq!(with(&|_| {}), [0, 1, 2, 5, 6]);
    assert_eq!(with(&|it| it.state = Some(LetterState::Open)), [1, 2, 5]);
    assert_eq!(with(&|it| it.state = Some(LetterState::Resolved)), [6]);
    assert_eq!(with(&|it| it.state = Some(LetterState::Redriven)), [0]);
    assert_eq!(with(&|it| it.reason = Some(Reason::Truncated)), [1, 2]);
    assert_eq!(with(&|it| it.tenant_id = text("t")), [1, 2, 6]);
    assert_eq!(with(&|it| it.license_id = text("L")), [1, 5, 6]);
    assert_eq!(with(&|it| it.request_id = RequestId::parse("r")), [2, 5]);
    assert_eq!(with(&|it| it.from = Some(20)), [5, 6]);
    assert_eq!(with(&|it| it.to = Some(20)), [0, 1, 2]);
    let of_license = |it: &mut LetterQuery| {
        it.tenant_id = text("t");
        it.license_id = text("L");
    };
    assert_eq!(with(&of_license), [1, 6]);
    let open_of_license = |it: &mut LetterQuery| {
        of_license(it);
        it.state = Some(LetterState::Open);
    };
    assert_eq!(with(&open_of_license), [1]);

    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let query = LetterQuery {
            after,
            limit: 2,
            ..everything()
        };
        let page = letters.letters(&query).unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(offsets(&page.items));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [0, 1, 2, 5, 6]);
}

fn a_letter_is_found_by_where_its_record_lies_with_all_that_was_kept<P: Place>() {
    let store = P::new();
    let mut model = store.open();
    let mut batch = span(0, 3);
    let record = from_request(0, "r");
    batch.reject(record.clone(), naming(Reason::BadAvro, Some(key("t", "L"))));
    accept(&mut batch, 1, &used(1, 1));
    accept(&mut batch, 2, &used(1, 2));
    model.apply(batch, 7).unwrap();
    let letters = store.letters();
    let (letter, content) = letters.letter(place(0)).unwrap().unwrap();
    assert_eq!(letter.at, record.at);
    assert_eq!(
        (letter.reason, letter.error.as_str()),
        (Reason::BadAvro, "for a test")
    );
    assert_eq!(letter.license, Some(key("t", "L")));
    assert_eq!(letter.request_id, RequestId::parse("r"));
    assert_eq!(
        (letter.rejected_at, letter.sent_at, letter.redrives),
        (7, None, 0)
    );
    assert_eq!(letter.state(), LetterState::Open);
    let kept = LetterContent::Kept {
        key: record.key,
        value: record.value,
        headers: record.headers,
    };
    assert_eq!(content, kept);
    // The conflict, which lies in its lane alone.
    let (letter, content) = letters.letter(place(2)).unwrap().unwrap();
    assert_eq!(
        (letter.reason, content),
        (Reason::EventConflict, LetterContent::InTheLane)
    );
    assert_eq!(letter.license, Some(key("t", "L")));
    assert_eq!(letter.event_id, Some(used(1, 1).event_id));
    assert_eq!(letters.letter(place(1)).unwrap(), None);
}

fn a_letter_is_closed_once_and_stays_closed_over_a_restart<P: Place>() {
    let store = P::new();
    let mut model = store.open();
    let mut batch = span(0, 3);
    for offset in 0..3 {
        batch.reject(poison(offset), naming(Reason::Empty, None));
    }
    model.apply(batch, 1).unwrap();
    let letters = store.letters();
    let all = ids(&*letters);
    assert_eq!(letters.mark_resolved(&all[..2], "first", 2).unwrap(), 2);
    assert_eq!(
        letters.mark_resolved(&all, "second", 3).unwrap(),
        1,
        "only open ones count"
    );
    assert_eq!(letters.mark_resolved(&all, "third", 4).unwrap(), 0);
    drop((letters, model));
    let _model = store.open();
    let letters = store.letters();
    let resolved = |offset: i64| letters.letter(place(offset)).unwrap().unwrap().0.resolved;
    assert_eq!(resolved(0), Some((2, "first".to_owned())));
    assert_eq!(resolved(2), Some((3, "second".to_owned())));
}

fn a_redriven_letter_is_open_no_more_and_a_redriven_conflict_is<P: Place>() {
    let store = P::new();
    let mut model = store.open();
    let mut batch = span(0, 3);
    batch.reject(poison(0), naming(Reason::Empty, None));
    accept(&mut batch, 1, &used(1, 1));
    accept(&mut batch, 2, &used(1, 2));
    model.apply(batch, 1).unwrap();
    let letters = store.letters();
    for now in [5, 6] {
        letters.mark_redriven(&ids(&*letters), now).unwrap();
    }
    let of = |offset: i64| {
        let (letter, _) = letters.letter(place(offset)).unwrap().unwrap();
        (letter.state(), letter.redriven_at, letter.redrives)
    };
    assert_eq!(of(0), (LetterState::Redriven, Some(6), 2));
    assert_eq!(of(2), (LetterState::Open, None, 2));
    assert_eq!(
        letters.mark_resolved(&ids(&*letters), "known", 7).unwrap(),
        1
    );
    assert_eq!(of(2).0, LetterState::Resolved);
}

fn a_license_shows_the_open_letters_that_name_it_and_its_tenant<P: Place>() {
    let store = P::new();
    let mut model = store.open();
    let mut batch = span(0, 20);
    accept(&mut batch, 0, &used(1, 1));
    for offset in 1..13 {
        batch.reject(
            poison(offset),
            naming(Reason::Truncated, Some(key("t", "L"))),
        );
    }
    batch.reject(poison(13), naming(Reason::Truncated, Some(key("u", "L"))));
    model.apply(batch, 9).unwrap();
    let (letters, lookup) = (store.letters(), store.lookup());
    let shown = || {
        let row = lookup.license(&key("t", "L")).unwrap().value.unwrap();
        let asked = ["L".to_owned(), "none".to_owned()];
        let batch = lookup.licenses_by_id("t", &asked).unwrap().value;
        assert_eq!(batch, [Some(row.clone()), None]);
        row.letters
    };
    let found = shown();
    let places: Vec<i64> = found.iter().map(|letter| letter.at.offset).collect();
    assert_eq!(places, (1..11).collect::<Vec<_>>(), "the first ten");
    assert!(
        found
            .iter()
            .all(|it| (it.reason, it.since) == (Reason::Truncated, 9))
    );
    let all = ids(&*letters);
    letters.mark_resolved(&all[..10], "known", 10).unwrap();
    letters.mark_redriven(&all[10..11], 10).unwrap();
    assert_eq!(
        shown().iter().map(|it| it.at.offset).collect::<Vec<_>>(),
        [12]
    );
    letters.mark_resolved(&all, "known", 11).unwrap();
    assert!(shown().is_empty());
}

fn marks_are_no_part_of_rows_and_stay_whatever_is_read_again<P: Place>() {
    let store = P::new();
    let mut model = store.open();
    let batch = || {
        let mut batch = span(0, 3);
        batch.reject(poison(0), naming(Reason::Empty, None));
        accept(&mut batch, 1, &used(1, 1));
        accept(&mut batch, 2, &used(1, 2));
        batch
    };
    model.apply(batch(), 1).unwrap();
    let digest = model.kept();
    let letters = store.letters();
    letters.mark_resolved(&ids(&*letters), "known", 2).unwrap();
    letters.mark_redriven(&ids(&*letters), 2).unwrap();
    let marked = letters.letters(&everything()).unwrap().items;
    assert_eq!(
        (model.kept(), model.recounted()),
        (digest.clone(), digest.clone())
    );
    // A crash may have its last batch read again, and a client may say the same again.
    assert!(model.apply(batch(), 3).is_err());
    let mut again = span(3, 5);
    accept(&mut again, 3, &used(1, 2));
    accept(&mut again, 4, &used(1, 1));
    assert_eq!(model.apply(again, 4).unwrap().letters, 0);
    assert_eq!(letters.letters(&everything()).unwrap().items, marked);
    assert_eq!(model.kept(), digest);
}
