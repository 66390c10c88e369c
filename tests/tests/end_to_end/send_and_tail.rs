//! `events send` and `events tail` as whoever types them meets them: the one killed in the middle of a
//! file and started again, the other following what other clients write.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use licenseflow_tests::harness::{
    Kafka, Platform, Process, Role, Signal, kcat, unique_prefix, wait_for, wait_until,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// How many lines the file has, over how many licenses.
const LINES: u64 = 100_000;
const LICENSES: u64 = 200;

/// How often the sender is killed on its way.
const KILLS: usize = 3;

/// How long a step may take, the machine being busy with other tests.
const STEP: Duration = Duration::from_secs(120);

fn license(line: u64) -> String {
    format!("LIC-{}", line % LICENSES)
}

fn event_id(line: u64) -> String {
    Uuid::from_u128(u128::from(line) + 1)
        .hyphenated()
        .to_string()
}

fn usage(event_id: &str, license: &str) -> Value {
    json!({
        "event_id": event_id, "license_id": license, "occurred_at": "2026-01-31T10:00:00Z",
        "type": "UsageRecorded", "data": {"metric": "calls", "quantity": 1},
    })
}

/// Where the run on this progress file stands: its lines and bytes.
fn progress(state: &Path) -> (u64, u64) {
    let Ok(text) = std::fs::read(state) else {
        return (0, 0);
    };
    let said: Value = serde_json::from_slice(&text).unwrap();
    (
        said["lines"].as_u64().unwrap(),
        said["bytes"].as_u64().unwrap(),
    )
}

/// How often each event id is in the lane, by a header, read by a client that is not ours.
fn in_the_lane(platform: &Platform) -> BTreeMap<String, usize> {
    let headers = ["-f", "%h\\n"];
    let lines = kcat::consume(platform.bootstrap(), &platform.events_topic(), &headers).unwrap();
    let mut counted = BTreeMap::new();
    for line in lines.lines() {
        let id = line.split(',').find_map(|it| it.strip_prefix("ce_id="));
        *counted.entry(id.unwrap().to_owned()).or_default() += 1;
    }
    counted
}

/// Each license has as many calls as the file has lines of it.
fn each_counts_once(platform: &Platform) {
    let caught_up = || {
        let position = platform.json("/v1/position").unwrap();
        let partitions = position["partitions"].as_array().unwrap();
        let of_lane = || {
            partitions
                .iter()
                .filter(|it| it["topic"] == platform.events_topic())
        };
        of_lane().count() > 0 && of_lane().all(|it| it["lag_events"] == 0)
    };
    wait_until("the read model has all of it", STEP, caught_up).unwrap();
    for number in 0..LICENSES {
        let id = license(number);
        let usage = platform.json(&format!("/v1/licenses/{id}/usage")).unwrap();
        let expected = json!([{"license_id": id, "metric": "calls", "quantity": LINES / LICENSES, "tenant_id": "default"}]);
        assert_eq!(usage["items"], expected, "{usage}");
    }
}

#[test]
fn a_sender_that_is_killed_and_started_again_sends_every_event_and_each_counts_once() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let up = platform.start(Role::Up).unwrap();
    let (file, state) = (platform.file("events.ndjson"), platform.file("progress"));
    let lines = (0..LINES).map(|it| format!("{}\n", usage(&event_id(it), &license(it))));
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let bytes = std::fs::metadata(&file).unwrap().len();
    let (path, state_path) = (file.to_str().unwrap(), state.to_str().unwrap());
    let send = ["events", "send", path, "--state", state_path, "--json"];

    // No faster than 20 000 lines a second, whatever the machine.
    let mut slowly = platform.command(&send).unwrap();
    slowly.args(["-X", "linger.ms=100"]);
    slowly.args(["-X", "queue.buffering.max.messages=2000"]);
    let mut stood = 0;
    for kill in 0..KILLS {
        let mut sender = Process::start("send", &slowly).unwrap();
        wait_until("the sender goes on", STEP, || progress(&state).0 > stood)
            .unwrap_or_else(|error| panic!("kill {kill}: {error}\n{}", sender.stderr()));
        sender.kill().unwrap();
        // It may have written down more between the look and the kill.
        stood = progress(&state).0;
        println!("kill {kill} at line {stood} of {LINES}");
        assert!(stood < LINES, "the kill was not in the middle of the file");
    }
    let said: Value = serde_json::from_str(&platform.run(&send).unwrap()).unwrap();
    assert_eq!(said["complete"], true, "{said}");
    assert_eq!(
        said["lines"], LINES,
        "it counts what earlier runs did: {said}"
    );
    assert_eq!(
        said["acknowledged"],
        LINES - stood,
        "it did the rest alone: {said}"
    );
    assert_eq!(progress(&state), (LINES, bytes));

    let counted = in_the_lane(&platform);
    let twice = counted.values().filter(|count| **count > 1).count();
    println!("{twice} events are in the lane more than once");
    let missing: Vec<u64> = (0..LINES)
        .filter(|it| !counted.contains_key(&event_id(*it)))
        .collect();
    assert!(missing.is_empty(), "not in the lane: {missing:?}");
    assert_eq!(counted.len() as u64, LINES);
    assert!(twice > 0, "what was under way at a kill is sent again");
    each_counts_once(&platform);
    assert_eq!(platform.verify().unwrap()["equal"], true);
    Platform::stop(up).unwrap();
}

/// The lines of a `tail --json` that are whole.
fn tailed(tail: &Process) -> Vec<Value> {
    let text = tail.stdout();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits for the line of an event.
fn line_of(tail: &Process, event_id: &str) -> Value {
    let is_it = |line: &Value| line["event"]["event_id"] == event_id;
    wait_for("tail shows the event", STEP, || {
        tailed(tail).into_iter().find(is_it)
    })
    .unwrap_or_else(|error| panic!("{error}\n{}\n{}", tail.stdout(), tail.stderr()))
}

fn interrupted(mut tail: Process) {
    tail.signal(Signal::Interrupt).unwrap();
    let code = tail.wait(Duration::from_secs(20)).unwrap();
    assert_eq!(code, 0, "{}", tail.stderr());
    let said = tail.stderr();
    let is_trouble = |line: &str| line.contains("ERROR") || line.contains("WARN");
    assert!(!said.lines().any(is_trouble), "{said}");
}

/// An event in Avro from the Python client; its id.
fn python_sends(platform: &Platform, license: &str) -> String {
    let id = Uuid::now_v7().hyphenated().to_string();
    let file = platform.file(&format!("{id}.ndjson"));
    std::fs::write(&file, usage(&id, license).to_string()).unwrap();
    let (registry, topic) = (platform.registry(), platform.events_topic());
    let to = ["--bootstrap", platform.bootstrap(), "--topic", &topic];
    let how = ["--registry", &registry, "--format", "avro", "--headers"];
    let what = ["--file", file.to_str().unwrap()];
    platform
        .python("send.py", &[&to[..], &how[..], &what[..]].concat())
        .unwrap();
    id
}

/// An event in JSON from kcat; its id.
fn kcat_sends(platform: &Platform, license: &str) -> String {
    let id = Uuid::now_v7().hyphenated().to_string();
    let how = ["-H", "x-request-id=by-kcat", "-k", license];
    let line = format!("{}\n", usage(&id, license));
    kcat::produce(platform.bootstrap(), &platform.events_topic(), &how, &line).unwrap();
    id
}

/// Has followed from the end on once it shows an event: events are sent until it does.
fn follows(platform: &Platform, tail: &Process) {
    wait_until("tail follows", STEP, || {
        kcat_sends(platform, "LIC-first");
        !tailed(tail).is_empty()
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", tail.stderr()));
}

#[test]
fn tail_follows_what_other_clients_write_from_the_end_on_and_an_interrupt_ends_it() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let up = platform.start(Role::Up).unwrap();
    let before = kcat_sends(&platform, "LIC-before");

    let json = platform.command(&["events", "tail", "--json"]).unwrap();
    let tail = Process::start("tail", &json).unwrap();
    follows(&platform, &tail);
    let readable = platform.command(&["events", "tail", "--license", "LIC-2"]);
    let beside = Process::start("tail", &readable.unwrap()).unwrap();

    let id = python_sends(&platform, "LIC-1");
    let line = line_of(&tail, &id);
    assert_eq!(line["topic"], platform.events_topic());
    assert_eq!(line["key"], "LIC-1");
    assert_eq!(line["event"]["type"], "UsageRecorded");
    assert_eq!(
        line["event"]["data"],
        json!({"metric": "calls", "quantity": 1})
    );
    assert_eq!(line["event"]["occurred_at"], "2026-01-31T10:00:00.000000Z");
    let id = kcat_sends(&platform, "LIC-1");
    assert_eq!(line_of(&tail, &id)["request_id"], "by-kcat");
    let shown = tailed(&tail);
    let old = shown
        .iter()
        .find(|it| it["event"]["event_id"] == before.as_str());
    assert_eq!(old, None, "it starts at the end");
    interrupted(tail);

    wait_until("the other shows its license", STEP, || {
        kcat_sends(&platform, "LIC-2");
        beside.stdout().contains("default/LIC-2 UsageRecorded")
    })
    .unwrap();
    assert!(!beside.stdout().contains("LIC-1"), "{}", beside.stdout());
    interrupted(beside);
    Platform::stop(up).unwrap();
}

#[test]
fn tail_shows_a_dead_letter_with_its_reason_and_its_headers() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let up = platform.start(Role::Up).unwrap();
    let command = platform.command(&[
        "events",
        "tail",
        "--topic",
        "dlq",
        "--from-beginning",
        "--json",
    ]);
    let tail = Process::start("tail", &command.unwrap()).unwrap();
    let how = [
        "-p",
        "3",
        "-k",
        "LIC-9",
        "-H",
        "x-request-id=of-poison",
        "-H",
        "mine=yes",
    ];
    let poison = "{\"event_id\": 1}\n";
    kcat::produce(platform.bootstrap(), &platform.events_topic(), &how, poison).unwrap();

    let line = wait_for("tail shows the letter", STEP, || tailed(&tail).pop())
        .unwrap_or_else(|error| panic!("{error}\n{}\n{}", tail.stderr(), up.stderr()));
    let letter = &line["dead_letter"];
    assert_eq!(letter["reason"], "invalid_event", "{line}");
    assert_eq!(
        letter["original"],
        format!("{}:3:0", platform.events_topic())
    );
    assert!(
        letter["error"].as_str().unwrap().starts_with("/type"),
        "{line}"
    );
    assert_eq!(line["key"], "LIC-9");
    assert_eq!(line["request_id"], "of-poison");
    let header = |name: &str| {
        let headers = line["headers"].as_array().unwrap();
        let of_name: Vec<&Value> = headers.iter().filter(|it| it["name"] == name).collect();
        assert_eq!(of_name.len(), 1, "{name}: {line}");
        of_name[0]["value"].clone()
    };
    assert_eq!(header("mine"), "yes", "the original's own headers stay");
    assert_eq!(header("x-reason"), "invalid_event");
    assert_eq!(header("x-original-partition"), "3");
    assert_eq!(header("x-original-offset"), "0");
    // Spring writes numbers in binary: what is no text is shown escaped.
    assert_eq!(
        header("kafka_dlt-original-partition"),
        "\\x00\\x00\\x00\\x03"
    );

    let readable = [
        "events",
        "tail",
        "--topic",
        "dlq",
        "--from-beginning",
        "--until-end",
    ];
    let said = platform.run(&readable).unwrap();
    assert!(said.contains("LIC-9"), "{said}");
    assert!(said.contains("rejected=invalid_event from="), "{said}");
    interrupted(tail);
    Platform::stop(up).unwrap();
}
