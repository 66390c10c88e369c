//! A tenant as a whole over HTTP: totals, numbers of events, and what is left when a part fails.

use licenseflow_avro::event::{EventVoided, LicenseIssued, Payload, UsageRecorded};
use serde_json::{Value, json};

use crate::model::{Model, NOW, beat, event, id, issued};
use crate::served::Served;

const DAY: i64 = 86_400_000_000;
const MINUTE: i64 = 60_000_000;

fn used() -> Payload {
    Payload::UsageRecorded(UsageRecorded {
        metric: "pages".to_owned(),
        quantity: 1,
    })
}

/// Three licenses of two products, and events of today, of yesterday, and of three days ago.
fn fill(model: &mut Model) {
    let of = |product: &str, plan: &str, expires_at: Option<i64>| {
        Payload::LicenseIssued(LicenseIssued {
            product_id: product.to_owned(),
            plan: plan.to_owned(),
            ..issued("c-1", 2, expires_at)
        })
    };
    let said = [
        ("L-1", NOW - 3 * DAY, of("editor", "team", None)),
        ("L-2", NOW - DAY, of("editor", "solo", Some(NOW))),
        ("L-3", NOW, of("viewer", "team", Some(NOW + 1))),
        ("L-3", NOW - 2, used()),
        ("L-3", NOW - MINUTE, used()),
        ("L-4", NOW, beat("d")),
    ];
    for (number, (license, at, payload)) in (1..).zip(said) {
        model.say(event(number, license, at, payload), None);
    }
    model.apply();
}

fn statuses(totals: &Value) -> Value {
    let counts = totals["by_status"].as_object().unwrap();
    let counts = counts.iter().filter(|(_, count)| **count != 0);
    counts
        .map(|(name, count)| (name.clone(), count.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[tokio::test]
async fn totals_are_by_product_plan_and_status() {
    let (served, _model) = Served::start(fill).await;
    let answer = served.get("/v1/stats").await;
    let stats = answer.ok();
    assert_eq!(answer.header("x-read-position"), Some("e:0:6"));
    assert_eq!(stats["degraded"], json!([]));
    let totals = &stats["totals"];
    assert_eq!(totals["licenses"], 4);
    assert_eq!(totals["seats"], 6);
    assert_eq!(
        statuses(totals),
        json!({"active": 2, "expired": 1, "unknown": 1})
    );
    assert_eq!(totals["by_product"]["goes_on"], false);
    let groups = |list: &str, member: &str| -> Value {
        let items = totals[list]["items"].as_array().unwrap();
        let items = items.iter();
        items
            .map(|it| json!([it[member], it["licenses"], statuses(it)]))
            .collect()
    };
    let products = json!([
        ["editor", 2, {"active": 1, "expired": 1}],
        ["viewer", 1, {"active": 1}],
    ]);
    assert_eq!(groups("by_product", "product_id"), products);
    let plans = json!([["solo", 1, {"expired": 1}], ["team", 2, {"active": 2}]]);
    assert_eq!(groups("by_plan", "plan"), plans);

    let of_nobody = [("x-tenant-id", "nobody")];
    let stats = served.get_with("/v1/stats", &of_nobody).await.ok();
    assert_eq!(stats["totals"]["licenses"], 0);
    assert_eq!(stats["events_per_day"], json!([]));
    let answer = served.get("/v1/stats?from=2026-01-01T00:00:00Z").await;
    answer.problem(400, "unknown_parameter");
}

#[tokio::test]
async fn events_are_counted_by_minute_and_day_and_taken_back_when_voided() {
    let (served, mut model) = Served::start(fill).await;
    let stats = served.get("/v1/stats").await.ok();
    let minutes = json!([
        {"minute": "2026-05-27T20:26:00.000000Z", "events": {"LicenseIssued": 1}},
        {"minute": "2026-05-28T20:25:00.000000Z", "events": {"UsageRecorded": 1}},
        {"minute": "2026-05-28T20:26:00.000000Z", "events": {"LicenseIssued": 1, "UsageRecorded": 1}},
    ]);
    assert_eq!(stats["events_per_minute"], minutes);
    let days = json!([
        {"day": "2026-05-25", "events": {"LicenseIssued": 1}},
        {"day": "2026-05-27", "events": {"LicenseIssued": 1}},
        {"day": "2026-05-28", "events": {"LicenseIssued": 1, "UsageRecorded": 2}},
    ]);
    assert_eq!(stats["events_per_day"], days);

    let void = Payload::EventVoided(EventVoided {
        voided_event_id: id(5),
        reason: String::new(),
    });
    model.say(event(20, "L-3", NOW, void), None);
    model.apply();
    let stats = served.get("/v1/stats").await.ok();
    let minutes = json!([
        {"minute": "2026-05-27T20:26:00.000000Z", "events": {"LicenseIssued": 1}},
        {
            "minute": "2026-05-28T20:26:00.000000Z",
            "events": {"EventVoided": 1, "LicenseIssued": 1, "UsageRecorded": 1},
        },
    ]);
    assert_eq!(stats["events_per_minute"], minutes);
    let today = json!({"EventVoided": 1, "LicenseIssued": 1, "UsageRecorded": 1});
    assert_eq!(stats["events_per_day"][2]["events"], today);
}

#[tokio::test]
async fn a_part_that_fails_is_null_and_named_and_the_rest_still_answers() {
    let (served, _model) = Served::start(fill).await;
    let whole = served.get("/v1/stats").await.ok();
    let file = rusqlite::Connection::open(served.file()).unwrap();
    for (table, part) in [
        ("event_minute", "events_per_minute"),
        ("total_day", "totals"),
    ] {
        file.execute_batch(&format!("alter table {table} rename to hidden"))
            .unwrap();
        let answer = served.get("/v1/stats").await;
        let mut expected = whole.clone();
        expected[part] = Value::Null;
        expected["degraded"] = json!([part]);
        assert_eq!(answer.ok(), expected);
        assert_eq!(answer.header("x-read-position"), Some("e:0:6"));
        file.execute_batch(&format!("alter table hidden rename to {table}"))
            .unwrap();
    }
    assert_eq!(served.get("/v1/stats").await.ok(), whole);
    for table in ["event_minute", "event_day", "total"] {
        file.execute_batch(&format!("drop table {table}")).unwrap();
    }
    served.get("/v1/stats").await.problem(500, "internal");
}
