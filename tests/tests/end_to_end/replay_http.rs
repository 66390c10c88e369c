//! Replays as an operator's tools have them, over HTTP: where one begins is asked of real brokers, and `up` does
//! what is written into the book.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use licenseflow_avro::Position;
use licenseflow_avro::time::format_rfc3339;
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{Generations, SqliteGenerations};
use licenseflow_tests::harness::platform::finish;
use licenseflow_tests::harness::{Kafka, Platform, Role, unique_prefix, wait_for, wait_until};
use serde_json::{Value, json};

/// How long a build may take, the machine being busy with other tests.
const CATCH_UP: Duration = Duration::from_secs(120);

const FIRST: i64 = 1000;
const LATER: i64 = 400;

struct Asked<'p> {
    platform: &'p Platform,
}

impl Asked<'_> {
    /// Posts this below `/v1/admin/replays`; status and answer.
    fn post(&self, below: &str, body: &Value) -> (u16, Value) {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "20", "-w", "\n%{http_code}"]);
        curl.args(["-H", "content-type: application/json", "-d"])
            .arg(body.to_string());
        curl.arg(format!("{}/v1/admin/replays{below}", self.platform.api()));
        let answer = finish(curl).unwrap();
        let (body, status) = answer.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    fn deed(&self, number: i64, deed: &str) -> (u16, Value) {
        self.post(&format!("/{number}/{deed}"), &json!({}))
    }

    fn one(&self, number: i64) -> Value {
        let path = format!("/v1/admin/replays/{number}");
        self.platform.json(&path).unwrap()
    }

    fn is_at(&self, number: i64, state: &str) {
        wait_until(&format!("{number} is {state}"), CATCH_UP, || {
            self.one(number)["state"] == state
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.one(number)));
    }

    fn position(&self) -> Position {
        position(&self.platform.json("/v1/position").unwrap()["position"])
    }

    fn generate(&self, count: i64, until: i64) {
        self.platform.generate(count, 50, 1).unwrap();
        wait_until("all is dealt with", CATCH_UP, || {
            self.platform.dealt_with() >= until
        })
        .unwrap();
    }
}

fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format_rfc3339(i64::try_from(now.as_micros()).unwrap())
}

fn position(of: &Value) -> Position {
    of.as_str().unwrap().parse().unwrap()
}

/// How many offsets lie below.
fn below(position: &Position) -> i64 {
    position.iter().map(|(_, _, next)| next).sum()
}

#[test]
fn a_replay_from_a_time_begins_where_the_brokers_say_and_one_of_all_takes_the_place_and_leaves_it()
{
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let up = platform.start(Role::Up).unwrap();
    let asked = Asked {
        platform: &platform,
    };
    asked.generate(FIRST, FIRST);
    let (before, time) = (asked.position(), now());
    asked.generate(LATER, FIRST + LATER);

    let beyond = [format!("{}:12", platform.events_topic())];
    let (status, wrong) = asked.post("", &json!({ "from": "beginning", "partitions": beyond }));
    assert_eq!(
        (status, &wrong["errors"][0]["pointer"]),
        (422, &"/partitions/0".into())
    );
    let (status, begun) = asked.post("", &json!({ "from": { "time": time } }));
    assert_eq!(status, 202, "{begun}");
    let from = position(&begun["from"]["position"]);
    assert_eq!(from.iter().count(), 24, "all partitions of both lanes");
    // Nothing of what was read by then, and all that came later. What waits is tried again in between.
    assert!(from.covers(&before), "{from} of {before}");
    wait_until("it has all that came later", CATCH_UP, || {
        let part = asked.one(2);
        let stands = part["position"]
            .is_string()
            .then(|| position(&part["position"]));
        let read = stands.map_or(0, |it| below(&it) - below(&from));
        read >= LATER && part["lag_events"] == 0 && part["state"] == "caught_up"
    })
    .unwrap_or_else(|error| panic!("{error}: {}", asked.one(2)));
    let part = asked.one(2);
    assert!(part["records_done"].as_i64().unwrap() >= LATER, "{part}");
    // What kept it from going on is told until it is over.
    let generations = SqliteGenerations::of(&platform.store(), SqliteOptions::default());
    let noted = generations.change(&mut |book| {
        book.beside(2)?.trouble = Some("no broker answers".to_owned());
        Ok(())
    });
    noted.unwrap().unwrap();
    asked.is_at(2, "caught_up");
    assert_eq!(asked.one(2)["trouble"], Value::Null);
    assert_eq!(asked.deed(2, "switch").0, 409, "it is a part");
    // Whoever keeps it removes it.
    let file = format!("{}.g2", platform.store().display());
    assert!(std::fs::exists(&file).unwrap());
    assert_eq!(asked.deed(2, "cancel").0, 200);
    wait_until("it is removed", CATCH_UP, || {
        !std::fs::exists(&file).unwrap()
    })
    .unwrap();

    let body = json!({ "from": "beginning", "switch_when_equal": true });
    let (status, begun) = asked.post("", &body);
    assert_eq!((status, &begun["generation"]), (202, &3.into()), "{begun}");
    asked.is_at(3, "live");
    let gate = wait_for("its comparison is told", CATCH_UP, || {
        let gate = asked.one(3)["gate"].take();
        gate.is_object().then_some(gate)
    });
    assert_eq!(gate.unwrap()["is_equal"], true);
    wait_until("readers see it", CATCH_UP, || {
        platform.json("/v1/position").unwrap()["generation"] == 3
    })
    .unwrap();
    let (status, back) = asked.post("/rollback", &json!({}));
    assert_eq!((status, &back["generation"]), (202, &1.into()), "{back}");
    asked.is_at(1, "live");
    asked.is_at(3, "kept");
    assert_eq!(asked.deed(3, "drop").0, 200);
    Platform::stop(up).unwrap();
}
