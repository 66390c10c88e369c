//! A producer that is ahead of its schema's registration, on a real Kafka: its records wait for it, readers are
//! told so, and what nobody registers is given up on.

use std::time::Duration;

use licenseflow_tests::harness::{Kafka, Platform, Role, kcat, unique_prefix, wait_until};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;

use super::later_schema::{self, LATER_ID};

const PATIENCE: Duration = Duration::from_secs(60);

/// One that it never gives.
const NO_ID: u32 = 7;

/// Sends a record with its license's key; its receipt's position.
async fn send(platform: &Platform, license: &str, value: &[u8], request_id: &str) -> (i32, i64) {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", platform.bootstrap())
        .set("partitioner", "murmur2_random");
    let producer: FutureProducer = settings.create().unwrap();
    let topic = platform.events_topic();
    let header = Header {
        key: "x-request-id",
        value: Some(request_id.as_bytes()),
    };
    let record = FutureRecord::to(&topic)
        .key(license)
        .payload(value)
        .headers(OwnedHeaders::new().insert(header));
    let at = producer.send(record, PATIENCE).await.unwrap();
    (at.partition, at.offset)
}

/// Asks for a license as fresh as a position, at once or not at all: status and answer.
async fn asked(platform: &Platform, license: &str, position: &str) -> (u16, Value) {
    let url = format!("{}/v1/licenses/{license}/usage", platform.api());
    let request = reqwest::Client::new()
        .get(url)
        .header("x-min-position", position)
        .header("x-on-stale", "fail");
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

fn headers_in(bootstrap: &str, topic: &str, name: &str) -> Vec<String> {
    let lines = kcat::consume(bootstrap, topic, &["-f", "%h\\n"]).unwrap();
    let each = lines.lines().flat_map(|line| line.split(','));
    let prefix = format!("{name}=");
    each.filter_map(|header| header.strip_prefix(&prefix).map(str::to_owned))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_whose_schema_is_registered_later_counts_then_and_one_of_none_is_given_up_on() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_RETRY_ATTEMPTS", "4");
    let up = platform.start(Role::Up).unwrap();
    let retry_topic = format!("{}license.events.retry.v1", platform.prefix());
    let dead_letters = format!("{}license.events.dlq.v1", platform.prefix());

    let (partition, offset) = send(
        &platform,
        "LIC-1",
        &later_schema::value(LATER_ID, "LIC-1", 1),
        "r-1",
    )
    .await;
    let position = format!("e:{partition}:{}", offset + 1);
    wait_until("it was read", PATIENCE, || {
        let copies = headers_in(platform.bootstrap(), &retry_topic, "x-attempt");
        copies.contains(&"1".to_owned())
    })
    .unwrap();
    // The position covers it, and its license is not as fresh as that; others are.
    let (status, problem) = asked(&platform, "LIC-1", &position).await;
    assert_eq!(status, 412, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("waits for another try"), "{detail}");
    let (status, _) = asked(&platform, "LIC-2", &position).await;
    assert_ne!(status, 412);
    let due = headers_in(platform.bootstrap(), &retry_topic, "x-due");
    assert!(
        due[0].parse::<i64>().unwrap() > 1_700_000_000_000,
        "{due:?}"
    );
    let from = headers_in(platform.bootstrap(), &retry_topic, "x-original-offset");
    assert_eq!(from[0], offset.to_string());

    later_schema::register(&platform).await;
    let mut answer = (0, Value::Null);
    let found = wait_until("it counts", PATIENCE, || {
        let asking = asked(&platform, "LIC-1", &position);
        answer = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asking));
        answer.0 == 200
    });
    found.unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert_eq!(answer.1["items"][0]["quantity"], 1, "{answer:?}");
    let journey = platform.json("/v1/requests/r-1").unwrap();
    let retried = &journey["items"][0]["retried"];
    assert_eq!(retried["offset"], offset, "{journey}");
    assert_eq!(journey["items"][0]["outcome"], "applied", "{journey}");
    assert!(retried["attempts"].as_i64().unwrap() >= 2, "{journey}");

    let (_, offset) = send(
        &platform,
        "LIC-3",
        &later_schema::value(NO_ID, "LIC-3", 2),
        "r-2",
    )
    .await;
    wait_until("it is given up on", PATIENCE, || {
        let reasons = headers_in(platform.bootstrap(), &dead_letters, "x-reason");
        reasons == ["retries_exhausted"]
    })
    .unwrap();
    let of = |name| headers_in(platform.bootstrap(), &dead_letters, name);
    assert_eq!(of("x-original-offset"), [offset.to_string()]);
    assert_eq!(of("x-attempt"), ["4"]);
    let verified = platform.verify().unwrap();
    assert_eq!(verified["equal"], true, "{verified}");
    Platform::stop(up).unwrap();
}
