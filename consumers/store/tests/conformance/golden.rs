//! The golden files: events, the rows that they give, and the digest.

use std::collections::BTreeSet;
use std::path::Path;

use licenseflow_avro::{Coordinates, Lane, json};
use licenseflow_core::naive;
use licenseflow_store::Outbox as _;
use serde_json::Value;

use crate::model::{Accepted, Model as _, Place, apply, batch_of, on_every_store};

on_every_store!(the_store_gives_the_golden_buckets_digest_and_conflicts_in_batches_of_any_size,);

/// Later than any event in the file, in milliseconds UTC.
const TIMESTAMP: i64 = 1_900_000_000_000;

fn golden() -> (Vec<Accepted>, Value) {
    // From this crate's folder, where cargo runs it.
    let folder = Path::new("../../tests/golden");
    let events = std::fs::read_to_string(folder.join("events.ndjson")).unwrap();
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let records = events.lines().enumerate().map(|(offset, line)| {
        let at = Coordinates {
            timestamp: TIMESTAMP,
            lane: Lane::Interactive,
            partition: 0,
            offset: offset as i64,
        };
        (at, json::decode(line.as_bytes()).unwrap())
    });
    (records.collect(), serde_json::from_str(&expected).unwrap())
}

fn expected_rows(expected: &Value, kind: &str) -> BTreeSet<String> {
    let rows = expected["rows"][kind].as_array().unwrap();
    let canonical = |row: &Value| row["canonical"].as_str().unwrap().to_owned();
    rows.iter().map(canonical).collect()
}

#[test]
fn the_naive_fold_gives_the_golden_rows_and_digest() {
    let (records, expected) = golden();
    let model = naive::fold(records);
    assert_eq!(model.licenses, expected_rows(&expected, "license"));
    assert_eq!(model.devices, expected_rows(&expected, "device"));
    assert_eq!(model.usage, expected_rows(&expected, "usage"));
    assert_eq!(model.digest(), expected["digest"]);
    assert_eq!(model.conflicts.len(), expected["conflicts_dead_lettered"]);
}

fn the_store_gives_the_golden_buckets_digest_and_conflicts_in_batches_of_any_size<P: Place>() {
    let (records, expected) = golden();
    for size in [1, 7, records.len()] {
        let place = P::new();
        let mut model = place.open();
        for records in records.chunks(size) {
            apply(&mut model, batch_of(records));
        }
        let kept = model.kept();
        assert_eq!(kept.text(), expected["digest"], "batches of {size}");
        for (bucket, sum) in kept.iter() {
            assert_eq!(sum.to_string(), expected["buckets"][bucket.to_string()]);
        }
        assert_eq!(model.recounted(), kept);
        assert_eq!(
            model.unsent(0, 100, &[]).unwrap().len(),
            expected["conflicts_dead_lettered"]
        );
    }
}
