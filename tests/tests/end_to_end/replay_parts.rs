//! Generations that are made of a part of the log: what they hold is what an independent fold of just those
//! records gives, and none of them is ever the live one.

use std::time::Duration;

use licenseflow_avro::judgement::judge;
use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_avro::{Position, Topics};
use licenseflow_core::naive;
use licenseflow_kafka::LaneRecords;
use licenseflow_runtime::log::KafkaSettings;
use licenseflow_store::Audit as _;
use licenseflow_store::sqlite::SqliteAudit;
use licenseflow_tests::harness::{Kafka, Platform, Role, unique_prefix, wait_until};
use serde_json::Value;

const RECORDS: i64 = 1500;

const CATCH_UP: Duration = Duration::from_secs(120);

/// Five minutes, as the platform has it.
const SKEW_MICROS: i64 = 300_000_000;

fn filled(platform: &Platform, records: i64) {
    let before = platform.dealt_with();
    platform.generate(records, 100, 1).unwrap();
    wait_until("all is dealt with", CATCH_UP, || {
        platform.dealt_with() >= before + records
    })
    .unwrap();
}

/// Runs `replay` and gives its exit code, its JSON, and what it said beside.
fn replay(platform: &Platform, arguments: &[&str]) -> (i32, Value, String) {
    let arguments = [&["replay"], arguments].concat();
    let output = platform.command(&arguments).unwrap().output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), json, said)
}

/// The digest of what lies between two positions, folded the naive way.
fn folded(platform: &Platform, from: &Position, to: &Position) -> String {
    let settings = KafkaSettings::new(platform.bootstrap(), "test");
    let topics = Topics::new(platform.prefix());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let schemas = RegistryClient::new(&platform.registry()).unwrap();
    let schemas = schemas.blocking(runtime.handle().clone());
    let records = LaneRecords::between(&settings, &topics, from, to, CATCH_UP).unwrap();
    let events = records.filter_map(|record| {
        let record = record.unwrap();
        let event = judge(&record, &schemas, SKEW_MICROS).ok()?;
        Some((record.at, event))
    });
    naive::fold(events).digest()
}

/// Holds a generation against the fold of what it is made of, and removes it.
fn is_what_it_is_made_of(platform: &Platform, arguments: &[&str], begins: impl Fn(&Position)) {
    let (code, made, said) = replay(platform, &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{said}");
    let number = made["generation"].to_string();
    let begin: Position = made["from"]["position"].as_str().unwrap().parse().unwrap();
    begins(&begin);
    let file = platform.file(&format!("licenseflow.db.g{number}"));
    let audit = SqliteAudit::open(&file).unwrap();
    let mut audited = audit.begin().unwrap();
    let stands = audited.at().position.clone();
    let stored = audited.stored().unwrap().text();
    assert!(!begin.is_empty() && stands.covers(&begin) && stands != begin);
    assert_eq!(stored, folded(platform, &begin, &stands), "{begin}");
    drop(audited);
    let (code, _, said) = replay(platform, &["switch", &number]);
    assert_eq!(code, 1);
    assert!(said.contains("never be the live one"), "{said}");
    let (code, _, said) = replay(platform, &["drop", &number]);
    assert!(code == 1 && said.contains("never the live one"), "{said}");
    let (code, _, said) = replay(platform, &["cancel", &number]);
    assert_eq!(code, 0, "{said}");
    wait_until("it is gone", CATCH_UP, || !file.exists()).unwrap();
}

#[test]
fn a_part_of_the_log_gives_what_a_fold_of_just_that_gives() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let up = platform.start(Role::Up).unwrap();
    filled(&platform, RECORDS);
    let position = platform.json("/v1/position").unwrap()["position"].clone();
    let position = position.as_str().unwrap();
    // The brokers' time of what comes now is later.
    let time = time_now();
    filled(&platform, RECORDS);
    let expected: Position = position.parse().unwrap();
    is_what_it_is_made_of(&platform, &["--from-position", position], |begin| {
        assert_eq!(*begin, expected);
    });
    is_what_it_is_made_of(&platform, &["--from-time", &time], |begin| {
        assert!(begin.covers(&expected), "{begin} of {time}");
    });
    let only = ["--partition", "e:3", "--partition", "e:5"];
    is_what_it_is_made_of(&platform, &only, |begin| {
        assert_eq!(begin.to_string(), "e:3:0,e:5:0");
    });
    let bad = [
        (&["--from-position", "e:0"][..], "--from-position"),
        (&["--from-time", "yesterday"], "yesterday"),
        (&["--partition", "x:1"], "x:1"),
        (&["--partition", "e:999"], "999"),
        (
            &["--partition", "e:1", "--switch-when-equal"],
            "never switched to",
        ),
    ];
    for (arguments, words) in bad {
        let (code, _, said) = replay(&platform, arguments);
        assert!(code != 0 && said.contains(words), "{arguments:?}: {said}");
    }
    let (code, _, said) = replay(&platform, &["rollback"]);
    assert!(
        code == 1 && said.contains("nothing to go back to"),
        "{said}"
    );
    Platform::stop(up).unwrap();
}

/// Now, as a time of the contract.
fn time_now() -> String {
    let now = licenseflow_projector::wall_clock()();
    licenseflow_avro::time::format_rfc3339((now + 1) * 1000)
}
