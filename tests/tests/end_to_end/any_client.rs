//! Any client in: whatever the language, form, codec, partition and order, the API answers what a
//! fold in Python, written from the contract alone, gives.

use std::process::Command;

use licenseflow_tests::harness::platform::finish;
use licenseflow_tests::harness::{Kafka, Platform, Role, kcat, project, unique_prefix};

/// What a client sends, in the JSON form.
fn history(platform: &Platform, seed: &str, events: &str) -> String {
    let lines = platform.python(
        "generate.py",
        &["--seed", seed, "--events", events, "--licenses", "40"],
    );
    lines.unwrap()
}

fn send(platform: &Platform, events: &str, how: &[&str]) {
    let registry = platform.registry();
    let topic = platform.events_topic();
    let mut arguments = vec![
        "--bootstrap",
        platform.bootstrap(),
        "--topic",
        &topic,
        "--registry",
        &registry,
    ];
    arguments.extend(["--file", events]);
    arguments.extend(how);
    platform.python("send.py", &arguments).unwrap();
}

fn python_clients(platform: &Platform) {
    let both = platform.bulk_topic();
    let sends: [(&str, &[&str]); 5] = [
        (
            "1",
            &[
                "--format",
                "json",
                "--codec",
                "gzip",
                "--random-partitions",
                "--shuffle",
                "--twice",
            ],
        ),
        (
            "2",
            &[
                "--format",
                "avro",
                "--codec",
                "snappy",
                "--headers",
                "--twice",
                "--shuffle",
            ],
        ),
        (
            "3",
            &[
                "--format",
                "mixed",
                "--codec",
                "lz4",
                "--topic",
                &both,
                "--shuffle",
                "--random-partitions",
            ],
        ),
        (
            "4",
            &[
                "--format",
                "mixed",
                "--codec",
                "zstd",
                "--null-keys",
                "--headers",
                "--partitioner",
                "murmur2_random",
            ],
        ),
        (
            "5",
            &[
                "--format",
                "avro",
                "--codec",
                "none",
                "--transactional-id",
                "commits-and-aborts",
                "--shuffle",
            ],
        ),
    ];
    for (seed, how) in sends {
        let file = platform.file(&format!("events-{seed}.ndjson"));
        std::fs::write(&file, history(platform, seed, "600")).unwrap();
        send(platform, file.to_str().unwrap(), how);
    }
}

fn clients_of_a_shell(platform: &Platform) {
    let topic = platform.events_topic();
    let kcat_headers = ["-z", "snappy", "-H", "x-request-id=from-kcat"];
    kcat::produce(
        platform.bootstrap(),
        &topic,
        &kcat_headers,
        &history(platform, "6", "200"),
    )
    .unwrap();

    let lines = history(platform, "7", "200");
    let with_header: String = lines
        .lines()
        .map(|line| format!("x-request-id:from-java\t{line}\n"))
        .collect();
    let file = platform.file("java.tsv");
    std::fs::write(&file, with_header).unwrap();
    let mut java = Command::new(project().join("deploy/local/kafka"));
    java.args([
        "tool",
        "org.apache.kafka.tools.ConsoleProducer",
        "--bootstrap-server",
        platform.bootstrap(),
    ])
    .args([
        "--topic",
        &topic,
        "--compression-codec",
        "lz4",
        "--reader-property",
        "parse.headers=true",
    ])
    .stdin(std::fs::File::open(&file).unwrap());
    finish(java).unwrap();

    let file = platform.file("curl.ndjson");
    std::fs::write(&file, history(platform, "8", "200")).unwrap();
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--fail-with-body",
        "-H",
        "content-type: application/x-ndjson",
        "-H",
        "x-request-id: from-curl",
    ])
    .arg("--data-binary")
    .arg(format!("@{}", file.display()))
    .arg(format!("{}/v1/events", platform.api()));
    let answer: serde_json::Value = serde_json::from_str(&finish(curl).unwrap()).unwrap();
    assert_eq!(answer["request_id"], "from-curl");
    assert_eq!(
        answer["receipts"].as_array().unwrap().len(),
        200,
        "{answer}"
    );
}

#[test]
fn whatever_any_client_sends_the_api_answers_what_an_independent_fold_gives() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_RETRY_ATTEMPTS", "1");
    let up = platform.start(Role::Up).unwrap();
    python_clients(&platform);
    let (topic, registry) = (platform.events_topic(), platform.registry());
    let poison = [
        "--bootstrap",
        platform.bootstrap(),
        "--topic",
        &topic,
        "--registry",
        &registry,
    ];
    let poison = platform.python("send_poison.py", &poison).unwrap();
    let poison: Vec<serde_json::Value> = serde_json::from_str(&poison).unwrap();
    assert!(poison.len() > 100, "poison of every reason was sent");
    clients_of_a_shell(&platform);

    let summary = platform.compare().unwrap();
    println!("{summary}");
    assert_eq!(platform.verify().unwrap()["equal"], true);
    Platform::stop(up).unwrap();

    // A new read model from the same log is the same, and nothing of it depends on the batches.
    std::fs::remove_file(platform.store()).unwrap();
    let up = platform.start(Role::Up).unwrap();
    platform.compare().unwrap();
    Platform::stop(up).unwrap();
}
