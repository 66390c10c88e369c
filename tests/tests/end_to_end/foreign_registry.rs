//! The platform with a schema registry of another hand in the place of its own: it registers
//! there, a foreign client serializes through it, and the read model is the same function.

use std::process::Command;

use licenseflow_tests::harness::platform::finish;
use licenseflow_tests::harness::{ForeignRegistry, Kafka, Platform, Role, unique_prefix};
use serde_json::{Value, json};

async fn get(url: String) -> Value {
    let answer = reqwest::get(&url).await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    answer.json().await.unwrap()
}

fn history(platform: &Platform, seed: &str) -> String {
    let how = ["--seed", seed, "--events", "300", "--licenses", "30"];
    let file = platform.file(&format!("events-{seed}.ndjson"));
    std::fs::write(&file, platform.python("generate.py", &how).unwrap()).unwrap();
    file.to_str().unwrap().to_owned()
}

fn over_http(platform: &Platform) {
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--fail-with-body",
        "-H",
        "content-type: application/x-ndjson",
    ])
    .arg("--data-binary")
    .arg(format!("@{}", history(platform, "1")))
    .arg(format!("{}/v1/events", platform.api()));
    let answer: Value = serde_json::from_str(&finish(curl).unwrap()).unwrap();
    assert_eq!(
        answer["receipts"].as_array().unwrap().len(),
        300,
        "{answer}"
    );
}

fn python_through(registry: &str, platform: &Platform) {
    let topic = platform.events_topic();
    let to = [
        "--bootstrap",
        platform.bootstrap(),
        "--topic",
        &topic,
        "--registry",
        registry,
    ];
    let file = history(platform, "2");
    let how = [
        "--file",
        &file,
        "--format",
        "avro",
        "--codec",
        "zstd",
        "--shuffle",
        "--twice",
    ];
    platform
        .python("send.py", &[&to[..], &how[..]].concat())
        .unwrap();
    let poison = platform.python("send_poison.py", &to).unwrap();
    let poison: Value = serde_json::from_str(&poison).unwrap();
    assert!(poison.as_array().unwrap().len() > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_of_another_hand_takes_the_place_of_ours() {
    let registry = ForeignRegistry::start().unwrap();
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_RETRY_ATTEMPTS", "1")
        .with("SCHEMA_REGISTRY_URL", &registry.url());
    let up = platform.start(Role::Up).unwrap();
    let ours = reqwest::get(format!("{}/subjects", platform.registry())).await;
    assert!(
        ours.is_err(),
        "the embedded registry is not started beside it"
    );
    for topic in [platform.events_topic(), platform.bulk_topic()] {
        let subject = format!("{topic}-value");
        let versions = get(format!("{}/subjects/{subject}/versions", registry.url())).await;
        assert_eq!(versions, json!([1]), "{subject}");
        let level = get(format!("{}/config/{subject}", registry.url())).await;
        assert_eq!(
            level["compatibilityLevel"], "BACKWARD_TRANSITIVE",
            "{subject}"
        );
    }

    over_http(&platform);
    python_through(&registry.url(), &platform);
    let summary = platform.compare_through(&registry.url()).unwrap();
    println!("{summary}");
    assert_eq!(platform.verify().unwrap()["equal"], true);
    Platform::stop(up).unwrap();

    // Started again it finds its schema there, under the id that it had.
    let up = platform.start(Role::Up).unwrap();
    over_http(&platform);
    platform.compare_through(&registry.url()).unwrap();
    Platform::stop(up).unwrap();
}
