//! The schema evolves while version 1 reads: later producers register their schemas with
//! Confluent's client and write beside the earlier ones. What version 1 knows is applied, what it
//! does not is a dead letter, and what would break readers is refused by the registry.

use licenseflow_tests::harness::{Kafka, Platform, Role, project, unique_prefix};
use serde_json::{Value, json};

fn fixture(name: &str) -> String {
    let path = project().join("avro/schemas/fixtures").join(name);
    path.to_str().unwrap().to_owned()
}

fn history(platform: &Platform, seed: &str) -> String {
    let how = ["--seed", seed, "--events", "300", "--licenses", "30"];
    let file = platform.file(&format!("events-{seed}.ndjson"));
    std::fs::write(&file, platform.python("generate.py", &how).unwrap()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Whatever is the subject's latest schema is what this one writes.
fn send_by_the_latest(platform: &Platform, seed: &str) {
    let (topic, registry, file) = (
        platform.events_topic(),
        platform.registry(),
        history(platform, seed),
    );
    let to = [
        "--bootstrap",
        platform.bootstrap(),
        "--topic",
        &topic,
        "--registry",
        &registry,
    ];
    let how = [
        "--file",
        &file,
        "--format",
        "mixed",
        "--shuffle",
        "--twice",
        "--random-partitions",
    ];
    platform
        .python("send.py", &[&to[..], &how[..]].concat())
        .unwrap();
}

fn send_evolved(platform: &Platform, schema: &str, seed: &str, merges: &str) -> Value {
    let (topic, registry, file) = (
        platform.events_topic(),
        platform.registry(),
        history(platform, seed),
    );
    let to = [
        "--bootstrap",
        platform.bootstrap(),
        "--topic",
        &topic,
        "--registry",
        &registry,
    ];
    let schema = fixture(schema);
    let what = ["--schema", &schema, "--file", &file, "--merges", merges];
    let said = platform
        .python("send_evolved.py", &[&to[..], &what[..]].concat())
        .unwrap();
    serde_json::from_str(&said).unwrap()
}

async fn versions(platform: &Platform) -> Value {
    let subject = format!("{}-value", platform.events_topic());
    let url = format!("{}/subjects/{subject}/versions", platform.registry());
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// Tries to register a schema that differs from version 1 by one text in it.
async fn is_refused(platform: &Platform, from: &str, to: &str) {
    let path = project().join("avro/schemas/license_event.avsc");
    let first: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let schema = first.to_string().replacen(from, to, 1);
    assert_ne!(schema, first.to_string(), "{from} is in the schema");
    let subject = format!("{}-value", platform.events_topic());
    let url = format!("{}/subjects/{subject}/versions", platform.registry());
    let answer = reqwest::Client::new()
        .post(url)
        .json(&json!({"schema": schema}));
    let answer = answer.send().await.unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, 409, "{to}: {body}");
    assert_eq!(body["error_code"], 409, "{body}");
}

async fn incompatible_schemas_are_refused(platform: &Platform) {
    // A field without a default, another type, a field that old records lack a default for.
    let extra = "\"fields\":[{\"name\":\"must\",\"type\":\"string\"},";
    is_refused(platform, "\"fields\":[", extra).await;
    is_refused(platform, "\"type\":\"int\"", "\"type\":\"string\"").await;
    is_refused(
        platform,
        "\"name\":\"LicenseRenewed\"",
        "\"name\":\"LicenseProlonged\"",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_schemas_are_read_as_far_as_they_are_known() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let up = platform.start(Role::Up).unwrap();
    send_by_the_latest(&platform, "1");
    let second = send_evolved(&platform, "license_event_v2.avsc", "2", "0");
    send_by_the_latest(&platform, "3");
    incompatible_schemas_are_refused(&platform).await;
    let third = send_evolved(&platform, "license_event_v3.avsc", "4", "5");
    send_by_the_latest(&platform, "5");
    incompatible_schemas_are_refused(&platform).await;
    assert_eq!(versions(&platform).await, json!([1, 2, 3]));
    assert_ne!(second["schema_id"], third["schema_id"]);
    assert_eq!(third["unknown"].as_array().unwrap().len(), 5);

    // The fold in Python finds the same five unknown types, and nothing else in the letters.
    let summary = platform.compare().unwrap();
    println!("{summary}");
    assert_eq!(summary["rejected"], 5, "{summary}");
    for number in 0..5 {
        let url = format!("{}/v1/licenses/LIC-merged-{number}", platform.api());
        assert_eq!(
            reqwest::get(url).await.unwrap().status(),
            404,
            "nothing of it was applied"
        );
    }
    assert_eq!(platform.verify().unwrap()["equal"], true);

    // A process that starts now finds version 3 there, and its own version 1 still registered.
    Platform::stop(up).unwrap();
    let up = platform.start(Role::Up).unwrap();
    assert_eq!(versions(&platform).await, json!([1, 2, 3]));
    send_by_the_latest(&platform, "6");
    platform.compare().unwrap();
    Platform::stop(up).unwrap();
}
