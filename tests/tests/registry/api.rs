//! Each endpoint and each error, one line each.

use licenseflow_tests::harness::unique_prefix;
use serde_json::{Value, json};

use super::served::Served;

const A: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
const AB: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":0}]}"#;
const AB_MANDATORY: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"}]}"#;

fn schema(text: &str) -> Option<Value> {
    Some(json!({ "schema": text }))
}

/// Request, body, answer.
type Line = (&'static str, Option<Value>, Value);

async fn walk(served: &Served, lines: Vec<Line>) {
    for (line, body, expected) in lines {
        let (status, answer) = served.ask(line, body).await;
        assert_eq!((200, expected), (status, answer), "{line}");
    }
}

/// Request, body, error code; the status is its beginning.
type Refusal = (&'static str, Option<Value>, u64);

async fn refuse(served: &Served, lines: Vec<Refusal>) {
    for (line, body, code) in lines {
        let (status, answer) = served.ask(line, body).await;
        assert_eq!(
            Some(code),
            answer["error_code"].as_u64(),
            "{line}: {answer}"
        );
        let leading = if code >= 1000 { code / 100 } else { code };
        assert_eq!(leading, u64::from(status), "{line}");
        assert!(!answer["message"].as_str().unwrap().is_empty(), "{line}");
    }
}

fn reading() -> Vec<Line> {
    let shown = json!({"subject": "s/1", "version": 1, "id": 1, "schema": A});
    let second = json!({"subject": "s/1", "version": 2, "id": 2, "schema": AB});
    vec![
        ("GET /", None, json!({})),
        ("GET /contexts", None, json!(["."])),
        ("GET /subjects", None, json!(["other", "s/1"])),
        ("GET /subjects?subjectPrefix=s", None, json!(["s/1"])),
        ("GET /subjects?limit=1&offset=1", None, json!(["s/1"])),
        ("GET /subjects/s%2F1/versions", None, json!([1, 2])),
        ("GET /subjects/s%2F1/versions/1", None, shown.clone()),
        ("GET /subjects/s%2F1/versions/latest", None, second.clone()),
        ("GET /subjects/s%2F1/versions/-1", None, second.clone()),
        (
            "GET /subjects/s%2F1/versions/1/schema",
            None,
            serde_json::from_str(A).unwrap(),
        ),
        (
            "GET /subjects/s%2F1/versions/1/referencedby",
            None,
            json!([]),
        ),
        ("POST /subjects/s%2F1", schema(A), shown.clone()),
        ("POST /subjects/s%2F1/versions", schema(A), json!({"id": 1})),
        ("GET /schemas/types", None, json!(["AVRO"])),
        ("GET /schemas/ids/1", None, json!({"schema": A})),
        (
            "GET /schemas/ids/1?fetchMaxId=true",
            None,
            json!({"schema": A, "maxId": 2}),
        ),
        (
            "GET /schemas/ids/1/schema",
            None,
            serde_json::from_str(A).unwrap(),
        ),
        ("GET /schemas/ids/1/subjects", None, json!(["other", "s/1"])),
        (
            "GET /schemas/ids/1/versions",
            None,
            json!([{"subject": "other", "version": 1}, {"subject": "s/1", "version": 1}]),
        ),
        (
            "GET /schemas?subjectPrefix=s%2F",
            None,
            json!([shown, second]),
        ),
        (
            "GET /schemas?subjectPrefix=s&latestOnly=true",
            None,
            json!([second]),
        ),
    ]
}

fn settings() -> Vec<Line> {
    let level = |name: &str| Some(json!({ "compatibility": name }));
    let mode = |name: &str| Some(json!({ "mode": name }));
    vec![
        (
            "GET /config",
            None,
            json!({"compatibilityLevel": "BACKWARD"}),
        ),
        (
            "PUT /config",
            level("full"),
            json!({"compatibility": "FULL"}),
        ),
        ("GET /config", None, json!({"compatibilityLevel": "FULL"})),
        (
            "GET /config/other?defaultToGlobal=true",
            None,
            json!({"compatibilityLevel": "FULL"}),
        ),
        (
            "PUT /config/other",
            level("NONE"),
            json!({"compatibility": "NONE"}),
        ),
        (
            "GET /config/other",
            None,
            json!({"compatibilityLevel": "NONE"}),
        ),
        (
            "DELETE /config/other",
            None,
            json!({"compatibilityLevel": "NONE"}),
        ),
        (
            "DELETE /config",
            None,
            json!({"compatibilityLevel": "FULL"}),
        ),
        (
            "GET /config",
            None,
            json!({"compatibilityLevel": "BACKWARD"}),
        ),
        ("GET /mode", None, json!({"mode": "READWRITE"})),
        (
            "PUT /mode/other",
            mode("READONLY"),
            json!({"mode": "READONLY"}),
        ),
        ("GET /mode/other", None, json!({"mode": "READONLY"})),
        (
            "GET /mode/s?defaultToGlobal=true",
            None,
            json!({"mode": "READWRITE"}),
        ),
        ("DELETE /mode/other", None, json!({"mode": "READONLY"})),
        ("PUT /mode", mode("READWRITE"), json!({"mode": "READWRITE"})),
    ]
}

fn comparing() -> Vec<Line> {
    let fits = |fits: bool| json!({ "is_compatible": fits });
    let mandatory = schema(AB_MANDATORY);
    vec![
        (
            "POST /compatibility/subjects/s%2F1/versions",
            mandatory.clone(),
            fits(true),
        ),
        (
            "POST /compatibility/subjects/s%2F1/versions/latest",
            mandatory.clone(),
            fits(true),
        ),
        (
            "POST /compatibility/subjects/s%2F1/versions/1",
            mandatory,
            fits(false),
        ),
        (
            "POST /compatibility/subjects/new/versions/latest",
            schema(A),
            fits(true),
        ),
    ]
}

fn deleting() -> Vec<Line> {
    vec![
        ("DELETE /subjects/s%2F1/versions/1", None, json!(1)),
        ("GET /subjects/s%2F1/versions", None, json!([2])),
        (
            "GET /subjects/s%2F1/versions?deleted=True",
            None,
            json!([1, 2]),
        ),
        ("GET /schemas/ids/1", None, json!({"schema": A})),
        (
            "DELETE /subjects/s%2F1/versions/1?permanent=true",
            None,
            json!(1),
        ),
        (
            "GET /subjects/s%2F1/versions?deleted=true",
            None,
            json!([2]),
        ),
        ("DELETE /subjects/s%2F1", None, json!([2])),
        ("GET /subjects", None, json!(["other"])),
        ("GET /subjects?deleted=true", None, json!(["other", "s/1"])),
        ("GET /subjects?deletedOnly=true", None, json!(["s/1"])),
        ("DELETE /subjects/s%2F1?permanent=true", None, json!([2])),
        ("GET /subjects?deleted=true", None, json!(["other"])),
        // The id that is gone is not given again.
        (
            "POST /subjects/n/versions",
            schema("\"long\""),
            json!({"id": 3}),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_answers_as_confluents_does() {
    let served = Served::start(&unique_prefix()).await;
    assert_eq!(1, served.register("s%2F1", A).await);
    assert_eq!(2, served.register("s%2F1", AB).await);
    assert_eq!(1, served.register("other", A).await);
    walk(&served, reading()).await;
    walk(&served, settings()).await;
    walk(&served, comparing()).await;
    let line = "POST /compatibility/subjects/s%2F1/versions/1?verbose=true";
    let (_, verbose) = served.ask(line, schema(AB_MANDATORY)).await;
    assert!(
        verbose["messages"][0].as_str().unwrap().contains("/b"),
        "{verbose}"
    );
    walk(&served, deleting()).await;
    served.stop().await;
}

fn absent() -> Vec<Refusal> {
    vec![
        ("GET /subjects/none/versions", None, 40401),
        ("GET /subjects/none/versions/1", None, 40401),
        ("GET /subjects/none/versions/latest", None, 40401),
        ("POST /subjects/none", schema(A), 40401),
        ("DELETE /subjects/none", None, 40401),
        ("DELETE /config/s", None, 40401),
        ("GET /subjects/s/versions/7", None, 40402),
        ("DELETE /subjects/s/versions/7", None, 40402),
        (
            "POST /compatibility/subjects/s/versions/7",
            schema(A),
            40402,
        ),
        ("GET /schemas/ids/999", None, 40403),
        ("GET /schemas/ids/x", None, 40403),
        ("GET /schemas/ids/999/schema", None, 40403),
        ("GET /schemas/ids/999/subjects", None, 40403),
        ("GET /schemas/ids/999/versions", None, 40403),
        ("POST /subjects/s", schema("\"double\""), 40403),
        ("DELETE /subjects/gone", None, 40404),
        ("DELETE /subjects/s?permanent=true", None, 40405),
        ("DELETE /subjects/half/versions/1", None, 40406),
        ("DELETE /subjects/s/versions/1?permanent=true", None, 40407),
        ("GET /config/s", None, 40408),
        ("GET /mode/s", None, 40409),
    ]
}

fn invalid() -> Vec<Refusal> {
    let with = |member: &str, value: Value| Some(json!({"schema": A, member: value}));
    vec![
        ("POST /subjects/s/versions", schema(AB_MANDATORY), 409),
        ("POST /subjects/s/versions", schema("{"), 42201),
        ("POST /subjects/s/versions", schema(""), 42201),
        ("POST /subjects/s/versions", Some(json!({})), 42201),
        (
            "POST /subjects/s/versions",
            with("schemaType", json!("PROTOBUF")),
            42201,
        ),
        ("GET /subjects/s/versions/x", None, 42202),
        ("DELETE /subjects/s/versions/0", None, 42202),
        (
            "PUT /config",
            Some(json!({"compatibility": "SIDEWAYS"})),
            42203,
        ),
        ("PUT /config/s", Some(json!({})), 42203),
        ("PUT /mode", Some(json!({"mode": "SIDEWAYS"})), 42204),
        ("POST /subjects/s/versions", with("id", json!(7)), 42205),
        ("DELETE /subjects/s", None, 42206),
        ("DELETE /subjects/s/versions/1", None, 42206),
        ("POST /subjects/%0A/versions", schema(A), 42208),
        (
            "POST /subjects/s/versions",
            with("ruleSet", json!({"domainRules": []})),
            42210,
        ),
        ("POST /subjects/s/versions", Some(json!([])), 400),
        (
            "POST /subjects/s/versions",
            Some(json!({"schema": "x".repeat(1_100_000)})),
            413,
        ),
        ("GET /nowhere", None, 404),
        ("PATCH /subjects", None, 405),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_has_confluents_code() {
    let served = Served::start(&unique_prefix()).await;
    served.register("s", A).await;
    served.register("gone", "\"int\"").await;
    served.register("half", "\"bytes\"").await;
    walk(
        &served,
        vec![
            ("DELETE /subjects/gone", None, json!([1])),
            ("DELETE /subjects/half/versions/1", None, json!(1)),
        ],
    )
    .await;
    let referring = json!({
        "schema": r#"{"type":"record","name":"U","fields":[{"name":"r","type":"R"}]}"#,
        "references": [{"name": "R", "subject": "s", "version": 1}],
    });
    let (status, answer) = served
        .ask("POST /subjects/u/versions", Some(referring))
        .await;
    assert_eq!(200, status, "{answer}");
    refuse(&served, absent()).await;
    refuse(&served, invalid()).await;
    served.stop().await;
}
#[tokio::test(flavor = "multi_thread")]
async fn a_transitive_level_looks_at_all_earlier_versions() {
    let served = Served::start(&unique_prefix()).await;
    for (level, code) in [("BACKWARD", 200), ("BACKWARD_TRANSITIVE", 409)] {
        let subject = format!("s-{level}");
        let set = json!({ "compatibility": level });
        served
            .ask(&format!("PUT /config/{subject}"), Some(set))
            .await;
        served.register(&subject, A).await;
        served.register(&subject, AB).await;
        let line = format!("POST /subjects/{subject}/versions");
        assert_eq!(
            code,
            served.ask(&line, schema(AB_MANDATORY)).await.0,
            "{level}"
        );
    }
    served.stop().await;
}
