//! The broker is killed and started again while HTTP clients produce: every receipt that was given
//! is in the read model, and whatever was not taken was refused with a clear word.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use licenseflow_tests::harness::{Kafka, Platform, Role, unique_prefix};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Notify;

const CLIENTS: usize = 4;
const EVENTS_PER_CLIENT: usize = 150;

/// What a client was told of its events.
#[derive(Default)]
struct Told {
    /// Event id to (license, position).
    receipts: BTreeMap<String, (String, String)>,
    refused: usize,
    unknown: usize,
}

async fn produce(client: usize, api: String, third: Arc<Notify>, told_so: Arc<Notify>) -> Told {
    let http = reqwest::Client::new();
    let mut told = Told::default();
    for number in 0..EVENTS_PER_CLIENT {
        if client == 0 && number == EVENTS_PER_CLIENT / 3 {
            third.notify_one();
        }
        let event_id = uuid::Uuid::now_v7().to_string();
        let license = format!("LIC-{client}-{}", number % 10);
        let event = json!({
            "event_id": event_id, "license_id": license, "occurred_at": "2026-01-31T10:00:00Z",
            "type": "UsageRecorded", "data": {"metric": "calls", "quantity": 1},
        });
        // Sent again until it is known what became of it, as the contract asks of a client.
        loop {
            let answer = http
                .post(format!("{api}/v1/events"))
                .json(&event)
                .send()
                .await
                .unwrap();
            let (status, retry_after) = (
                answer.status(),
                answer.headers().contains_key("retry-after"),
            );
            let body: Value = answer.json().await.unwrap();
            if status == StatusCode::ACCEPTED {
                let position = body["position"].as_str().unwrap().to_owned();
                told.receipts
                    .insert(event_id.clone(), (license.clone(), position));
                break;
            }
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
            assert!(retry_after, "a 503 says when to try again: {body}");
            assert!(
                body["code"].is_string() && body["detail"].is_string(),
                "{body}"
            );
            told_so.notify_one();
            match outcome(&body) {
                "unknown" => told.unknown += 1,
                _ => told.refused += 1,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    told
}

fn outcome(body: &Value) -> &str {
    body["outcome"].as_str().unwrap_or("refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_receipt_is_in_the_read_model_though_the_broker_died_meanwhile() {
    let mut kafka = Kafka::own().unwrap();
    let platform = Platform::new(kafka.bootstrap(), &unique_prefix()).unwrap();
    let up = platform.start(Role::Up).unwrap();
    let (third, told_so) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            tokio::spawn(produce(
                client,
                platform.api(),
                third.clone(),
                told_so.clone(),
            ))
        })
        .collect();
    third.notified().await;
    kafka.kill().unwrap();
    // Away for longer than a delivery may take: now some client must be told so.
    told_so.notified().await;
    kafka.start_again().unwrap();

    let http = reqwest::Client::new();
    let (mut refused, mut unknown, mut receipts) = (0, 0, 0);
    for client in clients {
        let told = client.await.unwrap();
        refused += told.refused;
        unknown += told.unknown;
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        for (license, position) in told.receipts.values() {
            *counted.entry(license).or_default() += 1;
            let url = format!("{}/v1/licenses/{license}", platform.api());
            let answer = http
                .get(url)
                .header("x-min-position", position)
                .header("x-wait-ms", "15000");
            assert_eq!(
                answer.send().await.unwrap().status(),
                StatusCode::OK,
                "{position}"
            );
        }
        for (license, count) in counted {
            let url = format!("{}/v1/licenses/{license}/usage", platform.api());
            let usage: Value = http.get(url).send().await.unwrap().json().await.unwrap();
            assert_eq!(
                usage["items"][0]["quantity"],
                json!(count),
                "each receipt counts once: {license}"
            );
        }
        receipts += told.receipts.len();
    }
    println!("{receipts} receipts, {refused} refused, {unknown} unknown");
    assert_eq!(receipts, CLIENTS * EVENTS_PER_CLIENT);
    assert!(
        refused + unknown > 0,
        "the broker was away, and somebody was told so"
    );
    assert_eq!(platform.verify().unwrap()["equal"], true);
    Platform::stop(up).unwrap();
}
