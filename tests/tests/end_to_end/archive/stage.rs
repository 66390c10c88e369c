//! What the archive is tried with: a log of everything, and ways to look at it and at what is kept of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use licenseflow_tests::harness::{Folder, Platform, Process, Signal, wait_until};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;

pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// What a shell says of a process that ended itself by abort.
pub(super) const ENDED_BY_ABORT: i32 = 128 + 6;

pub(super) fn folder() -> Folder {
    Folder::new("archive").unwrap()
}

/// An installation that writes nothing into the lanes by itself: what waits for its schema is given up at once.
pub(super) fn quiet(bootstrap: &str, prefix: &str) -> Platform {
    let platform = Platform::new(bootstrap, prefix).unwrap();
    platform.with("LICENSEFLOW_RETRY_ATTEMPTS", "1")
}

/// A history in both lanes: Avro and JSON, poison and conflicts, headers, transactions committed and aborted.
pub(super) fn fill(platform: &Platform, seed: u32, records: u32) {
    let (seed, count) = (seed.to_string(), records.to_string());
    let bulk = (records / 2).to_string();
    let history = ["events", "generate", "--licenses", "150", "--seed", &seed];
    let shares = [
        "--conflicting",
        "0.03",
        "--poison",
        "0.02",
        "--voided",
        "0.02",
    ];
    let generate = |more: &[&str]| platform.run(&[&history, &shares, more].concat()).unwrap();
    generate(&["--count", &count]);
    generate(&["--count", &bulk, "--lane", "bulk"]);
    let to = [
        "--bootstrap",
        platform.bootstrap(),
        "--registry",
        &platform.registry(),
        "--topic",
        &platform.events_topic(),
        "--topic",
        &platform.bulk_topic(),
        "--subject-topic",
        &platform.events_topic(),
    ];
    let what = ["--events", &bulk, "--seed", &seed, "--format", "mixed"];
    let how = ["--headers", "--null-keys", "--twice", "--codec", "gzip"];
    let id = format!("{}archive", platform.prefix());
    let transactions = ["--transactional-id", &id, "--random-partitions"];
    let sent = [&to[..], &what, &how, &transactions].concat();
    platform.python("send.py", &sent).unwrap();
}

/// Sends a value to the interactive lane, with a header that stands twice, once without a value.
pub(super) async fn send(platform: &Platform, value: &[u8]) {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", platform.bootstrap());
    let producer: FutureProducer = settings.create().unwrap();
    let topic = platform.events_topic();
    let header = |value: Option<&'static [u8]>| rdkafka::message::Header { key: "note", value };
    let headers = rdkafka::message::OwnedHeaders::new()
        .insert(header(Some(&[0, 159, 146, 150])))
        .insert(header(None::<&[u8]>));
    let record = FutureRecord::<(), [u8]>::to(&topic)
        .payload(value)
        .headers(headers);
    producer.send(record, PATIENCE).await.unwrap();
}

/// What a command that ended has said.
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

pub(super) fn tried(platform: &Platform, arguments: &[&str], with: &[(&str, &str)]) -> Ended {
    let mut command = platform.command(arguments).unwrap();
    command.envs(with.iter().copied());
    let mut process = Process::start(arguments[0], &command).unwrap();
    let code = process.wait(PATIENCE).unwrap();
    Ended {
        code,
        stdout: process.stdout(),
        stderr: process.stderr(),
    }
}

/// Kills a command from outside once something is so, or lets it be where it was faster.
pub(super) fn killed(platform: &Platform, arguments: &[&str], when: impl Fn() -> bool) {
    let mut process = Process::start("killed", &platform.command(arguments).unwrap()).unwrap();
    wait_until("it is that far", PATIENCE, || {
        when() || !process.is_running().unwrap()
    })
    .unwrap();
    // It may be done already.
    let _ = process.signal(Signal::Kill);
    process.wait(PATIENCE).unwrap();
}

fn done(platform: &Platform, arguments: &[&str]) -> Value {
    let ended = tried(platform, &[arguments, &["--json"]].concat(), &[]);
    assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// Archives to the end.
pub(super) fn archived(platform: &Platform, to: &str) -> Value {
    done(platform, &["archive", "--to", to])
}

/// Restores, or checks, to the end.
pub(super) fn restored(platform: &Platform, arguments: &[&str]) -> Value {
    done(platform, &[&["restore"], arguments].concat())
}

pub(super) fn described(platform: &Platform) -> String {
    platform.run(&["topics", "describe"]).unwrap()
}

/// The files of an archive in a folder, by their names in it. What is written at the moment is none.
pub(super) fn files(folder: &str) -> BTreeSet<String> {
    fn walk(root: &Path, folder: &Path, all: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if path.is_dir() {
                walk(root, &path, all);
            } else if !name.contains('#') {
                all.insert(name);
            }
        }
    }
    let mut all = BTreeSet::new();
    walk(Path::new(folder), Path::new(folder), &mut all);
    all
}

pub(super) fn manifest(folder: &str) -> Value {
    let text = fs::read_to_string(format!("{folder}/manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The files that the manifest names, and itself.
pub(super) fn named(folder: &str) -> Vec<String> {
    let manifest = manifest(folder);
    let parts = manifest["manifest"]["parts"].as_array().unwrap().iter();
    let files = parts.map(|part| part["file"].as_str().unwrap().to_owned());
    files.chain(["manifest.json".to_owned()]).collect()
}
