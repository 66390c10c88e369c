//! Three brokers, of which one at a time is killed while clients produce over HTTP, through two
//! processes, and with a client of another hand: every receipt is in the read model.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use licenseflow_tests::harness::{
    Cluster, Platform, Process, Role, unique_prefix, wait_for_async, wait_until,
};
use serde_json::{Value, json};

use super::well_behaved::{Expects, WellBehaved};

/// How long the cluster may take to come to itself again.
const STEP: Duration = Duration::from_secs(90);

/// How many receipts each client must get while a broker is dead.
const MEANWHILE: usize = 100;

fn described(platform: &Platform) -> Value {
    let said = platform.run(&["topics", "describe", "--json"]).unwrap();
    serde_json::from_str(&said).unwrap()
}

fn partitions(described: &Value) -> impl Iterator<Item = &Value> {
    let topics = described.as_object().unwrap().values();
    topics.flat_map(|topic| topic["partitions"].as_array().unwrap())
}

fn length(value: &Value) -> usize {
    value.as_array().unwrap().len()
}

fn topics_are_replicated(platform: &Platform) {
    let described = described(platform);
    assert!(partitions(&described).count() > 12);
    assert!(
        partitions(&described).all(|it| length(&it["replicas"]) == 3),
        "{described}"
    );
    for (name, topic) in described.as_object().unwrap() {
        assert_eq!(topic["settings"]["min.insync.replicas"], "2", "{name}");
        assert_eq!(topic["deviations"], json!([]), "{name}");
    }
}

fn in_sync_again(platform: &Platform) {
    let in_sync = || partitions(&described(platform)).all(|it| length(&it["in_sync"]) == 3);
    wait_until("all replicas are in sync", STEP, in_sync).unwrap();
}

/// An intake with a registry of its own beside the other process.
async fn second_intake(platform: &Platform) -> Process {
    let second = Process::start("ingest", &platform.command(&["ingest"]).unwrap()).unwrap();
    let ready = async || {
        let answer = reqwest::get(format!("{}/readyz", platform.api())).await;
        answer.is_ok_and(|it| it.status() == 200).then_some(())
    };
    let ready = wait_for_async("the second intake is ready", STEP, ready).await;
    ready.unwrap_or_else(|error| panic!("{error}\n{}", second.stderr()));
    second
}

/// A client of another hand that sends one history after the other, each acknowledged by all.
fn python_sends(platform: &Platform, is_enough: &AtomicBool) -> u64 {
    let (mut sent, topic) = (0, platform.events_topic());
    let to = ["--bootstrap", platform.bootstrap(), "--topic", &topic];
    while !is_enough.load(Ordering::Acquire) {
        let seed = (sent / 200).to_string();
        let how = [
            "--seed",
            &seed,
            "--events",
            "200",
            "--licenses",
            "20",
            "--random-partitions",
        ];
        let said = platform
            .python("send.py", &[&to[..], &how[..]].concat())
            .unwrap();
        let said: Value = serde_json::from_str(&said).unwrap();
        sent += said["acknowledged"].as_u64().unwrap();
    }
    sent
}

async fn id_at(platform: &Platform, subject: &str, schema: &str) -> Option<u64> {
    let url = format!("{}/subjects/{subject}/versions", platform.registry());
    let asked = reqwest::Client::new()
        .post(url)
        .json(&json!({"schema": schema}));
    let answer = asked.send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    answer.json::<Value>().await.ok()?["id"].as_u64()
}

/// Both registries are asked at once for schemas that neither knows.
async fn registries_agree(one: &Platform, other: &Platform, round: &str) {
    for number in 0..5 {
        let subject = format!("agree-{round}-{number}");
        let schema =
            json!({"type": "fixed", "name": format!("F{round}{number}"), "size": 4}).to_string();
        let ask = async |at: &Platform| {
            let id =
                wait_for_async("an id", STEP, async || id_at(at, &subject, &schema).await).await;
            id.unwrap()
        };
        let (first, second) = tokio::join!(ask(one), ask(other));
        assert_eq!(first, second, "{subject}");
        let url = format!("{}/schemas/ids/{first}", other.registry());
        let found: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        assert_eq!(found["schema"].as_str(), Some(schema.as_str()), "{found}");
    }
}

/// Waits until each client has so many receipts more.
async fn more_receipts(clients: &[WellBehaved]) {
    let before: Vec<usize> = clients.iter().map(WellBehaved::given).collect();
    let more = async || {
        let mut both = clients.iter().zip(&before);
        both.all(|(client, before)| client.given() >= before + MEANWHILE)
            .then_some(())
    };
    wait_for_async("receipts", STEP, more).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_broker_of_three_may_die_and_every_receipt_is_in_the_read_model() {
    let mut cluster = Cluster::three().unwrap();
    let prefix = unique_prefix();
    let platform = Platform::new(&cluster.bootstrap(), &prefix).unwrap();
    let beside = Platform::new(&cluster.bootstrap(), &prefix).unwrap();
    let mut up = platform.start(Role::Up).unwrap();
    let mut ingest = second_intake(&beside).await;
    topics_are_replicated(&platform);
    registries_agree(&platform, &beside, "before").await;

    let clients = [(&platform, "one"), (&beside, "two")]
        .map(|(at, name)| WellBehaved::begin(at.api(), name, Expects::BrokersAway));
    let (is_enough, sent) = (AtomicBool::new(false), std::sync::OnceLock::new());
    std::thread::scope(|scope| {
        scope.spawn(|| sent.set(python_sends(&platform, &is_enough)));
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            runtime.block_on(async {
                for broker in [1, 2] {
                    more_receipts(&clients).await;
                    cluster.kill(broker).unwrap();
                    more_receipts(&clients).await;
                    registries_agree(&platform, &beside, &format!("without{broker}")).await;
                    cluster.start_again(broker).unwrap();
                    in_sync_again(&platform);
                }
            });
        });
        is_enough.store(true, Ordering::Release);
    });
    println!("Python had {:?} acknowledged", sent.get());
    for client in clients {
        let receipts = client.end().await;
        println!(
            "{} receipts, {} times told to come again",
            receipts.count(),
            receipts.refusals
        );
        receipts.are_in_the_read_model(&platform.api()).await;
    }
    let summary = platform.compare().unwrap();
    assert!(
        summary["records"].as_u64() >= sent.get().copied(),
        "{summary}"
    );
    assert_eq!(platform.verify().unwrap()["equal"], true);
    assert!(up.is_running().unwrap() && ingest.is_running().unwrap());
    Platform::stop(ingest).unwrap();
    Platform::stop(up).unwrap();
}
