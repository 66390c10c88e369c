//! A generation that collects and loads has the rows of one that folds each batch as it comes: whatever is
//! delivered in which order, how often, in parts of which size, and wherever it dies.

use std::collections::BTreeSet;

use licenseflow_avro::{Coordinates, Lane, LicenseKey};
use licenseflow_core::{Batch, crash, naive};
use licenseflow_store::Outbox as _;
use licenseflow_store::audit::StoredEvent;
use licenseflow_store::generations::{Begin, Made, Model as _};
use licenseflow_store::loading::{Loaded, Loading, Reins};
use licenseflow_store::lookup::TimelineQuery;
use proptest::prelude::*;

use crate::crash::{apply_or_die, died_at};
use crate::model::{Accepted, Model as _, Place, apply, batch_of, on_every_store};
use crate::schedule::{DEADLY, Step, records, runner, steps};
use crate::store::{poison, span};

on_every_store!(
    what_was_collected_and_loaded_is_what_would_have_been_folded,
    what_is_being_built_is_neither_compared_nor_switched_to,
    a_long_timeline_that_was_loaded_is_in_order,
    who_is_told_to_stop_goes_on_from_there,
);

/// The points that are passed while it loads.
const OF_LOADING: [&str; 3] = [
    crash::WHILE_LOADING,
    crash::BEFORE_INDEXES,
    crash::BEFORE_LOADED,
];

/// Parts so small that most licenses come late, some do, and none; and so few runs that all are sorted, or more.
const BOUNDS: [(usize, usize); 4] = [(100, 1_000), (1_000, 0), (1 << 20, 1_000), (1 << 20, 2)];

fn reins((part_bytes, runs_max): (usize, usize)) -> Reins {
    Reins::in_parts_of(part_bytes).merging_at_most(runs_max)
}

fn load<P: Place>(
    place: &P,
    mut model: P::Model,
    bounds: (usize, usize),
    dies_at: &[usize],
) -> P::Model {
    for point in dies_at {
        let mut dying = Some(model);
        died_at(Some(OF_LOADING[*point]), || {
            let mut model = dying.take().unwrap();
            let _ = model.load(0, &reins(bounds)).unwrap();
        });
        model = place.open();
    }
    let loaded = model.load(0, &reins(bounds)).unwrap();
    assert_eq!((loaded, model.is_collecting()), (Loaded::Whole, false));
    model
}

fn check<P: Place>(
    records: &[Accepted],
    steps: &[Step],
    (bounds, dies_at): ((usize, usize), &[usize]),
) -> Result<(), TestCaseError> {
    let place = P::new();
    let mut model = place.open_collecting();
    let mut missing: BTreeSet<usize> = (0..records.len()).collect();
    for step in steps {
        let each = step.deliver.iter();
        let delivered: Vec<usize> = each.map(|index| index.index(records.len())).collect();
        let batch = batch_of(delivered.iter().map(|index| &records[*index]));
        let points = [&DEADLY[..], &[crash::AFTER_COLLECTING]].concat();
        let dies_at = step
            .dies_at
            .map(|point| points[(point + delivered.len()) % points.len()]);
        model = apply_or_die(&place, model, batch, dies_at);
        // One that says nothing of any license.
        apply(&mut model, Batch::default());
        prop_assert!(model.is_collecting());
        if dies_at.is_none_or(|point| point == crash::AFTER_COMMIT) {
            missing.retain(|index| !delivered.contains(index));
        }
    }
    model = load(&place, model, bounds, dies_at);
    // What is missing comes once it is built, and meets what was loaded.
    let rest = missing.iter().rev().map(|index| &records[*index]);
    model = apply_or_die(&place, model, batch_of(rest), None);

    let naive = naive::fold(records.iter().cloned());
    prop_assert_eq!(model.kept().text(), naive.digest());
    prop_assert_eq!(model.recounted(), model.kept());
    prop_assert_eq!(model.totals_recounted(), model.totals_kept());
    let conflicts: BTreeSet<Coordinates> =
        naive.conflicts.iter().map(|(_, _, _, at)| *at).collect();
    let unsent = model.unsent(0, 1000, &[]).unwrap();
    let letters: BTreeSet<Coordinates> = unsent.iter().map(|letter| letter.at).collect();
    prop_assert_eq!(letters, conflicts);
    Ok(())
}

fn what_was_collected_and_loaded_is_what_would_have_been_folded<P: Place>() {
    let sizes = proptest::sample::select(&BOUNDS[..]);
    let deaths = proptest::collection::vec(0..OF_LOADING.len(), 0..3);
    runner::<P>(4, 500)
        .run(
            &(records(), steps(), sizes, deaths),
            |(records, steps, bounds, deaths)| check::<P>(&records, &steps, (bounds, &deaths)),
        )
        .unwrap();
}

fn what_is_being_built_is_neither_compared_nor_switched_to<P: Place>() {
    let place = P::new();
    drop(place.open());
    let generations = place.generations();
    let book = generations.change(&mut |book| book.begin(Made::Whole, 1, 7).map(drop));
    let book = book.unwrap().unwrap();
    let open = || generations.open(book.get(2).unwrap(), Begin::Collecting);
    let mut next = open().unwrap();
    let mut batch = span(0, 2);
    batch.reject(
        poison(0),
        licenseflow_avro::reason::Fault::new(licenseflow_avro::Reason::Empty, "no bytes"),
    );
    next.apply(batch, 1).unwrap();
    let collecting = generations.loading(2).unwrap();
    assert_eq!(collecting, Some(Loading::default()));
    let compared = generations.audit(2).map(drop).unwrap_err();
    assert!(
        compared.to_string().contains("still being built"),
        "{compared}"
    );
    let switched = generations.switch(2, 8).unwrap_err();
    assert!(
        switched.to_string().contains("still being built"),
        "{switched}"
    );
    drop(next);
    let mut next = open().unwrap();
    assert!(next.is_collecting(), "whoever comes next goes on");
    let loaded = next.load(1, &Reins::default()).unwrap();
    assert_eq!(loaded, Loaded::Whole);
    assert_eq!(generations.loading(2).unwrap(), None);
    let states = next.positions().unwrap();
    assert_eq!(states.first().map(|it| it.next_offset), Some(2));
    drop(next);
    assert!(!open().unwrap().is_collecting(), "it is built");
    generations.audit(2).unwrap();
    generations.switch(2, 9).unwrap();
}

/// Many events of one license, and the first of each of some others.
fn many(count: i64) -> Vec<Accepted> {
    (0..count)
        .map(|offset| {
            let of = if offset < 10 { format!("L{offset}") } else { "L".to_owned() };
            let text = format!(
                r#"{{"event_id":"00000000-0000-7000-8000-{offset:012}","tenant_id":"t","license_id":"{of}","occurred_at":"2026-01-31T10:00:00Z","type":"UsageRecorded","data":{{"metric":"m","quantity":1}}}}"#
            );
            let at = Coordinates {
                timestamp: 1_800_000_000_000,
                lane: Lane::Interactive,
                partition: 0,
                offset,
            };
            (at, licenseflow_avro::json::decode(text.as_bytes()).unwrap())
        })
        .collect()
}

fn a_long_timeline_that_was_loaded_is_in_order<P: Place>() {
    let records = many(700);
    for bytes in [10_000, 1 << 20] {
        let place = P::new();
        let mut model = place.open_collecting();
        for part in records.chunks(100) {
            apply(&mut model, batch_of(part));
        }
        model = load(&place, model, (bytes, 1_000), &[]);
        let last = many(701).pop().unwrap();
        apply(&mut model, batch_of([&last]));
        let key = last.1.license_key();
        let query = TimelineQuery {
            limit: 1_000,
            ..TimelineQuery::default()
        };
        let page = place.lookup().timeline(&key, &query).unwrap();
        let page = page.value.unwrap();
        assert_eq!(page.items.len(), 691, "in parts of {bytes} bytes");
        let audit = place.generations().audit(1).unwrap();
        let mut snapshot = audit.begin().unwrap();
        let mut stand_right = 0;
        let each = &mut |of: &LicenseKey, event: StoredEvent| {
            let StoredEvent::Event { stands_right, .. } = event else {
                panic!("{event:?}");
            };
            assert_eq!(stands_right.is_some(), *of == key, "{of:?}");
            stand_right += usize::from(stands_right == Some(true));
            Ok(())
        };
        snapshot.timeline(each).unwrap();
        assert_eq!(stand_right, 691, "in parts of {bytes} bytes");
    }
}

fn who_is_told_to_stop_goes_on_from_there<P: Place>() {
    let place = P::new();
    let mut model = place.open_collecting();
    let records = many(300);
    apply(&mut model, batch_of(&records));
    let reins = Reins::in_parts_of(100);
    reins.stop();
    assert_eq!(model.load(0, &reins).unwrap(), Loaded::Stopped);
    assert!(model.is_collecting());
    let before = place.generations().loading(1).unwrap();
    assert_eq!(
        before,
        Some(Loading {
            collected: 11,
            loaded: 0
        })
    );
    let stopping = Reins::in_parts_of(100);
    let asked = stopping.clone();
    crate::crash::at_point(crash::WHILE_LOADING, move || asked.stop());
    assert_eq!(model.load(0, &stopping).unwrap(), Loaded::Stopped);
    let between = place.generations().loading(1).unwrap().unwrap();
    assert!((1..11).contains(&between.loaded), "{between:?}");
    let model = load(&place, model, (100, 1_000), &[]);
    drop(model);
    let naive = naive::fold(records.iter().cloned());
    assert_eq!(place.open().kept().text(), naive.digest());
}
