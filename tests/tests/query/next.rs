//! A license links to what can be done next in its state, and following a link does it.

use std::collections::BTreeSet;

use licenseflow_avro::event::{LicenseReinstated, LicenseRevoked, LicenseSuspended, Payload};
use licenseflow_avro::json::decode_draft;
use serde_json::{Value, json};

use crate::model::{Model, NOW, activated, beat, event, issued};
use crate::served::Served;

const PARTS: [&str; 5] = ["customer", "devices", "events", "self", "usage"];
const TERMS: [&str; 4] = ["change-plan", "renew", "revoke", "transfer"];

fn fill(model: &mut Model) {
    let reason = String::new;
    let end = Some(NOW + 1);
    model.say(event(1, "beats", NOW, beat("d")), None);
    for (number, license, seats, expires_at, valid_from) in [
        (10, "active", 2, end, NOW),
        (20, "full", 1, end, NOW),
        (30, "expired", 2, Some(NOW), NOW - 5),
        (40, "pending", 2, end, NOW + 1),
        (50, "suspended", 2, end, NOW),
        (60, "revoked", 2, end, NOW),
        (70, "unused", 2, end, NOW),
    ] {
        let mut said = issued("c-1", seats, expires_at);
        said.valid_from = valid_from;
        model.say(
            event(number, license, NOW - 9, Payload::LicenseIssued(said)),
            None,
        );
        if license != "unused" {
            model.say(event(number + 1, license, NOW - 8, activated("d")), None);
        }
    }
    let suspended = Payload::LicenseSuspended(LicenseSuspended { reason: reason() });
    model.say(event(52, "suspended", NOW - 7, suspended), None);
    let revoked = Payload::LicenseRevoked(LicenseRevoked { reason: reason() });
    model.say(event(62, "revoked", NOW - 7, revoked), None);
    model.apply();
}

#[tokio::test]
async fn each_state_has_its_own_next_steps() {
    let (served, _model) = Served::told(fill, |state| state.sending_events_to("/v1/events")).await;
    let expected: [(&str, &str, &[&[&str]]); 8] = [
        ("beats", "unknown", &[&["issue"]]),
        (
            "active",
            "active",
            &[
                &TERMS,
                &[
                    "suspend",
                    "activate-device",
                    "deactivate-device",
                    "record-usage",
                    "void",
                ],
            ],
        ),
        (
            "full",
            "active",
            &[
                &TERMS,
                &["suspend", "deactivate-device", "record-usage", "void"],
            ],
        ),
        (
            "expired",
            "expired",
            &[&TERMS, &["suspend", "deactivate-device", "void"]],
        ),
        (
            "pending",
            "pending",
            &[
                &TERMS,
                &["suspend", "activate-device", "deactivate-device", "void"],
            ],
        ),
        (
            "suspended",
            "suspended",
            &[&TERMS, &["reinstate", "deactivate-device", "void"]],
        ),
        ("revoked", "revoked", &[&["deactivate-device", "void"]]),
        (
            "unused",
            "active",
            &[
                &TERMS,
                &["suspend", "activate-device", "record-usage", "void"],
            ],
        ),
    ];
    for (license, status, relations) in expected {
        let shown = served.get(&format!("/v1/licenses/{license}")).await.ok();
        assert_eq!(shown["status"], status);
        let mut names: BTreeSet<&str> = PARTS.into();
        // Nobody is known to hold it.
        if status == "unknown" {
            names.remove("customer");
        }
        names.extend(relations.iter().copied().flatten());
        let links: BTreeSet<&str> = shown["_links"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(links, names, "{license}");
    }
}

#[tokio::test]
async fn what_is_done_changes_what_can_be_done() {
    let (served, mut model) =
        Served::told(fill, |state| state.sending_events_to("/v1/events")).await;
    let links = served.get("/v1/licenses/suspended").await.ok()["_links"].clone();
    assert!(links.get("suspend").is_none() && links.get("reinstate").is_some());
    let reinstated = Payload::LicenseReinstated(LicenseReinstated {
        reason: String::new(),
    });
    model.say(event(53, "suspended", NOW, reinstated), None);
    model.apply();
    let links = served.get("/v1/licenses/suspended").await.ok()["_links"].clone();
    assert!(links.get("suspend").is_some() && links.get("reinstate").is_none());
}

#[tokio::test]
async fn a_link_says_all_that_is_needed_to_follow_it() {
    let (served, _model) = Served::told(fill, |state| {
        state.sending_events_to("https://in.example.com/v1/events")
    })
    .await;
    let shown = served.get("/v1/licenses/active").await.ok();
    assert_eq!(
        shown["_links"]["change-plan"],
        json!({
            "href": "https://in.example.com/v1/events",
            "method": "POST",
            "event": "LicensePlanChanged",
            "required": ["plan", "seats"],
            "optional": ["entitlements"],
        })
    );
    let link = &shown["_links"]["suspend"];
    let sent = json!({
        "license_id": shown["license_id"],
        "type": link["event"],
        "data": {link["optional"][0].as_str().unwrap(): "because"},
    });
    assert!(decode_draft(sent.to_string().as_bytes()).is_ok());
}

#[tokio::test]
async fn only_the_license_itself_says_it_and_only_where_there_is_an_intake() {
    let (served, _model) = Served::told(fill, |state| state.sending_events_to("/v1/events")).await;
    let names =
        |it: &Value| -> Vec<String> { it["_links"].as_object().unwrap().keys().cloned().collect() };
    for item in served.items("/v1/licenses").await {
        let parts = PARTS.into_iter();
        let of_item =
            parts.filter(|name| *name != "customer" || item["customer_id"] != Value::Null);
        assert!(of_item.eq(names(&item)), "{item}");
    }
    let (alone, _model) = Served::start(fill).await;
    assert_eq!(names(&alone.get("/v1/licenses/active").await.ok()), PARTS);
}
