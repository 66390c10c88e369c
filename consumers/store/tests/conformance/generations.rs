//! Generations beside one another: one is switched to only where it is nowhere behind, takes over what was
//! done, and readers see the one or the other.

use std::sync::Arc;

use licenseflow_avro::reason::Fault;
use licenseflow_avro::{LicenseEvent, RawRecord, Reason, json};
use licenseflow_core::batch::Envelope;
use licenseflow_core::{Batch, Waiting};
use licenseflow_store::generations::{Begin, Made, Model, Number, Refused, SwitchError};
use licenseflow_store::{
    Generations, LetterQuery, LetterState, LiveLetters, LiveLookup, Lookup as _, Outbox as _,
    ReadModel as _, Step,
};

use crate::model::{Place, on_every_store};
use crate::store::{poison, span};

on_every_store!(
    what_is_behind_is_not_switched_to,
    what_was_done_is_taken_over_and_only_the_rest_is_left_to_do,
    readers_and_letters_follow_the_pointer_there_and_back,
    what_is_struck_out_is_removed_once_nobody_has_it,
    a_post_is_one_keepers_at_a_time,
);

/// Opens the next generation, which is made where there is none.
fn next(generations: &dyn Generations, of: Made) -> (Number, Box<dyn Model>) {
    let mut number = 0;
    let book = generations.change(&mut |book| {
        number = book.begin(of.clone(), 1, 7)?.number;
        Ok(())
    });
    let book = book.unwrap().unwrap();
    (
        number,
        generations
            .open(book.get(number).unwrap(), Begin::Folding)
            .unwrap(),
    )
}

/// An event of one license; its content is told apart by the quantity.
fn used(quantity: i64) -> LicenseEvent {
    let text = format!(
        r#"{{"event_id":"00000000-0000-7000-8000-000000000001","tenant_id":"t","license_id":"L","occurred_at":"2026-01-31T10:00:00Z","type":"UsageRecorded","data":{{"metric":"m","quantity":{quantity}}}}}"#
    );
    json::decode(text.as_bytes()).unwrap()
}

fn of_key(offset: i64) -> RawRecord {
    RawRecord {
        key: Some(b"L".to_vec()),
        ..poison(offset)
    }
}

/// Three poison records, a conflict behind its event, and one that waits.
fn history() -> Batch {
    let mut batch = span(0, 6);
    for offset in 0..3 {
        batch.reject(poison(offset), Fault::new(Reason::BadJson, "no"));
    }
    for (offset, quantity) in [(3, 1), (4, 2)] {
        let event = used(quantity);
        batch.accept(poison(offset).at, Envelope::default(), &event);
    }
    batch.wait(Waiting {
        record: of_key(5),
        fault: Fault::new(Reason::UnknownSchema, "id 9").that_may_heal(),
        wait_ms: 100,
        may_begin: true,
    });
    batch
}

fn what_is_behind_is_not_switched_to<P: Place>() {
    let place = P::new();
    let mut live = place.open();
    live.apply(history(), 10).unwrap();
    let generations = place.generations();
    let (number, mut next) = next(&*generations, Made::Whole);
    let refused = generations.switch(number, 20).unwrap_err();
    let SwitchError::Behind(position) = refused else {
        panic!("{refused}");
    };
    assert_eq!(position.to_string(), "e:3:6");
    assert_eq!(generations.book().unwrap().live, 1);
    next.apply(history(), 30).unwrap();
    // Further is not behind.
    next.apply(span(6, 9), 30).unwrap();
    generations.switch(number, 40).unwrap();
    let book = generations.book().unwrap();
    assert_eq!(
        (book.live, book.get(1).unwrap().was_live_until),
        (number, Some(40))
    );
    // The former one is behind now, and can come back once it is not.
    assert!(matches!(
        generations.switch(1, 50),
        Err(SwitchError::Behind(_))
    ));
    live.apply(span(6, 9), 50).unwrap();
    generations.switch(1, 60).unwrap();
    let part: licenseflow_avro::Position = "e:3:0".parse().unwrap();
    let begun = generations.change(&mut |book| {
        book.begin(
            Made::Part {
                begin: part.clone(),
            },
            1,
            7,
        )
        .map(drop)
    });
    let part = begun.unwrap().unwrap().last;
    let refused = generations.switch(part, 70).unwrap_err();
    assert!(
        matches!(refused, SwitchError::Refused(Refused::IsPart(_))),
        "{refused}"
    );
}

fn what_was_done_is_taken_over_and_only_the_rest_is_left_to_do<P: Place>() {
    let place = P::new();
    let mut live = place.open();
    // The rows of the two generations are not in the same order.
    let mut first = span(0, 0);
    first.accept(poison(3).at, Envelope::default(), &used(1));
    live.apply(first, 5).unwrap();
    live.apply(history(), 10).unwrap();
    let unsent = live.unsent(0, 10, &[]).unwrap();
    let row_of = |offset: i64| unsent.iter().find(|it| it.at.offset == offset).unwrap().id;
    // Of the poison one is sent, one resolved, and one neither; the conflict is sent.
    live.mark_sent(&[row_of(0), row_of(4)], 11).unwrap();
    let letters = place.letters();
    letters.mark_resolved(&[row_of(1)], "seen", 12).unwrap();
    let due = live.due(13, 10).unwrap();
    live.mark_done(&[due.records[0].done()], 13).unwrap();
    live.leave().unwrap();

    let generations = place.generations();
    let (number, mut next) = next(&*generations, Made::Whole);
    next.apply(history(), 30).unwrap();
    generations.switch(number, 40).unwrap();
    let mut left: Vec<i64> = next
        .unsent(0, 10, &[])
        .unwrap()
        .iter()
        .map(|it| it.at.offset)
        .collect();
    left.sort_unstable();
    assert_eq!(left, [1, 2], "what is resolved is sent all the same");
    let due = next.due(10 + 100, 10).unwrap();
    assert_eq!(due.records.len(), 1);
    assert_eq!(due.records[0].step, Step::Publish, "its copy is there");
    let query = LetterQuery {
        limit: 10,
        ..LetterQuery::default()
    };
    let page = generations
        .letters(number)
        .unwrap()
        .letters(&query)
        .unwrap();
    let resolved = page
        .items
        .iter()
        .filter(|it| it.state() == LetterState::Resolved);
    let resolved: Vec<i64> = resolved.map(|it| it.at.offset).collect();
    assert_eq!(resolved, [1]);
}

fn readers_and_letters_follow_the_pointer_there_and_back<P: Place>() {
    let place = P::new();
    let mut live = place.open();
    live.apply(history(), 10).unwrap();
    let generations: Arc<dyn Generations> = place.generations().into();
    let lookup = LiveLookup::of(Arc::clone(&generations), |all, number| {
        all.lookup(number, 1)
    });
    let lookup = lookup.unwrap();
    let letters = LiveLetters::new(Arc::clone(&generations), |all, number| all.letters(number));
    let letters = letters.unwrap();
    let sees = || {
        let generation = lookup.freshness().unwrap().generation;
        let query = LetterQuery {
            limit: 10,
            ..LetterQuery::default()
        };
        let sent = licenseflow_store::DeadLetters::letters(&letters, &query).unwrap();
        (generation, sent.items.len())
    };
    assert_eq!(sees(), (1, 4));
    let (number, mut next) = next(&*generations, Made::Whole);
    next.apply(history(), 30).unwrap();
    next.apply(
        {
            let mut batch = span(6, 7);
            batch.reject(poison(6), Fault::new(Reason::BadJson, "no"));
            batch
        },
        31,
    )
    .unwrap();
    assert_eq!(sees(), (1, 4));
    generations.switch(number, 40).unwrap();
    assert_eq!(sees(), (number, 5));
    live.apply(span(6, 7), 50).unwrap();
    generations.switch(1, 60).unwrap();
    assert_eq!(sees(), (1, 4));
}

fn what_is_struck_out_is_removed_once_nobody_has_it<P: Place>() {
    let place = P::new();
    drop(place.open());
    let generations = place.generations();
    let (number, next) = next(&*generations, Made::Whole);
    drop(next);
    assert!(generations.lookup(number, 1).is_ok());
    let struck = generations.change(&mut |book| book.strike(number).map(drop));
    struck.unwrap().unwrap();
    generations.remove(number).unwrap();
    assert!(generations.lookup(number, 1).is_err());
    // Done again, as by one who died in between.
    generations.remove(number).unwrap();
    assert!(generations.lookup(1, 1).is_ok());
}

fn a_post_is_one_keepers_at_a_time<P: Place>() {
    let place = P::new();
    drop(place.open());
    let (one, other) = (place.generations(), place.generations());
    let post = one.take_post(2).unwrap();
    assert!(post.is_some());
    assert!(other.take_post(2).unwrap().is_none());
    assert!(other.take_post(3).unwrap().is_some());
    drop(post);
    // The database hears of it in its own time.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while other.take_post(2).unwrap().is_none() {
        assert!(std::time::Instant::now() < until, "the post stays taken");
        std::thread::yield_now();
    }
}
