//! A customer over HTTP: the roll-up of what it holds, and its licenses.

use licenseflow_avro::event::{
    LicenseIssued, LicenseRevoked, LicenseSuspended, LicenseTransferred, Payload,
};
use serde_json::{Value, json};

use crate::model::{Model, NOW, activated, beat, event, issued};
use crate::served::Served;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;

/// Eight licenses of `c-1`, one of which was `c-2`'s, and one that is nobody's.
fn fill(model: &mut Model) {
    let reason = String::new;
    let starting = |valid_from: i64| LicenseIssued {
        valid_from,
        ..issued("c-1", 2, None)
    };
    let licenses = [
        issued("c-1", 3, Some(NOW + HOUR)),
        issued("c-1", 1, Some(NOW - 1)),
        starting(NOW + 60 * SECOND),
        starting(NOW + 40 * 24 * HOUR),
        issued("c-1", 5, Some(NOW + 2)),
        issued("c-1", 7, Some(NOW - 40 * 24 * HOUR)),
        issued("c-2", 11, None),
        issued("c-1", 13, Some(NOW + SECOND)),
    ];
    for (number, said) in (1..).zip(licenses) {
        let license = format!("L-{number}");
        model.say(
            event(number, &license, NOW - HOUR, Payload::LicenseIssued(said)),
            None,
        );
    }
    let further = [
        ("L-1", activated("d-1")),
        ("L-1", activated("d-2")),
        (
            "L-5",
            Payload::LicenseRevoked(LicenseRevoked { reason: reason() }),
        ),
        (
            "L-7",
            Payload::LicenseTransferred(LicenseTransferred {
                customer_id: "c-1".to_owned(),
            }),
        ),
        (
            "L-8",
            Payload::LicenseSuspended(LicenseSuspended { reason: reason() }),
        ),
        ("L-9", beat("d-1")),
    ];
    for (number, (license, payload)) in (101..).zip(further) {
        model.say(event(number, license, NOW - HOUR + 1, payload), None);
    }
    model.apply();
}

fn customer() -> Value {
    let count = |licenses: i64, seats: i64, seats_used: i64| json!({ "licenses": licenses, "seats": seats, "seats_used": seats_used });
    json!({
        "tenant_id": "default",
        "customer_id": "c-1",
        "licenses": 8,
        "seats": 44,
        "seats_used": 2,
        "by_status": {
            "unknown": 0, "active": 2, "pending": 2, "expired": 2, "suspended": 1, "revoked": 1,
        },
        "by_lifecycle": {
            "unknown": count(0, 0, 0),
            "active": count(6, 26, 2),
            "suspended": count(1, 13, 0),
            "revoked": count(1, 5, 0),
        },
        "next_expiry": "2026-05-28T21:26:40.000000Z",
        "_links": {
            "self": {"href": "/v1/customers/c-1"},
            "licenses": {"href": "/v1/customers/c-1/licenses"},
        },
    })
}

#[tokio::test]
async fn a_customer_is_the_roll_up_of_what_it_holds() {
    let (served, mut model) = Served::start(fill).await;
    let answer = served.get("/v1/customers/c-1").await;
    assert_eq!(answer.ok(), customer());
    assert_eq!(answer.header("x-read-position"), Some("e:0:14"));
    let tag = answer.header("etag").unwrap();
    let again = [("if-none-match", tag)];
    let again = served.get_with("/v1/customers/c-1", &again).await;
    assert_eq!(again.status, 304);
    for status in [
        "unknown",
        "active",
        "pending",
        "expired",
        "suspended",
        "revoked",
    ] {
        let path = format!("/v1/customers/c-1/licenses?status={status}");
        let listed = served.items(&path).await.len();
        assert_eq!(customer()["by_status"][status], listed, "{status}");
    }

    model.say(event(200, "L-2", NOW - 5, activated("d-7")), None);
    model.apply();
    let ahead = [("x-min-position", "e:0:15")];
    let after = served.get_with("/v1/customers/c-1", &ahead).await.ok();
    assert_eq!(after["seats_used"], 3);
}

#[tokio::test]
async fn who_holds_no_license_is_not_found() {
    let (served, _model) = Served::start(fill).await;
    for customer in ["c-2", "nobody"] {
        let path = format!("/v1/customers/{customer}");
        let problem = served.get(&path).await.problem(404, "customer_not_found");
        assert!(problem["detail"].as_str().unwrap().contains(customer));
    }
    let of_other = [("x-tenant-id", "other")];
    let answer = served.get_with("/v1/customers/c-1", &of_other).await;
    answer.problem(404, "customer_not_found");
    let answer = served.get("/v1/customers/a%20b").await;
    answer.problem(400, "invalid_customer_id");
    let answer = served.get("/v1/customers/c-1?limit=1").await;
    answer.problem(400, "unknown_parameter");
}

#[tokio::test]
async fn a_customers_licenses_are_listed_as_licenses_are() {
    let (served, _model) = Served::start(fill).await;
    for asked in ["limit=3", "limit=2&sort=-expires_at", "lifecycle=active"] {
        let mine = served
            .items(&format!("/v1/customers/c-1/licenses?{asked}"))
            .await;
        let filtered = served
            .items(&format!("/v1/licenses?customer_id=c-1&{asked}"))
            .await;
        assert!(!mine.is_empty());
        assert_eq!(mine, filtered, "{asked}");
    }
    let page = served.get("/v1/customers/c-1/licenses?limit=1").await.ok();
    let cursor = page["next_cursor"].as_str().unwrap();
    for other in ["/v1/licenses", "/v1/customers/c-2/licenses"] {
        let path = format!("{other}?cursor={cursor}");
        served.get(&path).await.problem(400, "invalid_parameter");
    }
    let path = "/v1/customers/c-1/licenses?customer_id=c-2";
    served.get(path).await.problem(400, "unknown_parameter");
    let nobodys = served.get("/v1/customers/nobody/licenses").await.ok();
    assert_eq!(nobodys["items"], json!([]));
}

#[tokio::test]
async fn a_license_includes_its_customer() {
    let (served, _model) = Served::start(fill).await;
    let answer = served.get("/v1/licenses/L-7?include=customer").await.ok();
    assert_eq!(answer["customer"], customer());
    assert_eq!(answer["customer_id"], "c-1");
    let answer = served.get("/v1/licenses/L-9?include=customer,usage").await;
    assert_eq!(answer.ok()["customer"], Value::Null);
    let answer = served.get("/v1/licenses/L-7").await.ok();
    assert_eq!(answer.get("customer"), None);
    let then = "/v1/licenses/L-7?include=customer&as_of=2026-05-28T20:26:40Z";
    served.get(then).await.problem(400, "invalid_parameter");
}
