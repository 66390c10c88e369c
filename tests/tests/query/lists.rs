//! Lists over HTTP: each filter in each sort gives what filtering and sorting the whole list gives.

use std::collections::BTreeSet;

use licenseflow_avro::event::{LicenseRevoked, LicenseSuspended, Payload, UsageRecorded};
use serde_json::Value;

use crate::model::{Model, NOW, activated, beat, event, issued};
use crate::served::Served;

/// Sixty licenses whose fields go round with different periods.
fn fill(model: &mut Model) {
    for number in 0..60_i64 {
        let license = format!("L-{number:02}");
        let id = |part: i64| u128::try_from(number * 100 + part + 1).unwrap();
        if number % 12 == 0 {
            model.say(event(id(0), &license, 1, beat("d")), None);
            continue;
        }
        if number % 12 != 1 {
            let expires_at = (number % 3 > 0).then(|| NOW + (number % 10 - 5) * 1_000_000);
            let mut said = issued(
                &format!("c-{}", number % 4),
                i32::try_from(number % 3).unwrap(),
                expires_at,
            );
            said.plan = ["trial", "team"][usize::from(number % 2 == 0)].to_owned();
            said.product_id = format!("p-{}", number % 5);
            said.valid_from = NOW + (number % 7 - 5) * 1_000_000;
            model.say(
                event(
                    id(0),
                    &license,
                    NOW - number % 6,
                    Payload::LicenseIssued(said),
                ),
                None,
            );
        }
        for device in 0..number % 4 {
            let payload = activated(&format!("d-{device}"));
            model.say(event(id(10 + device), &license, NOW - 20, payload), None);
        }
        let reason = String::new();
        match number % 11 {
            4 => model.say(
                event(
                    id(20),
                    &license,
                    NOW,
                    Payload::LicenseSuspended(LicenseSuspended { reason }),
                ),
                None,
            ),
            5 => model.say(
                event(
                    id(20),
                    &license,
                    NOW,
                    Payload::LicenseRevoked(LicenseRevoked { reason }),
                ),
                None,
            ),
            _ => continue,
        };
    }
    model.apply();
}

/// A filter's parameters, and whether it asks for a license as it is shown.
type Filter = (&'static str, fn(&Value) -> bool);

const FILTERS: [Filter; 22] = [
    ("", |_| true),
    ("customer_id=c-1", |it| it["customer_id"] == "c-1"),
    ("customer_id=nobody", |_| false),
    ("product_id=p-3", |it| it["product_id"] == "p-3"),
    ("plan=team", |it| it["plan"] == "team"),
    ("status=active", |it| it["status"] == "active"),
    ("status=pending", |it| it["status"] == "pending"),
    ("status=expired", |it| it["status"] == "expired"),
    ("status=suspended", |it| it["status"] == "suspended"),
    ("status=revoked", |it| it["status"] == "revoked"),
    ("status=unknown", |it| it["status"] == "unknown"),
    ("lifecycle=active", |it| it["lifecycle"] == "active"),
    ("lifecycle=suspended", |it| it["lifecycle"] == "suspended"),
    ("lifecycle=revoked", |it| it["lifecycle"] == "revoked"),
    ("lifecycle=unknown", |it| it["lifecycle"] == "unknown"),
    ("over_seat=true", |it| it["over_seat"] == true),
    ("over_seat=false", |it| it["over_seat"] == false),
    ("expires_before=2026-05-28T20:26:40Z", |it| {
        it["expires_at"]
            .as_str()
            .is_some_and(|at| at < "2026-05-28T20:26:40.000000Z")
    }),
    ("expires_after=2026-05-28T20:26:40.000000Z", |it| {
        it["expires_at"]
            .as_str()
            .is_none_or(|at| at >= "2026-05-28T20:26:40.000000Z")
    }),
    ("expires_after=2026-05-28T22:26:40%2B02:00", |it| {
        it["expires_at"]
            .as_str()
            .is_none_or(|at| at >= "2026-05-28T20:26:40.000000Z")
    }),
    ("plan=trial&customer_id=c-3", |it| {
        it["plan"] == "trial" && it["customer_id"] == "c-3"
    }),
    ("lifecycle=active&status=expired", |it| {
        it["lifecycle"] == "active" && it["status"] == "expired"
    }),
];

/// Null stands after all others in `expires_at`, and before all others in `last_event_at`.
fn sort_value(item: &Value, by: &str) -> String {
    let null = if by == "expires_at" { "~" } else { "" };
    item[by].as_str().unwrap_or(null).to_owned()
}

#[tokio::test]
async fn every_filter_in_every_sort_gives_what_is_asked_each_once() {
    let (served, _model) = Served::start(fill).await;
    let all = served.items("/v1/licenses?limit=1000").await;
    assert_eq!(all.len(), 60);
    for (filter, is_asked) in FILTERS {
        let expected: BTreeSet<String> = ids(all.iter().filter(|it| is_asked(it)));
        for by in ["license_id", "expires_at", "last_event_at"] {
            for sign in ["", "-"] {
                let path = format!("/v1/licenses?limit=7&sort={sign}{by}&{filter}");
                let items = served.items(path.trim_end_matches('&')).await;
                assert_eq!(ids(items.iter()), expected, "{path}");
                assert_eq!(items.len(), expected.len(), "{path}");
                let mut values: Vec<String> = items.iter().map(|it| sort_value(it, by)).collect();
                if sign == "-" {
                    values.reverse();
                }
                assert!(values.is_sorted(), "{path}: {values:?}");
            }
        }
    }
}

fn ids<'a>(items: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    items
        .map(|it| it["license_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_list_shows_each_license_as_it_is_shown_by_itself() {
    let (served, _model) = Served::start(fill).await;
    let page = served.get("/v1/licenses").await.ok();
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 50);
    for item in &items[..13] {
        let id = item["license_id"].as_str().unwrap();
        assert_eq!(&served.get(&format!("/v1/licenses/{id}")).await.ok(), item);
    }
}

#[tokio::test]
async fn a_cursor_keeps_its_filters_and_is_refused_with_others() {
    let (served, _model) = Served::start(fill).await;
    let list = "/v1/licenses?limit=2&plan=team&sort=-expires_at";
    let first = served.get(list).await.ok();
    let cursor = first["next_cursor"].as_str().unwrap();
    let repeated = served.get(&format!("{list}&cursor={cursor}")).await.ok();
    let alone = served
        .get(&format!("/v1/licenses?limit=2&cursor={cursor}"))
        .await
        .ok();
    assert_eq!(repeated["items"], alone["items"]);
    assert_ne!(first["items"], alone["items"]);
    for other in [
        "plan=trial",
        "plan=team",
        "plan=team&sort=expires_at",
        "sort=license_id",
    ] {
        let path = format!("/v1/licenses?{other}&cursor={cursor}");
        served.get(&path).await.problem(400, "invalid_parameter");
    }
    let changed = format!("/v1/licenses?cursor=A{}", &cursor[1..]);
    let cut = format!("/v1/licenses?cursor={}", &cursor[..cursor.len() - 3]);
    for path in [
        changed.as_str(),
        cut.as_str(),
        "/v1/licenses?cursor=",
        "/v1/licenses?cursor=%00",
    ] {
        served.get(path).await.problem(400, "invalid_parameter");
    }
    let of_other = [("x-tenant-id", "other")];
    let path = format!("/v1/licenses?cursor={cursor}");
    served
        .get_with(&path, &of_other)
        .await
        .problem(400, "invalid_parameter");
    let path = format!("/v1/licenses/L-02/devices?cursor={cursor}");
    served.get(&path).await.problem(400, "invalid_parameter");
}

fn fill_parts(model: &mut Model) {
    for number in 0..25_u8 {
        let at = NOW + i64::from(number / 2);
        let id = u128::from(number) * 2 + 1;
        model.say(event(id, "L", at, activated(&format!("d-{number}"))), None);
        let used = UsageRecorded {
            metric: format!("m-{number}"),
            quantity: i64::from(number),
        };
        model.say(event(id + 1, "L", at, Payload::UsageRecorded(used)), None);
    }
    model.apply();
}

#[tokio::test]
async fn devices_and_metrics_come_by_name_page_by_page() {
    let (served, _model) = Served::start(fill_parts).await;
    for (list, member, letter) in [("devices", "device_id", 'd'), ("usage", "metric", 'm')] {
        let path = format!("/v1/licenses/L/{list}");
        let paged = served.items(&format!("{path}?limit=4")).await;
        let whole = served.get(&format!("{path}?limit=25")).await.ok();
        assert_eq!(whole["next_cursor"], Value::Null);
        assert_eq!(Value::Array(paged.clone()), whole["items"]);
        let mut expected: Vec<String> =
            (0..25).map(|number| format!("{letter}-{number}")).collect();
        expected.sort();
        let found: Vec<&str> = paged
            .iter()
            .map(|it| it[member].as_str().unwrap())
            .collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_timeline_is_filtered_by_type_and_time() {
    let (served, _model) = Served::start(fill_parts).await;
    let all = served.items("/v1/licenses/L/events?limit=3").await;
    assert_eq!(all.len(), 50);
    let times: Vec<&str> = all
        .iter()
        .map(|it| it["occurred_at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted());
    let used = served
        .items("/v1/licenses/L/events?type=UsageRecorded&limit=7")
        .await;
    assert_eq!(used.len(), 25);
    assert!(used.iter().all(|it| it["type"] == "UsageRecorded"));
    let from = "2026-05-28T20:26:40.000003Z";
    let to = "2026-05-28T20:26:40.000005Z";
    let between = served
        .items(&format!(
            "/v1/licenses/L/events?from={from}&to={to}&limit=5"
        ))
        .await;
    let expected: Vec<&Value> = all
        .iter()
        .filter(|it| (from..to).contains(&it["occurred_at"].as_str().unwrap()))
        .collect();
    assert_eq!(expected.len(), 8);
    assert_eq!(between.iter().collect::<Vec<_>>(), expected);
    let none = served
        .get("/v1/licenses/L/events?type=EventVoided")
        .await
        .ok();
    assert_eq!(none["items"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_row_that_stays_comes_once_while_others_come_and_go() {
    let (served, mut model) = Served::start(fill).await;
    let before = served
        .items("/v1/licenses?limit=1000&sort=expires_at")
        .await;
    let stays: Vec<&str> = before
        .iter()
        .map(|it| it["license_id"].as_str().unwrap())
        .collect();
    let mut found = Vec::new();
    let mut next = Some("/v1/licenses?limit=7&sort=expires_at".to_owned());
    let mut number = 10_000;
    while let Some(path) = next {
        let page = served.get(&path).await.ok();
        found.extend(page["items"].as_array().unwrap().clone());
        next = page["_links"]["next"]["href"].as_str().map(str::to_owned);
        // New licenses on both sides of where the page ended.
        for end in [None, Some(1), Some(NOW)] {
            number += 1;
            let said = Payload::LicenseIssued(issued("c-9", 1, end));
            model.say(event(number, &format!("N-{number}"), NOW, said), None);
        }
        model.apply();
    }
    let found: Vec<&str> = found
        .iter()
        .map(|it| it["license_id"].as_str().unwrap())
        .collect();
    let kept: Vec<&str> = found
        .into_iter()
        .filter(|it| it.starts_with("L-"))
        .collect();
    assert_eq!(kept, stays);
}
