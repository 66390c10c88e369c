//! `?fields=`: only the members that are asked for.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::{Model, NOW, activated, event};
use crate::served::Served;

fn fill(model: &mut Model) {
    for number in 1..=3 {
        let license = format!("L-{number}");
        model.say(event(number, &license, NOW, activated("d")), None);
    }
    model.apply();
}

/// What is left of a whole license.
fn kept(whole: &Value, names: &[&str]) -> Value {
    let mut kept = whole.clone();
    let members = kept.as_object_mut().unwrap();
    members.retain(|name, _| name == "_links" || names.contains(&name.as_str()));
    kept
}

#[tokio::test]
async fn a_license_has_the_members_asked_for_and_its_links() {
    let (served, _model) = Served::start(fill).await;
    let whole = served.get("/v1/licenses/L-1").await;
    let sparse = served
        .get("/v1/licenses/L-1?fields=status,seats_used")
        .await;
    assert_eq!(sparse.ok(), kept(&whole.ok(), &["status", "seats_used"]));
    assert_eq!(sparse.ok().as_object().unwrap().len(), 3);
    assert_ne!(sparse.header("etag"), whole.header("etag"));
    let again = [("if-none-match", whole.header("etag").unwrap())];
    let again = served
        .get_with("/v1/licenses/L-1?fields=status,seats_used", &again)
        .await;
    assert_eq!(again.status, 200);
    // Every member can be asked for by its name, and parts that are included stay.
    for name in whole.ok().as_object().unwrap().keys() {
        if name != "_links" {
            let one = served
                .get(&format!("/v1/licenses/L-1?fields={name}"))
                .await
                .ok();
            assert_eq!(one, kept(&whole.ok(), &[name]), "{name}");
        }
    }
    let included = served
        .get("/v1/licenses/L-1?fields=plan&include=devices")
        .await
        .ok();
    let names: BTreeSet<&String> = included.as_object().unwrap().keys().collect();
    assert_eq!(json!(names), json!(["_links", "devices", "plan"]));
}

#[tokio::test]
async fn the_pages_of_a_list_and_a_batch_are_sparse_throughout() {
    let (served, _model) = Served::start(fill).await;
    let whole = served.items("/v1/licenses").await;
    let expected: Vec<Value> = whole
        .iter()
        .map(|it| kept(it, &["license_id", "status"]))
        .collect();
    let sparse = served
        .items("/v1/licenses?limit=1&fields=status,license_id")
        .await;
    assert_eq!(sparse, expected);
    let batch = served
        .post(
            "/v1/licenses:batchGet?fields=license_id,status",
            "{\"ids\":[\"L-1\",\"L-2\",\"L-3\"]}",
        )
        .await;
    assert_eq!(batch.ok()["items"], json!(expected));
}
