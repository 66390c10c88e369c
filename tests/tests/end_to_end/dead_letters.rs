//! Dead letters as an operator has them: listed, shown, redriven and resolved, by the command line and over
//! HTTP, on a real Kafka.

use std::process::Output;
use std::time::Duration;

use licenseflow_tests::harness::{Kafka, Platform, Port, Process, Role, unique_prefix, wait_until};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use super::later_schema::{self, LATER_ID, usage};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a value to the interactive lane; where it lies.
async fn send(platform: &Platform, value: &[u8], request_id: &str) -> String {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", platform.bootstrap())
        .set("acks", "all")
        .set("compression.codec", "gzip")
        .set("message.max.bytes", "16777216");
    let producer: FutureProducer = settings.create().unwrap();
    let topic = platform.events_topic();
    let header = Header {
        key: "x-request-id",
        value: Some(request_id.as_bytes()),
    };
    let record = FutureRecord::<(), [u8]>::to(&topic)
        .payload(value)
        .headers(OwnedHeaders::new().insert(header));
    let at = producer.send(record, PATIENCE).await.unwrap();
    format!("{topic}:{}:{}", at.partition, at.offset)
}

fn tried(platform: &Platform, arguments: &[&str]) -> Output {
    let api = platform.api();
    let mut command = platform.command(&[&["dlq"], arguments].concat()).unwrap();
    command.env("LICENSEFLOW_ADMIN", api).output().unwrap()
}

/// What `dlq` prints where it ends with this code.
fn dlq(platform: &Platform, code: i32, arguments: &[&str]) -> String {
    let output = tried(platform, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {out}{error}"
    );
    if code == 0 { out } else { out + &error }
}

fn listed(platform: &Platform, arguments: &[&str]) -> Vec<Value> {
    let text = dlq(platform, 0, &[&["list", "--json"], arguments].concat());
    let page: Value = serde_json::from_str(&text).unwrap();
    page["items"].as_array().unwrap().clone()
}

fn wait_for_letters(platform: &Platform, count: usize, arguments: &[&str]) -> Vec<Value> {
    wait_until("the letters are there", PATIENCE, || {
        listed(platform, arguments).len() == count
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", listed(platform, arguments)));
    listed(platform, arguments)
}

fn place_of(letter: &Value) -> String {
    let topic = letter["topic"].as_str().unwrap();
    format!("{topic}:{}:{}", letter["partition"], letter["offset"])
}

fn calls(platform: &Platform, license: &str) -> Value {
    let usage = platform.json(&format!("/v1/licenses/{license}/usage"));
    usage.map_or(Value::Null, |it| it["items"][0]["quantity"].clone())
}

fn degraded(platform: &Platform, license: &str) -> Value {
    platform.json(&format!("/v1/licenses/{license}")).unwrap()["degraded"].clone()
}

fn wait_for_calls(platform: &Platform, license: &str, count: i64) {
    wait_until("it counts", PATIENCE, || calls(platform, license) == count).unwrap();
}

/// A schema that was not there is asked for again only after a while.
fn wait_for_the_schema(platform: &Platform, place: &str) {
    wait_until("the projector knows the schema", PATIENCE, || {
        let letter = dlq(platform, 0, &["show", place, "--json"]);
        let letter: Value = serde_json::from_str(&letter).unwrap();
        letter["now"]["is_taken"] == true
    })
    .unwrap();
}

/// All that was sent is dealt with.
fn wait_for_the_end(platform: &Platform) {
    wait_until("all is dealt with", PATIENCE, || {
        let position = platform.json("/v1/position").unwrap_or_default();
        let partitions = position["partitions"].as_array().cloned();
        let at_its_end = |it: &Value| it["lag_events"] == 0;
        partitions.is_some_and(|all| !all.is_empty() && all.iter().all(at_its_end))
    })
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_shown_redriven_and_resolved() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_RETRY_ATTEMPTS", "1");
    let up = platform.start(Role::Up).unwrap();
    send(&platform, usage("LIC-1", 1).to_string().as_bytes(), "good").await;
    let garbage = send(&platform, b"garbage", "r-garbage").await;
    let mut moved = usage("LIC-1", 2);
    moved["type"] = json!("LicenseMoved");
    let moved = send(&platform, moved.to_string().as_bytes(), "r-moved").await;
    let later = send(
        &platform,
        &later_schema::value(LATER_ID, "LIC-2", 3),
        "r-later",
    )
    .await;
    let large = format!("{{{}}}", " ".repeat(2 << 20));
    let large = send(&platform, large.as_bytes(), "r-large").await;
    let letters = wait_for_letters(&platform, 4, &[]);
    let mut reasons: Vec<&str> = letters
        .iter()
        .map(|it| it["reason"].as_str().unwrap())
        .collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "too_large",
            "unknown_format",
            "unknown_schema",
            "unknown_type"
        ]
    );

    found_by_every_filter(&platform, &garbage, &moved);
    shown_as_far_as_it_goes(&platform, &moved, &later);
    redriven(&platform, &later, &large).await;
    resolved(&platform, &moved, &garbage).await;
    wrong_uses(&platform);
    wait_for_the_end(&platform);
    let verified = platform.verify().unwrap();
    assert_eq!(verified["equal"], true, "{verified}");
    Platform::stop(up).unwrap();
}

fn found_by_every_filter(platform: &Platform, garbage: &str, moved: &str) {
    for (filter, place) in [
        (["--reason", "unknown_format"], garbage),
        (["--license", "LIC-1"], moved),
        (["--tenant", "default"], moved),
        (["--request", "r-garbage"], garbage),
    ] {
        let found = listed(platform, &filter);
        assert_eq!(
            found.iter().map(place_of).collect::<Vec<_>>(),
            [place],
            "{filter:?}"
        );
    }
    assert!(listed(platform, &["--to", "2026-01-01T00:00:00Z"]).is_empty());
    let table = dlq(platform, 0, &["list", "--limit", "2"]);
    assert!(
        table.starts_with("REJECTED") && table.contains("--cursor"),
        "{table}"
    );
    // The same line again, and the cursor behind it, is the next page.
    let line = ["list", "--limit", "1", "--from", "2000-01-01T00:00:00Z"];
    let first = dlq(platform, 0, &line);
    let (_, cursor) = first.split_once("--cursor ").unwrap();
    let second = dlq(
        platform,
        0,
        &[&line[..], &["--cursor", cursor.trim()]].concat(),
    );
    assert_ne!(second.lines().nth(1), first.lines().nth(1), "{second}");
    assert!(second.starts_with("REJECTED"), "{second}");
}

fn shown_as_far_as_it_goes(platform: &Platform, moved: &str, later: &str) {
    let text = dlq(platform, 0, &["show", moved]);
    for words in [
        "unknown_type",
        "LIC-1",
        "header x-request-id",
        "r-moved",
        "LicenseMoved",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let letter: Value =
        serde_json::from_str(&dlq(platform, 0, &["show", later, "--json"])).unwrap();
    assert_eq!(letter["read"]["schema_id"], LATER_ID);
    let error = letter["read"]["stopped"]["error"].as_str().unwrap();
    assert!(error.contains("not in the registry"), "{error}");
    let hex = letter["record"]["value"]["hex"].as_str().unwrap();
    assert!(hex.starts_with("0000000002"), "{hex}");
}

async fn redriven(platform: &Platform, later: &str, large: &str) {
    let which = ["redrive", "--reason", "unknown_schema"];
    let text = dlq(platform, 0, &which);
    assert!(
        text.contains("1 would be redriven") && text.contains("--yes"),
        "{text}"
    );
    assert_eq!(
        wait_for_letters(platform, 1, &which[1..])[0]["redrives"],
        0,
        "nothing was done"
    );
    // Too early: it is rejected again, and the new letter knows which try that was.
    dlq(platform, 0, &[&which[..], &["--yes"]].concat());
    wait_until("it is rejected again", PATIENCE, || {
        let open = listed(platform, &which[1..]);
        open.len() == 1 && place_of(&open[0]) != later
    })
    .unwrap();
    let again = place_of(&listed(platform, &which[1..])[0]);
    let letter: Value =
        serde_json::from_str(&dlq(platform, 0, &["show", &again, "--json"])).unwrap();
    assert_eq!(letter["record"]["tries"], 2);
    let headers = letter["record"]["headers"].as_array().unwrap();
    let header = |name: &str| {
        let found = headers.iter().find(|it| it["name"] == name);
        found.unwrap()["value"]["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (header("x-attempt"), header("x-request-id")),
        ("1".to_owned(), "r-later".to_owned())
    );
    let first = [
        header("x-original-topic"),
        header("x-original-partition"),
        header("x-original-offset"),
    ];
    assert_eq!(first.join(":"), later);
    let text = dlq(
        platform,
        1,
        &["redrive", &again, "--attempts-max", "1", "--yes"],
    );
    assert!(text.contains("redriven 1 times already"), "{text}");

    redriven_when_it_can_be_read(platform, later, &again).await;
    let text = dlq(platform, 1, &["redrive", large, "--yes"]);
    assert!(
        text.contains("stays in its lane, and cannot be redriven"),
        "{text}"
    );
}

async fn redriven_when_it_can_be_read(platform: &Platform, later: &str, again: &str) {
    let which = ["redrive", "--reason", "unknown_schema"];
    later_schema::register(platform).await;
    wait_for_the_schema(platform, again);
    let text = dlq(
        platform,
        0,
        &[&which[..], &["--yes", "--rate", "50"]].concat(),
    );
    assert!(text.contains("1 redriven"), "{text}");
    wait_for_calls(platform, "LIC-2", 1);
    assert!(listed(platform, &which[1..]).is_empty());
    // Both letters once more: the event is known.
    let both = ["redrive", again, later, "--yes", "--json"];
    let done: Value = serde_json::from_str(&dlq(platform, 0, &both)).unwrap();
    assert_eq!(
        (&done["done"], &done["outcomes"]["redriven"]),
        (&json!(2), &json!(2))
    );
    wait_for_the_end(platform);
    assert_eq!(calls(platform, "LIC-2"), 1, "however often it is redriven");
}

async fn resolved(platform: &Platform, moved: &str, garbage: &str) {
    let shown = degraded(platform, "LIC-1");
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(
        (&shown[0]["reason"], place_of(&shown[0])),
        (&json!("unknown_type"), moved.to_owned())
    );
    assert_eq!(degraded(platform, "LIC-2"), Value::Null);
    let which = [
        "resolve",
        "--reason",
        "unknown_type",
        "--because",
        "sent by a later release",
    ];
    let text = dlq(platform, 0, &which);
    assert!(text.contains("1 would be resolved"), "{text}");
    assert_eq!(degraded(platform, "LIC-1"), shown);
    let text = dlq(platform, 0, &[&which[..], &["--yes"]].concat());
    assert!(text.starts_with("1 resolved"), "{text}");
    assert_eq!(degraded(platform, "LIC-1"), Value::Null);
    let text = dlq(platform, 0, &[&which[..], &["--yes"]].concat());
    assert!(text.starts_with("0 resolved"), "{text}");

    // Over HTTP: one that is open, and the one that is closed.
    let place = |text: &str| {
        let mut parts = text.rsplitn(3, ':');
        let number = |part: Option<&str>| part.unwrap().parse::<i64>().unwrap();
        let (offset, partition) = (number(parts.next()), number(parts.next()));
        json!({"topic": parts.next().unwrap(), "partition": partition, "offset": offset})
    };
    let body = json!({"letters": [place(garbage), place(moved)], "reason": "a test"});
    let url = format!("{}/v1/admin/dlq:resolve", platform.api());
    let answer = reqwest::Client::new().post(url).json(&body).send().await;
    let answer: Value = answer.unwrap().json().await.unwrap();
    assert_eq!(answer["done"], 1, "{answer}");
    assert_eq!(answer["items"][1]["outcome"], "closed_already");
    let letter: Value =
        serde_json::from_str(&dlq(platform, 0, &["show", moved, "--json"])).unwrap();
    assert_eq!(letter["resolution"], "sent by a later release");
}

fn wrong_uses(platform: &Platform) {
    let text = dlq(platform, 2, &["redrive"]);
    assert!(text.contains("say which"), "{text}");
    let text = dlq(platform, 2, &["list", "--reason", "bad"]);
    assert!(text.contains("reason: expected"), "{text}");
    dlq(platform, 2, &["show", "nowhere"]);
    let text = dlq(platform, 1, &["show", "license.events.v1:0:999"]);
    assert!(text.contains("no record of"), "{text}");
    let nobody = Port::free().unwrap();
    let nobody = format!("http://127.0.0.1:{}", nobody.number());
    let text = dlq(platform, 1, &["list", "--admin", &nobody]);
    assert!(text.contains("nobody listens"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_between_the_acknowledgement_and_the_mark_sends_a_record_again_and_it_counts_once()
{
    let bootstrap = Kafka::shared().bootstrap();
    let platform = Platform::new(bootstrap, &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_RETRY_ATTEMPTS", "1");
    let mut command = platform.command(&["up"]).unwrap();
    command.env("LICENSEFLOW_CRASH_AT", "after_redrive");
    let mut deadly = Process::start("up", &command).unwrap();
    wait_until("it is ready", PATIENCE, || platform.text("/readyz").is_ok()).unwrap();
    let place = send(
        &platform,
        &later_schema::value(LATER_ID, "LIC-2", 3),
        "r-later",
    )
    .await;
    wait_for_letters(&platform, 1, &[]);
    later_schema::register(&platform).await;
    wait_for_the_schema(&platform, &place);
    dlq(&platform, 1, &["redrive", "--all", "--yes"]);
    assert_ne!(deadly.wait(PATIENCE).unwrap(), 0, "it died");

    let up = platform.start(Role::Up).unwrap();
    wait_for_calls(&platform, "LIC-2", 1);
    let open = listed(&platform, &[]);
    assert_eq!(
        open.iter().map(place_of).collect::<Vec<_>>(),
        std::slice::from_ref(&place),
        "it was not marked"
    );
    dlq(&platform, 0, &["redrive", "--all", "--yes"]);
    let marked = listed(&platform, &["--state", "redriven"]);
    assert_eq!(marked.iter().map(place_of).collect::<Vec<_>>(), [place]);
    wait_until("it is in its lane three times", PATIENCE, || {
        platform.dealt_with() >= 3
    })
    .unwrap();
    assert_eq!(calls(&platform, "LIC-2"), 1);
    assert_eq!(platform.verify().unwrap()["equal"], true);
    Platform::stop(up).unwrap();
}
