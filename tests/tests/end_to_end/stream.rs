//! The stream of events through the binary: an event that was just sent comes on it, a stop says so, and
//! the next process goes on where it was cut.

use std::process::Command;
use std::time::Duration;

use licenseflow_tests::harness::platform::finish;
use licenseflow_tests::harness::{Kafka, Platform, Process, Role, unique_prefix, wait_until};
use serde_json::{Value, json};

/// How long a step may take, the machine being busy with other tests.
const STEP: Duration = Duration::from_secs(60);

fn send(platform: &Platform, number: usize) {
    let event = json!({
        "event_id": format!("00000000-0000-4000-8000-{number:012}"),
        "license_id": format!("LIC-{number}"), "occurred_at": "2026-01-31T10:00:00Z",
        "type": "UsageRecorded", "data": {"metric": "calls", "quantity": 1},
    });
    let mut curl = Command::new("curl");
    curl.args([
        "-sf",
        "--max-time",
        "30",
        "-H",
        "content-type: application/json",
        "-d",
    ])
    .arg(event.to_string())
    .arg(format!("{}/v1/events", platform.api()));
    finish(curl).unwrap();
}

/// curl as a user types it, with its output in a file.
fn listen(platform: &Platform, last_event_id: Option<&str>) -> Process {
    let mut curl = Command::new("curl");
    curl.args(["-sN", "--fail"]);
    if let Some(id) = last_event_id {
        curl.arg("-H").arg(format!("Last-Event-ID: {id}"));
    }
    curl.arg(format!("{}/v1/stream?type=UsageRecorded", platform.api()));
    let listener = Process::start("listener", &curl).unwrap();
    wait_until("the stream is open", STEP, || {
        listener.stdout().contains("id: ")
    })
    .unwrap();
    listener
}

fn data(listener: &Process) -> Vec<Value> {
    let text = listener.stdout();
    let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter_map(|line| line.strip_prefix("data: "));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn hears(listener: &Process, events: usize) -> Vec<Value> {
    let heard = || data(listener).len() >= events;
    let heard = wait_until("the events are heard", STEP, heard);
    heard.unwrap_or_else(|error| panic!("{error}\n{}", listener.stdout()));
    data(listener)
}

#[test]
fn what_is_sent_comes_on_the_stream_and_what_is_missed_after_a_restart_too() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let up = platform.start(Role::Up).unwrap();
    let mut listener = listen(&platform, None);
    send(&platform, 1);
    let heard = hears(&listener, 1);
    assert_eq!(heard[0]["license_id"], "LIC-1");
    assert!(heard[0]["offset"].is_i64(), "{}", heard[0]);
    Platform::stop(up).unwrap();
    assert_eq!(listener.wait(STEP).unwrap(), 0, "curl has seen the end");
    let heard = data(&listener);
    assert_eq!((heard.len(), &heard[1]["reason"]), (2, &json!("stopping")));
    let last = heard[1]["last_event_id"].as_str().unwrap();
    let up = platform.start(Role::Up).unwrap();
    send(&platform, 2);
    let listener = listen(&platform, Some(last));
    send(&platform, 3);
    let mut licenses: Vec<String> = hears(&listener, 2)
        .iter()
        .map(|event| event["license_id"].as_str().unwrap().to_owned())
        .collect();
    licenses.sort();
    assert_eq!(licenses, ["LIC-2", "LIC-3"]);
    Platform::stop(up).unwrap();
}
