//! Many licenses by their ids in one request.

use serde_json::{Value, json};

use crate::model::{Model, NOW, activated, event};
use crate::served::Served;

const PATH: &str = "/v1/licenses:batchGet";

fn fill(model: &mut Model) {
    for number in 1..=5 {
        let license = format!("L-{number}");
        model.say(event(number, &license, NOW, activated("d")), None);
    }
    let mut of_acme = event(9, "L-9", NOW, activated("d"));
    of_acme.tenant_id = "acme".to_owned();
    model.say(of_acme, None);
    model.apply();
}

fn ids(items: &Value) -> Vec<&str> {
    let items = items.as_array().unwrap().iter();
    items.map(|it| it["license_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn licenses_come_in_the_order_asked_once_for_each_mention_and_what_is_missing_is_named() {
    let (served, _model) = Served::start(fill).await;
    let body = json!({"ids": ["L-4", "none", "L-1", "L-4", "L-9", "none"]});
    let answer = served.post(PATH, &body.to_string()).await;
    let batch = answer.ok();
    assert_eq!(ids(&batch["items"]), ["L-4", "L-1", "L-4"]);
    assert_eq!(batch["missing"], json!(["none", "L-9", "none"]));
    assert_eq!(batch["_links"], json!({"self": {"href": PATH}}));
    assert_eq!(batch["items"][0], served.get("/v1/licenses/L-4").await.ok());
    assert_eq!(answer.header("x-read-position"), Some("e:0:6"));
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));

    let acme = [
        ("content-type", "application/json; charset=utf-8"),
        ("x-tenant-id", "acme"),
    ];
    let batch = served.post_with(PATH, &acme, &body.to_string()).await.ok();
    assert_eq!(ids(&batch["items"]), ["L-9"]);
    let nobody = [
        ("content-type", "application/json"),
        ("x-tenant-id", "nobody"),
    ];
    let batch = served
        .post_with(PATH, &nobody, &body.to_string())
        .await
        .ok();
    assert_eq!(batch["missing"], body["ids"]);
    let nothing = served.post(PATH, "{\"ids\":[]}").await.ok();
    assert_eq!(
        (&nothing["items"], &nothing["missing"]),
        (&json!([]), &json!([]))
    );
}

#[tokio::test]
async fn a_thousand_are_given_at_once_and_one_more_is_refused() {
    let many = |model: &mut Model| {
        for number in 0..1000 {
            let license = format!("L-{number:04}");
            model.say(event(number + 1, &license, NOW, activated("d")), None);
        }
        model.apply();
    };
    let (served, _model) = Served::start(many).await;
    let mut asked: Vec<String> = (0..1000).rev().map(|it| format!("L-{it:04}")).collect();
    let batch = served
        .post(PATH, &json!({"ids": asked}).to_string())
        .await
        .ok();
    assert_eq!(ids(&batch["items"]), asked);
    assert_eq!(batch["missing"], json!([]));
    asked.push("L-0000".to_owned());
    let answer = served.post(PATH, &json!({"ids": asked}).to_string()).await;
    let problem = answer.problem(422, "invalid_batch");
    assert_eq!(problem["errors"][0]["pointer"], "/ids");
    assert!(
        problem["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("1001")
    );
}

#[tokio::test]
async fn what_cannot_be_taken_is_pointed_at() {
    let (served, _model) = Served::start(fill).await;
    served
        .post(PATH, "{\"ids\":")
        .await
        .problem(400, "bad_json");
    served.post(PATH, "").await.problem(400, "bad_json");
    let wrong = served.post(PATH, "{\"ids\":[\"a\",1,\"b c\"]}").await;
    let errors = wrong.problem(422, "invalid_batch")["errors"].clone();
    assert_eq!(errors[0]["pointer"], "/ids/1");
    assert_eq!(errors[1]["pointer"], "/ids/2");
    let wrong = served.post(PATH, "{\"ids\":[],\"id\":1}").await;
    assert_eq!(
        wrong.problem(422, "invalid_batch")["errors"][0]["pointer"],
        "/id"
    );
    served
        .post("/v1/licenses:batchGet?limit=5", "{\"ids\":[]}")
        .await
        .problem(400, "unknown_parameter");
    let long = format!("{{\"ids\":[]{}}}", " ".repeat(256 * 1024));
    served
        .post(PATH, &long)
        .await
        .problem(413, "request_too_large");
    for (headers, code) in [
        (vec![], "missing_content_type"),
        (
            vec![("content-type", "text/plain")],
            "unsupported_media_type",
        ),
        (
            vec![
                ("content-type", "application/json"),
                ("content-encoding", "gzip"),
            ],
            "unsupported_content_encoding",
        ),
    ] {
        let answer = served.post_with(PATH, &headers, "{\"ids\":[]}").await;
        answer.problem(415, code);
    }
    let answer = served.get(PATH).await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST"));
}

#[tokio::test]
async fn a_batch_is_as_fresh_as_asked() {
    let (served, _model) = Served::start(fill).await;
    let asked = async |position: &str, mode: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("x-min-position", position),
            ("x-on-stale", mode),
            ("x-wait-ms", "20"),
        ];
        served
            .post_with(PATH, &headers, "{\"ids\":[\"L-1\"]}")
            .await
    };
    asked("e:0:6", "fail").await.ok();
    asked("e:0:7", "fail").await.problem(412, "stale");
    asked("e:0:7", "wait").await.problem(504, "still_stale");
    let stale = asked("e:0:7", "serve").await;
    stale.ok();
    assert_eq!(stale.header("x-stale"), Some("true"));
    asked("e:12:1", "serve")
        .await
        .problem(400, "unknown_partition");
}

#[tokio::test]
async fn a_batch_that_the_client_has_is_sent_all_the_same() {
    let (served, _model) = Served::start(fill).await;
    let first = served.post(PATH, "{\"ids\":[\"L-1\"]}").await;
    let headers = [
        ("content-type", "application/json"),
        ("if-none-match", first.header("etag").unwrap()),
    ];
    let again = served
        .post_with(PATH, &headers, "{\"ids\":[\"L-1\"]}")
        .await;
    assert_eq!(again.ok(), first.ok());
    assert_eq!(again.header("etag"), first.header("etag"));
}
