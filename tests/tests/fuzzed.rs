//! What fuzzers have kept is run again: each file took one of them somewhere new, or once broke a promise.
//! The fold's are delivered to a store on disk too.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::fs;
use std::path::PathBuf;

use licenseflow_core::naive;
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{ReadModel as _, SqliteModel};
use licenseflow_tests::fuzzing::fold::{Schedule, batch_of};
use licenseflow_tests::fuzzing::{decoder, fold};
use licenseflow_tests::harness::{Folder, project};

/// The files that are kept of a target, by name.
fn kept(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = project().join("tests/fuzz/kept").join(target);
    let entries = fs::read_dir(&folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|it| it.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 100, "only {} files", paths.len());
    let named = paths.iter().map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read(path).unwrap())
    });
    named.collect()
}

/// Runs a target over each file, and names those that it fails at.
fn replayed(target: &str, run: fn(&[u8])) {
    let failed = |bytes: &[u8]| std::panic::catch_unwind(|| run(bytes)).is_err();
    let all = kept(target);
    let bad = all.iter().filter(|(_, bytes)| failed(bytes));
    let bad: Vec<&str> = bad.map(|(name, _)| name.as_str()).collect();
    assert!(bad.is_empty(), "{target}: {bad:?}");
}

#[test]
fn whatever_bytes_a_record_has_it_is_judged_as_promised() {
    replayed("decoder", decoder::decoder);
}

#[test]
fn whatever_order_records_come_in_the_fold_gives_the_same_rows() {
    replayed("fold", fold::fold);
}

#[test]
fn a_store_on_disk_folds_what_was_kept_as_the_naive_fold_does() {
    let folder = Folder::new("fuzzed").unwrap();
    for (name, bytes) in kept("fold") {
        let schedule = Schedule::of(&bytes);
        let naive = naive::fold(schedule.records.iter().cloned());
        let file = folder.path().join(&name);
        let mut model = SqliteModel::open(&file, SqliteOptions::default()).unwrap();
        for batch in &schedule.deliveries[1] {
            model.apply(batch_of(&schedule.records, batch), 1).unwrap();
        }
        assert_eq!(
            model.kept_digest().unwrap().text(),
            naive.digest(),
            "{name}"
        );
        assert_eq!(
            model.recount().unwrap(),
            model.kept_digest().unwrap(),
            "{name}"
        );
        drop(model);
        fs::remove_file(&file).unwrap();
    }
}
