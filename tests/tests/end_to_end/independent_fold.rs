//! Other times: what a license was, what was known of it, and what depends on the time of asking, by the
//! fold in Python, with the clock of the query process moved over starts and ends of licenses.

use std::process::Command;

use licenseflow_tests::chance::chosen_seed;
use licenseflow_tests::harness::platform::finish;
use licenseflow_tests::harness::{Kafka, Platform, Postgres, Role, project, python, unique_prefix};
use serde_json::Value;

/// License ids, each used by three tenants.
const LICENSE_IDS: &str = "700";

const EVENTS: &str = "17000";

/// What is printed repeats a failure, but for the times of records, which the brokers give.
fn seed() -> String {
    let seed = chosen_seed().unwrap_or_else(|| (uuid::Uuid::now_v7().as_u128() % 1_000_000) as u64);
    println!("seed {seed} (SEED chooses another)");
    seed.to_string()
}

/// The library that moves the clock of a process, built anew, and the file that it reads.
fn moved_clock(platform: &Platform) -> (String, String) {
    let library = platform.file("moved_clock.so");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror"])
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(project().join("tests/clients/clock/moved_clock.c"));
    finish(cc).unwrap();
    let clock = platform.file("clock");
    // Zero is the machine's own time.
    std::fs::write(&clock, 0_i64.to_ne_bytes()).unwrap();
    (library.display().to_string(), clock.display().to_string())
}

/// Runs a script with arguments that stand in one line; none of them has a blank in it.
fn python_with(platform: &Platform, script: &str, line: &str) -> String {
    let arguments: Vec<&str> = line.split(' ').collect();
    platform.python(script, &arguments).unwrap()
}

/// A history over both lanes and all partitions, in an order that tells nothing.
fn send_history(platform: &Platform, seed: &str) {
    let made = format!("--seed {seed} --events {EVENTS} --licenses {LICENSE_IDS}");
    let lines = python_with(platform, "generate_timed.py", &made);
    let file = platform.file("events.ndjson");
    std::fs::write(&file, lines).unwrap();
    let to = format!(
        "--bootstrap {} --registry {} --topic {events} --topic {} --subject-topic {events}",
        platform.bootstrap(),
        platform.registry(),
        platform.bulk_topic(),
        events = platform.events_topic(),
    );
    let what = format!("--file {} --seed {seed} --format mixed", file.display());
    let how = "--codec zstd --random-partitions --shuffle --twice --null-keys --headers";
    python_with(platform, "send.py", &format!("{to} {what} {how}"));
}

/// Compares every answer that depends on a time, the store being at this address.
fn other_times_on(store: Option<&str>) {
    let seed = seed();
    let (bootstrap, prefix) = (Kafka::shared().bootstrap(), unique_prefix());
    let on_store = |platform: Platform, url: &str| platform.with("LICENSEFLOW_STORE", url);
    let writes = Platform::new(bootstrap, &prefix).unwrap();
    let url = store.map_or_else(
        || format!("sqlite://{}", writes.store().display()),
        ToOwned::to_owned,
    );
    let writes = on_store(writes, &url);
    let up = writes.start(Role::Up).unwrap();
    let (library, clock) = moved_clock(&writes);
    // Another process on the same store, whose time is not that of the projector.
    let reads = on_store(Platform::new(bootstrap, &prefix).unwrap(), &url)
        .with("SCHEMA_REGISTRY_URL", &writes.registry())
        .with("LD_PRELOAD", &library)
        .with("MOVED_CLOCK", &clock);
    let query = reads.start(Role::Query).unwrap();
    send_history(&writes, &seed);

    let log = format!(
        "--bootstrap {bootstrap} --prefix {prefix} --registry {}",
        writes.registry()
    );
    let asked = format!("--api {} --clock {clock} --seed {seed}", reads.api());
    let summary = python_with(&writes, "compare_moments.py", &format!("{log} {asked}"));
    println!("{summary}");
    is_worth_something(&serde_json::from_str(&summary).unwrap());
    Platform::stop(query).unwrap();
    Platform::stop(up).unwrap();
}

/// That there was something to compare: no difference says little where nothing was asked.
fn is_worth_something(summary: &Value) {
    let at_least = |what: &str, least: i64| {
        let counted = summary["compared"][what]
            .as_i64()
            .or(summary[what].as_i64());
        assert!(counted.unwrap_or(0) >= least, "{what}: {summary}");
    };
    assert_eq!(summary["differences"], 0, "{summary}");
    assert_eq!(summary["tenants"], 3, "{summary}");
    for (what, least) in [
        ("licenses", 2000),
        ("conflicts", 100),
        ("voided", 100),
        ("moments", 12_000),
        ("moments_before_it_was", 500),
        ("both", 2000),
        ("devices", 1000),
        ("instants", 12),
        ("turned", 200),
        ("customers", 1000),
        ("customers_licenses", 400),
        ("stats", 36),
        ("minutes", 1000),
        ("list_items", 20_000),
        ("singles", 300),
    ] {
        at_least(what, least);
    }
    for status in [
        "active",
        "expired",
        "pending",
        "revoked",
        "suspended",
        "unknown",
    ] {
        at_least(&format!("status {status}"), 20);
    }
}

#[test]
fn at_other_times_the_api_answers_what_an_independent_fold_gives() {
    other_times_on(None);
}

#[test]
fn at_other_times_the_api_answers_the_same_from_postgres() {
    let postgres = Postgres::own().unwrap();
    other_times_on(Some(postgres.url()));
}

#[test]
fn the_independent_fold_and_its_comparisons_pass_tests_of_their_own() {
    let mut tests = Command::new(python().unwrap());
    tests
        .args(["-W", "ignore", "-m", "unittest"])
        .current_dir(project().join("tests/clients/python"));
    finish(tests).unwrap();
}
