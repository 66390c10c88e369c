//! Brokers that die and come back: every receipt is true, and every other answer is clear.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use licenseflow_producers::accept::IntakeSettings;
use licenseflow_tests::harness::{Kafka, wait_for_async};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::service::{Intake, Log, TIMEOUT, event_of, usage};

/// What one client was told.
#[derive(Default)]
struct Told {
    receipts: Vec<Value>,
    /// Events that were said to be refused for certain.
    refused: Vec<String>,
    unknown: usize,
}

/// Sends one event after the other, each with an id of its own, until it is asked to end.
async fn produce(
    http: reqwest::Client,
    url: String,
    client: usize,
    end: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
) -> Told {
    let mut told = Told::default();
    let mut n = 0;
    while !end.load(Ordering::Acquire) {
        n += 1;
        let id = uuid::Uuid::now_v7().to_string();
        let event = json!({
            "event_id": id, "license_id": format!("L-{client}-{n}"),
            "occurred_at": "2026-01-31T10:00:00Z", "type": "UsageRecorded",
            "data": {"metric": "m", "quantity": n}
        });
        let request = http.post(&url).header("content-type", "application/json");
        let response = request.body(event.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        let retry_after = response.headers().contains_key("retry-after");
        let answer: Value = response.json().await.unwrap();
        match (status, answer["outcome"].as_str()) {
            (202, None) => {
                told.receipts.push(answer["receipts"][0].clone());
                taken.fetch_add(1, Ordering::AcqRel);
            }
            (503, Some("refused")) => told.refused.push(id),
            (503, Some("unknown")) => {
                assert_eq!(answer["event_id"], id);
                assert_eq!(answer["occurred_at"], "2026-01-31T10:00:00.000000Z");
                told.unknown += 1;
            }
            _ => panic!("{status}: {answer}"),
        }
        assert_eq!(retry_after, status == 503);
    }
    told
}

/// Every receipt names a record that is there, and nothing that was refused is.
async fn assert_true(log: &Log, told: &[Told]) {
    let mut there = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for record in log.records().await {
        let event_id = event_of(&record).event_id.to_string();
        there.insert((
            record.topic.to_string(),
            record.partition,
            record.offset,
            event_id.clone(),
        ));
        ids.insert(event_id);
    }
    for told in told {
        for receipt in &told.receipts {
            let text = |name: &str| receipt[name].as_str().unwrap().to_owned();
            let number = |name: &str| receipt[name].as_i64().unwrap();
            let at = (
                text("topic"),
                number("partition") as i32,
                number("offset"),
                text("event_id"),
            );
            assert!(
                there.contains(&at),
                "a receipt for what is not there: {receipt}"
            );
        }
        for id in &told.refused {
            assert!(!ids.contains(id), "{id} was refused and is there");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_and_started_again_loses_no_receipt() {
    let mut kafka = Kafka::own().unwrap();
    let mut log = Log::create(kafka.bootstrap()).await;
    // Short enough for clients to be told while the broker is away.
    log.kafka
        .overrides
        .insert("delivery.timeout.ms".into(), "1500".into());
    let intake = Intake::start(&log, IntakeSettings::default());
    let (end, taken) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut clients = JoinSet::new();
    for client in 0..8 {
        clients.spawn(produce(
            intake.http.clone(),
            intake.url.clone(),
            client,
            Arc::clone(&end),
            Arc::clone(&taken),
        ));
    }
    let at_least = async |count: usize| {
        wait_for_async("receipts", 2 * TIMEOUT, async || {
            (taken.load(Ordering::Acquire) >= count).then_some(())
        })
        .await
        .unwrap();
    };
    at_least(100).await;
    kafka = tokio::task::spawn_blocking(move || {
        kafka.kill().unwrap();
        kafka
    })
    .await
    .unwrap();
    // Everything that was on its way is answered, and the breaker says no at once.
    let refusal = wait_for_async("a refusal in no time", TIMEOUT, async || {
        let asked = Instant::now();
        let (status, problem) = intake.answer("application/json", usage("L", 1)).await;
        (status == 503
            && problem["code"] == "brokers_away"
            && asked.elapsed() < Duration::from_millis(500))
        .then_some(problem)
    })
    .await
    .unwrap();
    assert_eq!(refusal["outcome"], "refused");
    let before = taken.load(Ordering::Acquire);
    kafka = tokio::task::spawn_blocking(move || {
        kafka.start_again().unwrap();
        kafka
    })
    .await
    .unwrap();
    at_least(before + 100).await;
    end.store(true, Ordering::Release);
    let told = clients.join_all().await;
    assert!(
        told.iter().any(|told| told.unknown > 0),
        "nobody was told that the outcome is unknown"
    );
    assert!(
        told.iter().any(|told| !told.refused.is_empty()),
        "nobody was refused"
    );

    assert_true(&log, &told).await;
    intake.stop().await;
    drop(kafka);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_without_a_broker_are_a_503_that_says_what_may_have_arrived() {
    let mut log = Log {
        // Nothing listens there: port 1 is never given out.
        kafka: licenseflow_runtime::log::KafkaSettings::new("127.0.0.1:1", "intake-test"),
        topics: licenseflow_avro::Topics::new(""),
    };
    log.kafka
        .overrides
        .insert("delivery.timeout.ms".into(), "1000".into());
    let intake = Intake::start(&log, IntakeSettings::default());
    let lines = [usage("L", 1), "{".into(), usage("L", 2)].join("\n");
    let response = intake
        .post("application/x-ndjson", lines)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["code"], "no_event_acknowledged");
    assert_eq!(answer["outcome"], "unknown");
    assert_eq!(answer["receipts"][1]["status"], 422);
    let (first, third) = (&answer["receipts"][0], &answer["receipts"][2]);
    for problem in [first, third] {
        assert_eq!(problem["outcome"], "unknown");
        assert!(problem["event_id"].is_string());
    }
    assert!(first["occurred_at"].as_str().unwrap() < third["occurred_at"].as_str().unwrap());
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_comes_in_time_though_the_producer_still_tries() {
    let log = Log {
        kafka: licenseflow_runtime::log::KafkaSettings::new("127.0.0.1:1", "intake-test"),
        topics: licenseflow_avro::Topics::new(""),
    };
    let settings = IntakeSettings {
        answer_within: Duration::from_millis(700),
        ..IntakeSettings::default()
    };
    let intake = Intake::start(&log, settings);
    let asked = Instant::now();
    let (status, problem) = intake.answer("application/json", usage("L", 1)).await;
    assert_eq!(
        (status, &problem["code"]),
        (503, &json!("not_acknowledged_in_time"))
    );
    assert_eq!(problem["outcome"], "unknown");
    assert!(asked.elapsed() < Duration::from_secs(5));
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_was_taken() {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let intake = Intake::start(&log, IntakeSettings::default());
    let mut requests = JoinSet::new();
    for n in 0..20 {
        let request = intake.post(
            "application/x-ndjson",
            vec![usage(&format!("L{n}"), n); 500].join("\n"),
        );
        requests.spawn(async move {
            request
                .send()
                .await
                .map(|response| response.status().as_u16())
        });
    }
    // One is answered, so others are at hand.
    let mut answers = vec![requests.join_next().await.unwrap().unwrap()];
    intake.stop().await;
    answers.extend(requests.join_all().await);
    let mut taken = 0;
    // One that came after the stop finds no listener, which is clear too.
    for status in answers.into_iter().flatten() {
        assert_eq!(status, 202);
        taken += 500;
    }
    assert_eq!(log.records().await.len(), taken);
}
