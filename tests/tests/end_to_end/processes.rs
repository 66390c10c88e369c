//! Processes beside each other and at their end: a store has one writer, and a stop under load
//! keeps what was promised.

use std::time::{Duration, Instant};

use licenseflow_tests::harness::{
    Kafka, Platform, Port, Process, Role, Signal, unique_prefix, wait_for_async, wait_until,
};
use serde_json::{Value, json};

use super::well_behaved::{Expects, WellBehaved};

const CLIENTS: usize = 4;
const EVENTS_PER_REQUEST: usize = 2000;

/// What a stop may take by the contract.
const STOP: Duration = Duration::from_secs(10);

#[test]
fn a_second_process_on_one_store_says_who_holds_it() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let mut first = platform.start(Role::Up).unwrap();
    for role in ["project", "up"] {
        let (http, registry) = (Port::free().unwrap(), Port::free().unwrap());
        let mut command = platform.command(&[role]).unwrap();
        command
            .env("LICENSEFLOW_LISTEN", format!("127.0.0.1:{}", http.number()))
            .env(
                "LICENSEFLOW_REGISTRY_LISTEN",
                format!("127.0.0.1:{}", registry.number()),
            );
        let mut second = Process::start(role, &command).unwrap();
        let code = second.wait(Duration::from_secs(60)).unwrap();
        let said = second.stderr();
        assert_eq!(code, 1, "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("licenseflow.db is held by"), "{last}");
        assert!(
            last.contains(&first.id().to_string()),
            "it names process {}: {last}",
            first.id()
        );
        assert!(last.contains("--store"), "it says what to do: {last}");
    }
    assert!(first.is_running().unwrap());
    assert_eq!(platform.verify().unwrap()["equal"], true);
    Platform::stop(first).unwrap();
}

#[test]
fn a_stop_waits_for_no_broker_that_says_nothing() {
    let mut kafka = Kafka::own().unwrap();
    let platform = Platform::new(kafka.bootstrap(), &unique_prefix()).unwrap();
    let mut ingest = platform.start(Role::Ingest).unwrap();
    kafka.signal(Signal::Stop).unwrap();
    let is_unready = || platform.text("/readyz").is_err();
    wait_until("it knows that no broker answers", STOP * 6, is_unready).unwrap();
    // It asks again after two seconds, and waits for ten. A stop between two questions would show nothing.
    std::thread::sleep(Duration::from_secs(3));
    ingest.signal(Signal::Term).unwrap();
    // Seven seconds before it would be answered that nobody answers.
    let code = ingest.wait(STOP / 2).unwrap();
    assert_eq!(code, 0, "{}", ingest.stderr());
}

/// Posts large requests until the platform ends; how many of their events have a receipt, and how
/// many were sent at all.
async fn posts_many(api: String, license: String) -> (usize, usize) {
    let (http, mut receipts, mut sent) = (reqwest::Client::new(), 0, 0);
    loop {
        let event = json!({
            "license_id": license, "type": "UsageRecorded", "data": {"metric": "calls", "quantity": 1},
        });
        sent += EVENTS_PER_REQUEST;
        let posted = http
            .post(format!("{api}/v1/events"))
            .header("content-type", "application/x-ndjson")
            .body(format!("{event}\n").repeat(EVENTS_PER_REQUEST));
        let Ok(answer) = posted.send().await else {
            return (receipts, sent);
        };
        let Ok(body) = answer.json::<Value>().await else {
            return (receipts, sent);
        };
        let lines = body["receipts"].as_array();
        let taken = |line: &&Value| line["offset"].is_i64();
        receipts += lines.map_or(0, |lines| lines.iter().filter(taken).count());
    }
}

async fn usage_of(platform: &Platform, license: &str) -> usize {
    let url = format!("{}/v1/licenses/{license}/usage", platform.api());
    let usage: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let quantity = usage["items"][0]["quantity"].as_u64().unwrap();
    usize::try_from(quantity).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_is_quick_and_keeps_every_receipt() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let mut up = platform.start(Role::Up).unwrap();
    let begin = |number| WellBehaved::begin(platform.api(), &format!("c{number}"), Expects::AnEnd);
    let clients: Vec<_> = (0..CLIENTS).map(begin).collect();
    let many = ["LIC-many-1", "LIC-many-2"].map(|license| {
        let posts = posts_many(platform.api(), license.to_owned());
        (license, tokio::spawn(posts))
    });
    let busy = async || {
        clients
            .iter()
            .all(|client| client.given() > 50)
            .then_some(())
    };
    wait_for_async("all clients to be at work", Duration::from_secs(60), busy)
        .await
        .unwrap();

    let asked = Instant::now();
    up.signal(Signal::Term).unwrap();
    let code = up.wait(STOP * 2).unwrap();
    println!("ended after {:?}", asked.elapsed());
    assert_eq!(code, 0, "{}", up.stderr());
    assert!(
        asked.elapsed() < STOP,
        "{:?}\n{}",
        asked.elapsed(),
        up.stderr()
    );
    let mut receipts = Vec::new();
    for client in clients {
        receipts.push(client.end().await);
    }

    let up = platform.start(Role::Up).unwrap();
    for receipts in receipts {
        println!(
            "{} receipts, {} times told to come again",
            receipts.count(),
            receipts.refusals
        );
        receipts.are_in_the_read_model(&platform.api()).await;
    }
    for (license, posts) in many {
        let (receipts, sent) = posts.await.unwrap();
        println!("{license}: {receipts} receipts for {sent} events");
        assert!(receipts > 0, "it was at work");
        // Its receipts name many partitions, so the count is what is waited for.
        let counted = async || {
            let counted = usage_of(&platform, license).await;
            (counted >= receipts).then_some(counted)
        };
        let counted = wait_for_async("receipts to count", STOP * 3, counted).await;
        assert!(counted.unwrap() <= sent, "none counts twice");
    }
    assert_eq!(platform.verify().unwrap()["equal"], true);
    Platform::stop(up).unwrap();
}
