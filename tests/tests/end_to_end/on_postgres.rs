//! The platform on PostgreSQL: one log, folded into both stores, gives one read model.

use std::time::Duration;

use licenseflow_tests::harness::{Kafka, Platform, Postgres, Role, unique_prefix, wait_until};
use serde_json::Value;

/// How many records the log has, duplicates, conflicts and poison among them.
const RECORDS: i64 = 5000;

/// How long a catch-up may take, the machine being busy with other tests.
const CATCH_UP: Duration = Duration::from_secs(120);

/// Folds the whole log into the platform's store; what `verify` says of it, and a license as the API
/// answers it.
fn folded(platform: &Platform, fill: impl FnOnce()) -> (Value, Value) {
    let up = platform.start(Role::Up).unwrap();
    fill();
    let caught_up = wait_until("all is dealt with", CATCH_UP, || {
        platform.dealt_with() >= RECORDS
    });
    caught_up.unwrap_or_else(|error| panic!("{error}\n{}", up.stderr()));
    let report = platform.verify().unwrap();
    assert_eq!(report["equal"], true, "{report}");
    assert!(
        report["accepted"].as_i64().unwrap() > RECORDS / 2,
        "{report}"
    );
    let list = platform
        .json("/v1/licenses?limit=20&sort=-last_event_at")
        .unwrap();
    let said = up.stderr();
    assert!(
        !said.contains("geheim"),
        "a password is told to nobody: {said}"
    );
    Platform::stop(up).unwrap();
    (report, list)
}

/// Where the partitions stand that hold anything. An empty one is in the position once its end was
/// seen, and not before.
fn read_in(report: &Value) -> Vec<&str> {
    let position = report["position"].as_str().unwrap();
    let partitions = position.split(',');
    partitions.filter(|it| !it.ends_with(":0")).collect()
}

#[test]
fn one_log_gives_one_read_model_on_both_stores() {
    let postgres = Postgres::own().unwrap();
    // The server asks nobody for a password, and what it is given must not show all the same.
    let url = postgres.url().replacen('@', ":geheim@", 1);
    let (bootstrap, prefix) = (Kafka::shared().bootstrap(), unique_prefix());
    let on_postgres = Platform::new(bootstrap, &prefix)
        .unwrap()
        .with("LICENSEFLOW_STORE", &url);
    let generate = || on_postgres.generate(RECORDS, 300, 1).unwrap();
    let (one, its_list) = folded(&on_postgres, generate);
    let shown = on_postgres.run(&["config", "show"]).unwrap();
    assert!(shown.contains("postgres://***@127.0.0.1:"), "{shown}");

    let on_sqlite = Platform::new(bootstrap, &prefix).unwrap();
    let (other, other_list) = folded(&on_sqlite, || {});
    for member in ["digest", "expected", "records", "accepted"] {
        assert_eq!(one[member], other[member], "{member}");
    }
    assert_eq!(read_in(&one), read_in(&other));
    assert!(!its_list["items"].as_array().unwrap().is_empty());
    let ids = |list: &Value| -> Vec<Value> {
        let items = list["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["last_event_at"].clone())
            .collect()
    };
    assert_eq!(ids(&its_list), ids(&other_list));
}
