//! `verify`, on both stores: a row that was changed by hand in any table of the model is found, and named
//! exactly; what was not changed is the same, also while it is written.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use licenseflow_tests::harness::{Kafka, Platform, Postgres, Role, unique_prefix, wait_until};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;

use super::later_schema::{self, LATER_ID};
use super::tampering::{Changed, Store, Tampered, all_changes};

pub(super) const RECORDS: i64 = 1500;

/// Events of the one license with a long timeline.
pub(super) const LONG: i64 = 800;

pub(super) const CATCH_UP: Duration = Duration::from_secs(120);

/// One that the registry never gives.
const NO_ID: u32 = 7;

/// Runs `verify` with these arguments: its exit code and its JSON.
pub(super) fn verify(platform: &Platform, arguments: &[&str]) -> (i32, Value) {
    let all = [&["verify", "--json"], arguments].concat();
    let output = platform.command(&all).unwrap().output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: verify {arguments:?} said {stderr}");
    });
    (output.status.code().unwrap(), report)
}

/// The licenses and the parts that a report names.
fn named(report: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let differences = report["differences"].as_array().unwrap();
    let all = |member: &str| {
        let each = differences.iter().filter_map(|it| it[member].as_str());
        each.map(ToOwned::to_owned).collect()
    };
    (all("license_id"), all("part"))
}

pub(super) async fn send(platform: &Platform, license: &str, value: &[u8]) {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", platform.bootstrap());
    let producer: FutureProducer = settings.create().unwrap();
    let topic = platform.events_topic();
    let record = FutureRecord::to(&topic).key(license).payload(value);
    producer.send(record, CATCH_UP).await.unwrap();
}

pub(super) fn caught_up(platform: &Platform, records: i64) {
    wait_until("all is dealt with", CATCH_UP, || {
        platform.dealt_with() >= records
    })
    .unwrap();
}

/// A log with devices, metrics, voids, conflicts, poison, one long timeline and a record that waits; folded,
/// with nobody running.
pub(super) async fn folded(platform: Platform) -> Platform {
    let platform = platform.with("LICENSEFLOW_RETRY_ATTEMPTS", "20");
    let up = platform.start(Role::Up).unwrap();
    platform.generate(RECORDS, 60, 1).unwrap();
    let count = LONG.to_string();
    let long = ["--count", &count, "--licenses", "1", "--tenants", "1"];
    let more = ["--seed", "2", "--voided", "0.05", "--no-heartbeats"];
    platform
        .run(&[&["events", "generate"], &long[..], &more].concat())
        .unwrap();
    send(&platform, "LIC-W", &later_schema::value(NO_ID, "LIC-W", 1)).await;
    // Another key than its license's: rejected, and known to name the license.
    let mismatched = later_schema::usage("LIC-P", 3).to_string();
    send(&platform, "another", mismatched.as_bytes()).await;
    caught_up(&platform, RECORDS + LONG + 2);
    Platform::stop(up).unwrap();
    platform
}

/// Changes one thing at a time by hand, and holds `verify` to naming exactly that.
async fn every_change_is_named<S: Store>(platform: Platform, open: impl FnOnce(&Platform) -> S) {
    let platform = folded(platform).await;
    let (code, untouched) = verify(&platform, &[]);
    assert_eq!(
        (code, &untouched["equal"]),
        (0, &Value::Bool(true)),
        "{untouched}"
    );
    assert_eq!(untouched["digest"], untouched["rows"]);
    let store = tokio::task::block_in_place(|| open(&platform));
    let mut tenant = String::new();
    for change in all_changes() {
        let Tampered { what, by, changed } = &change;
        let target = store.change(by);
        for way in [&[][..], &["--fast"]] {
            let (code, report) = verify(&platform, way);
            let said = format!("{what} {way:?}: {report:#}");
            assert_eq!((code, &report["equal"]), (1, &Value::Bool(false)), "{said}");
            let (licenses, parts) = named(&report);
            match changed {
                Changed::License(part) => {
                    assert_eq!(licenses, BTreeSet::from([target.clone()]), "{said}");
                    assert_eq!(parts, BTreeSet::from([(*part).to_owned()]), "{said}");
                    assert_eq!(report["licenses_that_differ"], 1, "{said}");
                    let of = report["differences"][0]["tenant_id"].as_str();
                    of.unwrap().clone_into(&mut tenant);
                }
                Changed::Number(part) => {
                    assert!(licenses.is_empty(), "{said}");
                    assert_eq!(parts, BTreeSet::from([(*part).to_owned()]), "{said}");
                    assert_eq!(report["differences_count"], 1, "{said}");
                }
            }
        }
        if let Changed::License(part) = changed {
            one_license_is_told(&platform, [&tenant, &target], part, what);
        }
        store.restore();
    }
    let (code, again) = verify(&platform, &["--fast"]);
    assert_eq!(code, 0, "{again}");
    assert_eq!(again["digest"], untouched["digest"]);
    a_good_license_is_told(&platform, [&tenant, &store.good()]);
    println!("{} changes found on {}", all_changes().len(), S::NAME);
}

/// A changed license by itself: its recorded offsets alone tell it, or it is gone.
fn one_license_is_told(platform: &Platform, [tenant, target]: [&str; 2], part: &str, what: &str) {
    let tenant = ["--tenant", tenant, "--license", target];
    let (code, report) = verify(platform, &tenant);
    // What is not in its rows cannot be missed by them: that the scan finds.
    let is_found = report["exists"] == false || report["differences_count"] != 0;
    let (scanned, by_scan) = verify(platform, &[&tenant[..], &["--scan"]].concat());
    assert_eq!(scanned, 1, "{what}: {by_scan:#}");
    let (licenses, parts) = named(&by_scan);
    assert_eq!(
        licenses,
        BTreeSet::from([target.to_owned()]),
        "{what}: {by_scan:#}"
    );
    assert_eq!(
        parts,
        BTreeSet::from([part.to_owned()]),
        "{what}: {by_scan:#}"
    );
    assert_eq!(code, i32::from(is_found), "{what}: {report:#}");
    if !is_found {
        println!("{what}: seen by --scan alone");
    }
}

fn a_good_license_is_told(platform: &Platform, [tenant, license]: [&str; 2]) {
    let begun = Instant::now();
    let (code, report) = verify(platform, &["--tenant", tenant, "--license", license]);
    println!(
        "--license of {} events took {} ms, and {:?} with the start of the process and of a registry",
        report["events"],
        report["took_ms"],
        begun.elapsed()
    );
    assert_eq!(
        (code, &report["equal"]),
        (0, &Value::Bool(true)),
        "{report:#}"
    );
    let not_checked = report["not_checked"].as_array().unwrap();
    let said = |word: &str| {
        let mut each = not_checked.iter().filter_map(Value::as_str);
        each.any(|it| it.contains(word))
    };
    assert!(
        said("completeness") && said("last_seen_at") && said("only beat"),
        "{report}"
    );
    let records = report["records"].as_i64().unwrap();
    assert!(
        records < RECORDS / 2,
        "only what its rows name is read: {records}"
    );
    let (code, report) = verify(platform, &["--license", "none-such"]);
    assert_eq!(
        (code, &report["exists"]),
        (1, &Value::Bool(false)),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_changed_by_hand_in_any_table_of_a_file_is_named() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    every_change_is_named(platform, super::tampering::File::open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_changed_by_hand_in_any_table_of_postgres_is_named() {
    let postgres = Postgres::own().unwrap();
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_STORE", postgres.url());
    let url = postgres.url().to_owned();
    every_change_is_named(platform, |_| super::tampering::Database::open(&url)).await;
}

/// Verifies again and again while records are sent and folded.
fn the_same_while_written(platform: &Platform) {
    let up = platform.start(Role::Up).unwrap();
    platform.generate(2000, 100, 2).unwrap();
    let shares = [
        "--conflicting",
        "0.05",
        "--poison",
        "0.02",
        "--voided",
        "0.05",
    ];
    let more = [
        "--count",
        "100000",
        "--licenses",
        "100",
        "--rate",
        "500",
        "--seed",
        "5",
    ];
    let sending = platform
        .command(&[&["events", "generate"], &more[..], &shares].concat())
        .unwrap();
    let sending = licenseflow_tests::harness::Process::start("generate", &sending).unwrap();
    let mut positions = BTreeSet::new();
    for way in [&["--fast"][..], &[], &["--fast"], &[]] {
        let before = platform.dealt_with();
        wait_until("more is written", CATCH_UP, || {
            platform.dealt_with() > before
        })
        .unwrap();
        let (code, report) = verify(platform, way);
        assert_eq!(code, 0, "{way:?}: {report:#}");
        positions.insert(report["position"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        positions.len(),
        4,
        "it was written meanwhile: {positions:?}"
    );
    drop(sending);
    Platform::stop(up).unwrap();
}

#[test]
fn a_file_is_the_same_as_the_log_while_it_is_written() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    the_same_while_written(&platform);
}

#[test]
fn postgres_is_the_same_as_the_log_while_it_is_written() {
    let postgres = Postgres::own().unwrap();
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_STORE", postgres.url());
    the_same_while_written(&platform);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_rejected_and_would_be_accepted_now_is_told_apart() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_RETRY_ATTEMPTS", "1");
    let up = platform.start(Role::Up).unwrap();
    send(
        &platform,
        "LIC-1",
        &later_schema::value(LATER_ID, "LIC-1", 1),
    )
    .await;
    send(&platform, "LIC-2", &later_schema::value(NO_ID, "LIC-2", 2)).await;
    caught_up(&platform, 2);
    let (code, report) = verify(&platform, &[]);
    assert_eq!(
        (code, &report["apart_count"]),
        (0, &Value::from(0)),
        "{report:#}"
    );
    later_schema::register(&platform).await;
    for way in [&[][..], &["--fast"]] {
        let (code, report) = verify(&platform, way);
        assert_eq!(
            (code, &report["equal"]),
            (0, &Value::Bool(true)),
            "{report:#}"
        );
        assert_eq!(report["apart_count"], 1, "{report:#}");
        let apart = &report["apart"][0];
        assert_eq!(apart["license_id"], "LIC-1", "{report:#}");
        assert_eq!(apart["then"], "rejected: unknown_schema", "{report:#}");
        assert_eq!(apart["now"], "accepted", "{report:#}");
    }
    Platform::stop(up).unwrap();
}
