//! The live generation as it is written: what was given out of one generation says nothing of another.

use std::sync::Arc;

use licenseflow_avro::reason::Fault;
use licenseflow_avro::{Coordinates, Lane, RawRecord, Reason};
use licenseflow_core::Batch;
use licenseflow_projector::replay::LiveModel;
use licenseflow_projector::wall_clock;
use licenseflow_store::generations::{Begin, Made};
use licenseflow_store::sqlite::{SqliteGenerations, SqliteOptions};
use licenseflow_store::{Error, Generations, Ground, Outbox as _, ReadModel as _};
use licenseflow_tests::harness::Folder;

fn poison(offset: i64) -> RawRecord {
    RawRecord {
        at: Coordinates {
            timestamp: 5,
            lane: Lane::Interactive,
            partition: 3,
            offset,
        },
        key: None,
        value: Some(vec![9]),
        headers: Vec::new(),
    }
}

/// Rejects the records there, one after the other.
fn rejecting(from: i64, to: i64) -> Batch {
    let mut batch = Batch::default();
    batch.advance(Lane::Interactive, 3, from, to);
    for offset in from..to {
        batch.reject(poison(offset), Fault::new(Reason::BadJson, "no"));
    }
    batch
}

#[test]
fn the_writer_follows_the_pointer_and_marks_no_letter_of_another_generation() {
    let folder = Folder::new("live").unwrap();
    let path = folder.path().join("licenseflow.db");
    let generations = SqliteGenerations::of(&path, SqliteOptions::default());
    let generations: Arc<dyn Generations> = Arc::new(generations);
    let ground = Ground {
        cluster_id: "c".to_owned(),
        topic: "t".to_owned(),
    };
    let mut live = LiveModel::open(Arc::clone(&generations), ground, wall_clock()).unwrap();
    live.apply(rejecting(0, 2), 10).unwrap();
    let given: Vec<i64> = live
        .unsent(0, 10, &[])
        .unwrap()
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(given.len(), 2);

    let begun = generations.change(&mut |book| book.begin(Made::Whole, 1, 7).map(drop));
    let book = begun.unwrap().unwrap();
    let mut next = generations
        .open(book.get(2).unwrap(), Begin::Folding)
        .unwrap();
    next.apply(rejecting(0, 5), 20).unwrap();
    drop(next);
    generations.switch(2, 30).unwrap();

    // The brokers have what the former generation gave; rows of the new one have the same numbers.
    live.mark_sent(&given, 40).unwrap();
    let unsent = live.unsent(0, 10, &[]).unwrap();
    assert_eq!(
        unsent.len(),
        5,
        "what is sent twice counts once, what is never sent is lost"
    );
    let marked: Vec<i64> = unsent.iter().map(|it| it.id).collect();
    live.mark_sent(&marked, 41).unwrap();
    assert_eq!(live.unsent(0, 10, &[]).unwrap().len(), 0);
    // A batch that was read for the former one is taken only where it follows on.
    let refused = live.apply(rejecting(2, 3), 50).unwrap_err();
    assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
    assert_eq!(
        live.apply(rejecting(5, 6), 51)
            .unwrap()
            .position
            .to_string(),
        "e:3:6"
    );
    // The former one is its keeper's now.
    let former = generations.open(generations.book().unwrap().get(1).unwrap(), Begin::Folding);
    assert_eq!(former.unwrap().positions().unwrap()[0].next_offset, 2);
}
