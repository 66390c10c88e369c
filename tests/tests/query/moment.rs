//! What a license was at another time, and what was known of it then.

use std::collections::BTreeSet;

use licenseflow_avro::event::{
    EventVoided, LicenseIssued, LicenseReinstated, LicenseRenewed, LicenseRevoked,
    LicenseSuspended, LicenseTransferred, Payload, UsageRecorded,
};
use licenseflow_avro::time::format_rfc3339;
use licenseflow_avro::{Coordinates, LicenseEvent};
use licenseflow_core::naive;
use licenseflow_tests::chance::Chance;
use serde_json::{Map, Value, json};

use crate::model::{Model, NOW, NOW_MS, activated, beat, deactivated, event, id, id_text, issued};
use crate::served::Served;

const SECOND: i64 = 1_000_000;

fn void(number: u128) -> Payload {
    Payload::EventVoided(EventVoided {
        voided_event_id: id(number),
        reason: String::new(),
    })
}

/// Each event is recorded ten seconds after it occurred.
fn fill(model: &mut Model) {
    let ago = |seconds: i64| NOW - seconds * SECOND;
    let mut issue = issued("c-1", 1, Some(ago(20)));
    issue.valid_from = ago(70);
    let reason = String::new;
    let events = [
        event(1, "L-1", ago(90), Payload::LicenseIssued(issue)),
        event(2, "L-1", ago(60), activated("d-1")),
        event(
            3,
            "L-1",
            ago(50),
            Payload::LicenseSuspended(LicenseSuspended { reason: reason() }),
        ),
        event(4, "L-1", ago(40), void(3)),
        event(5, "L-1", ago(30), activated("d-2")),
        event(6, "L-1", ago(25), deactivated("d-1")),
        event(
            7,
            "L-1",
            ago(15),
            Payload::LicenseRenewed(LicenseRenewed { expires_at: None }),
        ),
    ];
    for said in events {
        let recorded_at = said.occurred_at / 1000 + 10_000;
        model.say_at(recorded_at, said);
    }
    model.say_at(NOW_MS - 99_000, event(8, "L-1", ago(99), beat("d-9")));
    model.say_at(NOW_MS, event(9, "beats", ago(99), beat("d-9")));
    model.apply();
}

fn at(seconds_ago: i64) -> String {
    format_rfc3339(NOW - seconds_ago * SECOND)
}

#[tokio::test]
async fn a_license_is_what_its_events_up_to_then_made_it() {
    let (served, _model) = Served::start(fill).await;
    // Seconds ago, and then: status, seats used, the last event.
    for (ago, status, seats, last) in [
        (90, "pending", 0, 1),
        (71, "pending", 0, 1),
        (70, "active", 0, 1),
        (60, "active", 1, 2),
        (50, "suspended", 1, 3),
        (41, "suspended", 1, 3),
        (40, "active", 1, 4),
        (30, "active", 2, 5),
        (25, "active", 1, 6),
        (20, "expired", 1, 6),
        (15, "active", 1, 7),
        (-500, "active", 1, 7),
    ] {
        let path = format!("/v1/licenses/L-1?as_of={}", at(ago));
        let then = served.get(&path).await.ok();
        assert_eq!(then["status"], status, "{ago}");
        assert_eq!(then["seats_used"], seats, "{ago}");
        assert_eq!(then["over_seat"], seats > 1, "{ago}");
        assert_eq!(then["last_event_id"], id_text(last), "{ago}");
        // The same of when it was recorded, ten seconds later; the status is as of that time too.
        let known = at(ago - 10);
        let path = format!("/v1/licenses/L-1?known_at={known}");
        let known_then = served.get(&path).await.ok();
        assert_eq!(known_then["last_event_id"], id_text(last), "{ago}");
        let both = format!("/v1/licenses/L-1?known_at={known}&as_of={}", at(ago));
        let both = served.get(&both).await.ok();
        let mut alike = then;
        alike["_links"] = Value::Null;
        let mut shown = both.clone();
        shown["_links"] = Value::Null;
        assert_eq!(shown, alike, "{ago}");
    }
    // Known at 12 seconds ago, of 11 seconds ago: the renewal was not there yet.
    let path = format!("/v1/licenses/L-1?as_of={}&known_at={}", at(11), at(12));
    assert_eq!(served.get(&path).await.ok()["status"], "expired");
    // Without as_of the status is at the time of knowing: the end lies four seconds ahead of it.
    let path = format!("/v1/licenses/L-1?known_at={}", at(24));
    assert_eq!(served.get(&path).await.ok()["status"], "active");
}

#[tokio::test]
async fn what_was_has_the_members_of_what_is_and_its_own_links() {
    let (served, _model) = Served::start(fill).await;
    let now = served.get("/v1/licenses/L-1").await.ok();
    let (t, k) = (at(0), at(-100));
    let asked = format!("as_of={t}&known_at={k}");
    let mut then = served.get(&format!("/v1/licenses/L-1?{asked}")).await.ok();
    assert_eq!(
        then["_links"],
        json!({
            "self": {"href": format!("/v1/licenses/L-1?{asked}")},
            "devices": {"href": format!("/v1/licenses/L-1/devices?{asked}")},
            "events": {"href": "/v1/licenses/L-1/events"},
            "current": {"href": "/v1/licenses/L-1"},
        })
    );
    then["_links"] = now["_links"].clone();
    assert_eq!(then, now);
    let sparse = format!("/v1/licenses/L-1?{asked}&fields=status");
    let sparse = served.get(&sparse).await.ok();
    assert_eq!(sparse.as_object().unwrap().len(), 2);
    assert_eq!(sparse["status"], "active");
}

#[tokio::test]
async fn devices_at_another_time_are_those_that_events_spoke_of_without_when_they_were_seen() {
    let (served, _model) = Served::start(fill).await;
    let device = |name: &str, active: bool, decided_by: u128, activated_by: u128| {
        json!({
            "tenant_id": "default",
            "license_id": "L-1",
            "device_id": name,
            "active": active,
            "decided_by": id_text(decided_by),
            "activated_by": id_text(activated_by),
            "fingerprint": format!("fp-{name}"),
            "platform": null,
        })
    };
    let path = format!("/v1/licenses/L-1/devices?as_of={}", at(30));
    let items = served.get(&path).await.ok()["items"].clone();
    let expected = [device("d-1", true, 2, 2), device("d-2", true, 5, 5)];
    assert_eq!(items, json!(expected));
    let path = format!("/v1/licenses/L-1/devices?limit=1&known_at={}", at(-10));
    let now = [device("d-1", false, 6, 2), device("d-2", true, 5, 5)];
    assert_eq!(json!(served.items(&path).await), json!(now));
    let path = format!("/v1/licenses/L-1/devices?as_of={}", at(61));
    assert_eq!(served.get(&path).await.ok()["items"], json!([]));
    // Included they are the same, and lead to themselves.
    let path = format!("/v1/licenses/L-1?include=devices&as_of={}", at(30));
    let included = served.get(&path).await.ok()["devices"].clone();
    let link = included["_links"]["self"]["href"].as_str().unwrap();
    let alone = served.get(link).await.ok();
    assert_eq!(included, alone);
    assert_eq!(included["items"], json!(expected));
}

#[tokio::test]
async fn before_its_first_event_there_is_no_license() {
    let (served, _model) = Served::start(fill).await;
    for path in ["L-1", "L-1/devices"] {
        for time in [
            format!("as_of={}", at(91)),
            format!("known_at={}", at(81)),
            format!("as_of={}&known_at={}", at(0), at(81)),
        ] {
            let answer = served.get(&format!("/v1/licenses/{path}?{time}")).await;
            let problem = answer.problem(404, "no_event_by_then");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("L-1"), "{detail}");
            assert_eq!(answer.header("x-read-position"), Some("e:0:9"));
        }
    }
    // Heartbeats have no history.
    let path = format!("/v1/licenses/beats?as_of={}", at(0));
    served.get(&path).await.problem(404, "no_event_by_then");
    let path = format!("/v1/licenses/nobody?as_of={}", at(0));
    served.get(&path).await.problem(404, "license_not_found");
}

#[tokio::test]
async fn a_history_that_is_too_long_is_not_folded_again() {
    let many = |model: &mut Model| {
        for number in 1..=100_000 {
            let quantity = 1;
            let metric = "m".to_owned();
            let used = Payload::UsageRecorded(UsageRecorded { metric, quantity });
            model.say(event(number, "L-1", NOW - 5, used), None);
        }
        model.apply();
    };
    let (served, mut model) = Served::start(many).await;
    let path = format!("/v1/licenses/L-1?as_of={}", at(0));
    assert_eq!(served.get(&path).await.ok()["event_count"], 100_000);
    model.say(event(100_001, "L-1", NOW - 5, activated("d")), None);
    model.apply();
    let devices = format!("/v1/licenses/L-1/devices?known_at={}", at(0));
    for path in [path, devices] {
        let answer = served.get(&path).await;
        let problem = answer.problem(422, "history_too_long");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("100000"), "{detail}");
    }
    assert_eq!(
        served.get("/v1/licenses/L-1").await.ok()["event_count"],
        100_001
    );
}

/// Numbers that look drawn, the same for each run.
struct Drawn(Chance);

impl Drawn {
    fn below(&mut self, bound: u64) -> i64 {
        i64::try_from(self.0.below(bound)).unwrap()
    }

    /// Ids and times are few, so that events meet.
    fn event(&mut self, license: &str) -> LicenseEvent {
        let reason = String::new;
        let number = u128::try_from(self.below(12) + 1).unwrap();
        let occurred_at = NOW + self.below(12) * SECOND;
        let device = format!("d-{}", self.below(3));
        let payload = match self.below(12) {
            0 | 1 => Payload::LicenseIssued(LicenseIssued {
                valid_from: NOW + self.below(12) * SECOND,
                ..issued(
                    "c-1",
                    i32::try_from(self.below(3)).unwrap(),
                    Some(NOW + self.below(12) * SECOND),
                )
            }),
            2 => Payload::LicenseRenewed(LicenseRenewed {
                expires_at: Some(NOW + self.below(12) * SECOND),
            }),
            3 => Payload::LicenseTransferred(LicenseTransferred {
                customer_id: format!("c-{}", self.below(3)),
            }),
            4 => Payload::LicenseSuspended(LicenseSuspended { reason: reason() }),
            5 => Payload::LicenseReinstated(LicenseReinstated { reason: reason() }),
            6 if self.below(2) == 0 => Payload::LicenseRevoked(LicenseRevoked { reason: reason() }),
            6..=8 => activated(&device),
            9 => deactivated(&device),
            10 => beat(&device),
            _ => void(u128::try_from(self.below(12) + 1).unwrap()),
        };
        event(number, license, occurred_at, payload)
    }
}

type Record = (Coordinates, LicenseEvent);

/// The license's row and its devices' rows by the naive fold of the records that were there then, the
/// least of each id first.
fn expected(records: &[Record], as_of: i64, known_at: i64) -> Option<(Value, Vec<Value>)> {
    let is_beat = |event: &LicenseEvent| matches!(event.payload, Payload::DeviceHeartbeat(_));
    let mut there: Vec<&Record> = records
        .iter()
        .filter(|(at, event)| at.timestamp * 1000 <= known_at && !is_beat(event))
        .collect();
    there.sort_by_key(|(at, _)| *at);
    let mut ids = BTreeSet::new();
    there.retain(|(_, event)| ids.insert(event.event_id));
    there.retain(|(_, event)| event.occurred_at <= as_of);
    let folded = naive::fold(there.into_iter().cloned());
    let read = |row: &String| serde_json::from_str::<Value>(row).unwrap();
    let license = folded.licenses.first().map(read)?;
    let mut devices: Vec<Value> = folded.devices.iter().map(read).collect();
    devices.sort_by_key(|row| row["device_id"].to_string());
    Some((license, devices))
}

/// A row as answers show it, apart from what they compute.
fn shown(row: &Value) -> Map<String, Value> {
    let mut shown = row.as_object().unwrap().clone();
    for name in [
        "expires_at",
        "first_event_at",
        "last_event_at",
        "valid_from",
    ] {
        if let Some(at) = shown.get(name).and_then(Value::as_i64) {
            shown.insert(name.to_owned(), format_rfc3339(at).into());
        }
    }
    shown.remove("last_seen_at");
    shown
}

fn status(row: &Value, at: i64) -> &str {
    match row["lifecycle"].as_str().unwrap() {
        "active" if row["expires_at"].as_i64().is_some_and(|end| end <= at) => "expired",
        "active" if row["valid_from"].as_i64().is_some_and(|start| start > at) => "pending",
        lifecycle => lifecycle,
    }
}

async fn compare(served: &Served, license: &str, records: &[Record], drawn: &mut Drawn) -> bool {
    // Also between the times of events, and between two milliseconds.
    let mut time = || (drawn.below(4) > 0).then(|| NOW + drawn.below(28) * SECOND / 2 - SECOND);
    let (as_of, known_at) = (time(), time());
    let name = |name: &str, at: Option<i64>| {
        at.map_or_else(String::new, |at| format!("&{name}={}", format_rfc3339(at)))
    };
    let asked = format!(
        "?limit=2{}{}",
        name("as_of", as_of),
        name("known_at", known_at)
    );
    if as_of.or(known_at).is_none() {
        return false;
    }
    let path = format!("/v1/licenses/{license}");
    let of_license = asked.replace("limit=2&", "");
    let answer = served.get(&format!("{path}{of_license}")).await;
    let (most, at) = (i64::MAX, as_of.or(known_at).unwrap());
    let there = expected(records, as_of.unwrap_or(most), known_at.unwrap_or(most));
    let Some((row, devices)) = there else {
        answer.problem(404, "no_event_by_then");
        return false;
    };
    let mut got = answer.ok();
    let members = got.as_object_mut().unwrap();
    members.remove("_links");
    let seats_used = devices.iter().filter(|it| it["active"] == true).count();
    let over_seat = row["seats"]
        .as_u64()
        .is_some_and(|seats| seats_used as u64 > seats);
    assert_eq!(
        members.remove("seats_used"),
        Some(json!(seats_used)),
        "{asked}"
    );
    assert_eq!(
        members.remove("over_seat"),
        Some(json!(over_seat)),
        "{asked}"
    );
    assert_eq!(
        members.remove("status"),
        Some(json!(status(&row, at))),
        "{asked}"
    );
    assert_eq!(*members, shown(&row), "{license} {asked}");
    let items = served.items(&format!("{path}/devices{asked}")).await;
    let devices: Vec<Map<String, Value>> = devices.iter().map(shown).collect();
    assert_eq!(json!(items), json!(devices), "{license} {asked}");
    true
}

#[tokio::test]
async fn any_history_at_any_time_is_the_naive_fold_of_what_was_there() {
    let mut drawn = Drawn(Chance::new(1));
    let mut histories: Vec<(String, Vec<Record>)> = Vec::new();
    let (served, _model) = Served::start(|model| {
        for license in 0..40 {
            let license = format!("L-{license}");
            let mut records = Vec::new();
            for _ in 0..1 + drawn.below(40) {
                // Recorded within six seconds after now, in any order.
                let timestamp = NOW_MS + drawn.below(13) * 1000;
                let said = drawn.event(&license);
                records.push((model.say_at(timestamp, said.clone()), said));
                if drawn.below(5) == 0 {
                    model.apply();
                }
            }
            model.apply();
            histories.push((license, records));
        }
    })
    .await;
    let mut compared = 0;
    for (license, records) in &histories {
        for _ in 0..12 {
            compared += usize::from(compare(&served, license, records, &mut drawn).await);
        }
    }
    assert!(compared > 200, "{compared} of 480 had anything to compare");
}
