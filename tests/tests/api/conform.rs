//! Every answer is one that the description names, on both stores: schemathesis asks.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use licenseflow_tests::harness::{
    Kafka, Platform, Postgres, Role, project, unique_prefix, wait_until,
};
use serde_json::Value;

use crate::asked::whole;

/// What the requests are made from: the same seed asks the same.
const SEED: &str = "20261122";

/// Random requests for each operation, beside examples and boundary values.
const EXAMPLES: &str = "8";

/// How many records there are to ask about.
const RECORDS: i64 = 2000;

/// How long the read model may take until it has them.
const CATCH_UP: Duration = Duration::from_secs(90);

/// Asks everything; what was asked and answered.
fn ask(platform: &Platform) -> Value {
    let up = platform.start(Role::Up).unwrap();
    platform.generate(RECORDS, 100, 1).unwrap();
    wait_until("all is dealt with", CATCH_UP, || {
        platform.dealt_with() >= RECORDS
    })
    .unwrap();
    let api = platform.api();
    let (_, served) = whole(&api, "/openapi.json", &[]);
    let kept = fs::read_to_string(project().join("docs/openapi.json")).unwrap();
    assert!(
        served == kept,
        "`up` serves another description than docs/openapi.json"
    );
    let arguments = ["--api", &api, "--seed", SEED, "--examples", EXAMPLES];
    let report = platform.python("conform.py", &arguments);
    let report = report.unwrap_or_else(|error| panic!("seed {SEED}: {error}"));
    Platform::stop(up).unwrap();
    serde_json::from_str(&report).unwrap()
}

#[test]
fn on_both_stores_every_answer_is_one_that_the_description_names() {
    let postgres = Postgres::own().unwrap();
    let bootstrap = Kafka::shared().bootstrap();
    let new = || Platform::new(bootstrap, &unique_prefix()).unwrap();
    let platforms = [
        ("sqlite", new()),
        ("postgres", new().with("LICENSEFLOW_STORE", postgres.url())),
    ];
    let begun = Instant::now();
    let reports: Vec<(&str, Value)> = thread::scope(|scope| {
        let asking = platforms
            .each_ref()
            .map(|(store, platform)| (*store, scope.spawn(move || ask(platform))));
        let all = asking.into_iter();
        all.map(|(store, asking)| (store, asking.join().unwrap()))
            .collect()
    });
    for (store, report) in &reports {
        let (requests, operations) = (&report["requests"], &report["operations"]);
        println!("{store}: seed {SEED}, {requests} requests: {operations}");
        let events = &operations["POST /v1/events"];
        for status in ["202", "207", "400", "415", "422"] {
            assert!(events[status].is_i64(), "{store}: no {status} of {events}");
        }
    }
    println!("both stores at once: {:?}", begun.elapsed());
}
