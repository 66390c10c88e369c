//! What the archive is tried with: a log of everything, and ways to look at it and at what is kept of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use licenseflow_runtime::log::{Header, KafkaSettings, Reader, Record, Start, Stop};
use licenseflow_tests::harness::platform::finish;
use licenseflow_tests::harness::{Folder, Platform, Process, Signal, python, wait_until};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(90);

/// What a shell says of a process that ended itself by abort.
pub(super) const ENDED_BY_ABORT: i32 = 128 + 6;

/// All of a record but where it lay.
pub(super) type Content = (Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>);

/// Both lanes: the records of each partition, in order.
pub(super) type Lanes = BTreeMap<String, BTreeMap<i32, Vec<Content>>>;

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

fn records(platform: &Platform) -> Vec<Record> {
    let settings = KafkaSettings::new(platform.bootstrap(), "test");
    let topics = [platform.bulk_topic(), platform.events_topic()];
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let (start, stop) = (Start::Beginning, Stop::AtEnd);
    let mut reader = Reader::open(&settings, &topics, &start, stop, PATIENCE).unwrap();
    let mut all = Vec::new();
    reader
        .drain(|record| {
            all.push(record);
            Ok::<(), licenseflow_runtime::log::Error>(())
        })
        .unwrap();
    all
}

/// Both lanes, committed records alone.
pub(super) fn lanes(platform: &Platform) -> Lanes {
    let mut lanes: Lanes = [platform.bulk_topic(), platform.events_topic()]
        .map(|topic| (topic, BTreeMap::new()))
        .into();
    for record in records(platform) {
        let lane = lanes.get_mut(&*record.topic).unwrap();
        let content = (
            record.timestamp_ms,
            record.key,
            record.value,
            record.headers,
        );
        lane.entry(record.partition).or_default().push(content);
    }
    lanes
}

/// Waits until all is dealt with, and gives the digest.
pub(super) fn start_and_settle(platform: &Platform) -> Value {
    let mut digest = Value::Null;
    wait_until("all is dealt with", PATIENCE, || {
        let position = platform.json("/v1/position").unwrap_or_default();
        let partitions = position["partitions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        digest = position["digest"].clone();
        partitions.len() == 24 && partitions.iter().all(|it| it["lag_events"] == 0)
    })
    .unwrap();
    digest
}

/// What was known of some licenses at some times between the first record and the last.
pub(super) fn moments(platform: &Platform) -> Vec<(String, Value)> {
    let times: BTreeSet<i64> = records(platform)
        .iter()
        .filter_map(|it| it.timestamp_ms)
        .collect();
    let times: Vec<i64> = times.into_iter().collect();
    let items = platform.json("/v1/licenses?limit=12&sort=license_id&fields=license_id");
    let items = items.unwrap()["items"].as_array().unwrap().clone();
    assert!(items.len() > 5 && times.len() > 20, "{} times", times.len());
    let mut all = Vec::new();
    for item in &items {
        let license = item["license_id"].as_str().unwrap();
        for tenth in 1..10 {
            let time = micros(times[times.len() * tenth / 10]);
            let path = format!("/v1/licenses/{license}?known_at={time}&as_of={time}");
            // A license that nobody had heard of by then is no error of the test.
            let answer = platform.json(&path).unwrap_or(Value::Null);
            all.push((path, answer));
        }
    }
    let known = all.iter().filter(|(_, answer)| !answer.is_null()).count();
    assert!(
        known > all.len() / 10 && known < all.len(),
        "{known} of {}",
        all.len()
    );
    all
}

/// A time as the API takes it.
fn micros(time_ms: i64) -> String {
    licenseflow_avro::time::format_rfc3339(time_ms * 1000)
}

/// Every subject with its versions, and every schema by its id, as the registry tells them.
pub(super) fn schemas(platform: &Platform) -> BTreeMap<String, String> {
    let get = |path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sf", "--max-time", "30"]);
        curl.arg(format!("{}/{path}", platform.registry()));
        finish(curl)
    };
    let mut all = BTreeMap::new();
    let subjects: Vec<String> = serde_json::from_str(&get("subjects").unwrap()).unwrap();
    for subject in subjects {
        for path in ["versions/latest", "versions"] {
            let path = format!("subjects/{subject}/{path}");
            all.insert(path.clone(), get(&path).unwrap());
        }
        let level = format!("config/{subject}");
        all.insert(level.clone(), get(&level).unwrap());
    }
    for id in 1..=2 {
        let path = format!("schemas/ids/{id}");
        all.insert(path.clone(), get(&path).unwrap());
    }
    all
}

/// Prints the records of files as JSON, a line each, with a Python library for Avro.
const BY_FASTAVRO: &str = "
import fastavro, json, sys
hexed = lambda it: None if it is None else it.hex()
for name in sys.argv[1:]:
    with open(name, 'rb') as file:
        reader = fastavro.reader(file)
        of = [reader.metadata['licenseflow.' + it] for it in ('topic', 'partition')]
        for record in reader:
            time = round(record['timestamp'].timestamp() * 1000)
            headers = [[it['name'], hexed(it['value'])] for it in record['headers']]
            print(json.dumps([of, [time, hexed(record['key']), hexed(record['value']), headers]]))
";

/// Reads the parts with zstd's own means and with an Avro library of another hand, and finds the same records.
pub(super) fn read_by_another_hand(platform: &Platform, folder: &Path, log: &Lanes) {
    let manifest = manifest(folder.to_str().unwrap());
    let parts = manifest["manifest"]["parts"].as_array().unwrap();
    let mut plain = Command::new(python().unwrap());
    plain.args(["-c", BY_FASTAVRO]);
    for (number, part) in parts.iter().enumerate() {
        let file = fs::File::open(folder.join(part["file"].as_str().unwrap())).unwrap();
        let path = platform.file(&format!("{number}.avro"));
        fs::write(&path, zstd::decode_all(file).unwrap()).unwrap();
        plain.arg(path);
    }
    let mut theirs: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
    for line in finish(plain).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |at: usize| line[0][at].as_str().unwrap().to_owned();
        let of = theirs.entry((text(0), text(1)));
        of.or_default().push(line[1].clone());
    }
    let hex = |bytes: &Option<Vec<u8>>| {
        let digits =
            |bytes: &Vec<u8>| -> String { bytes.iter().map(|it| format!("{it:02x}")).collect() };
        bytes.as_ref().map(digits)
    };
    for topic in [platform.events_topic(), platform.bulk_topic()] {
        for (partition, records) in &log[&topic] {
            let each = records.iter().map(|(time, key, value, headers)| {
                let headers = headers.iter().map(|it| (it.name.clone(), hex(&it.value)));
                let headers: Vec<_> = headers.collect();
                serde_json::json!([time, hex(key), hex(value), headers])
            });
            let ours: Vec<Value> = each.collect();
            let found = &theirs[&(topic.clone(), partition.to_string())];
            assert!(*found == ours, "{topic}:{partition}");
        }
    }
}
