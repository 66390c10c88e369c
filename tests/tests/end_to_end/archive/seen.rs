//! What is seen of a log and of a read model, before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use licenseflow_runtime::log::{Header, KafkaSettings, Reader, Record, Start, Stop};
use licenseflow_tests::harness::platform::finish;
use licenseflow_tests::harness::{Platform, python, wait_until};
use serde_json::Value;

use super::stage::{PATIENCE, manifest};

/// All of a record but where it lay.
pub(super) type Content = (Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>);

/// Both lanes: the records of each partition, in order.
pub(super) type Lanes = BTreeMap<String, BTreeMap<i32, Vec<Content>>>;

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

/// The offsets of each partition that have a record.
pub(super) fn offsets(platform: &Platform) -> BTreeMap<(String, i32), Vec<i64>> {
    let mut all: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for record in records(platform) {
        let of = (record.topic.to_string(), record.partition);
        all.entry(of).or_default().push(record.offset);
    }
    all
}

/// How many records there are.
pub(super) fn count(lanes: &Lanes) -> usize {
    lanes
        .values()
        .flat_map(|it| it.values())
        .map(Vec::len)
        .sum()
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
