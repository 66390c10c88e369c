//! The description of the API: it names what is served, is kept as a file, and does not change behind
//! anybody's back. That answers are as it says is for the test `api` to show.

use std::collections::BTreeSet;
use std::fs;

use licenseflow_runtime::http::openapi;
use licenseflow_tests::harness::project;
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::{Model, NOW, activated, event};
use crate::served::Served;

/// The description of `up`: the intake, the query API and the admin API.
fn whole() -> String {
    let intake = licenseflow_producers::accept::document();
    let (query, admin) = (
        licenseflow_query::document(),
        licenseflow_query::admin_document(),
    );
    openapi::text(&openapi::document([intake, query, admin]))
}

const FILE: &str = "docs/openapi.json";

/// Set, it writes the file anew.
const WRITE: &str = "LICENSEFLOW_WRITE_OPENAPI";

#[test]
fn the_description_does_not_change_without_a_word_in_the_changelog() {
    let (file, text) = (project().join(FILE), whole());
    if std::env::var_os(WRITE).is_some() {
        fs::write(&file, &text).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == text,
        "the API's description is another than {FILE}: run with {WRITE}=1 to write it anew, read what \
         changed with git diff, and tell users in CHANGELOG.md"
    );
    let digest = Sha256::digest(text.as_bytes());
    let short: String = digest
        .iter()
        .take(6)
        .map(|it| format!("{it:02x}"))
        .collect();
    let changelog = fs::read_to_string(project().join("CHANGELOG.md")).unwrap();
    assert!(
        changelog.contains(&short),
        "{FILE} changed: say in CHANGELOG.md what is new for a client, and that the document is now `{short}` \
         (the first 12 digits of its SHA-256)"
    );
}

fn fill(model: &mut Model) {
    model.say(event(1, "L-1", NOW, activated("d")), None);
    model.apply();
}

/// The paths of the router.
fn paths(served: &Served) -> BTreeSet<String> {
    // Behind these stands what answers where there is no route.
    let routes = served.router.split("fallback_router").next().unwrap();
    let texts = routes.split('"').skip(1).step_by(2);
    let paths = texts.filter(|text| text.starts_with('/'));
    paths.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else_is() {
    let (served, _model) = Served::start(fill).await;
    let document = served.get("/openapi.json").await.ok();
    let described = document["paths"].as_object().unwrap();
    let mut names: BTreeSet<String> = described.keys().cloned().collect();
    // Every process has it, but from another room than this test's.
    assert!(names.remove("/metrics"));
    assert_eq!(paths(&served), names);
    for path in &names {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let asked = path.replace("{file}", "begin.js");
            let mut asked = asked.replace(['{', '}'], "");
            if path == "/v1/stream" {
                // Its answer never ends; that it cannot be taken does.
                asked.push_str("?unknown=1");
            }
            let asked_method = Method::from_bytes(method.as_bytes()).unwrap();
            let (status, ..) = served.sent(asked_method, &asked, &[], "").await;
            let is_described = described[path].get(method.to_lowercase()).is_some();
            assert_eq!(status != 405, is_described, "{method} {path}: {status}");
        }
    }
}

fn references<'d>(value: &'d Value, found: &mut BTreeSet<&'d str>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(to)) = members.get("$ref") {
                found.insert(to);
            }
            members.values().for_each(|it| references(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| references(it, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_referred_to() {
    let document: Value = serde_json::from_str(&whole()).unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for to in &found {
        let pointer = to.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{to} leads nowhere");
    }
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let to = format!("#/components/{kind}/{name}");
            assert!(found.contains(to.as_str()), "nothing refers to {to}");
        }
    }
}

#[test]
fn every_operation_is_told_in_words_and_names_its_answers() {
    let document: Value = serde_json::from_str(&whole()).unwrap();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let of = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{of}");
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap()),
                "{of}"
            );
            assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{of}");
            for parameter in operation["parameters"].as_array().unwrap() {
                assert!(parameter["description"].is_string(), "{of}: {parameter}");
            }
            for status in ["408", "431", "500", "503", "504"] {
                assert!(operation["responses"][status].is_object(), "{of}: {status}");
            }
        }
    }
}

/// What is made before a request is read knows neither its id nor its path.
#[test]
fn an_answer_that_may_come_before_the_request_promises_no_id_of_it() {
    let document: Value = serde_json::from_str(&whole()).unwrap();
    let required = &document["components"]["schemas"]["Problem"]["required"];
    let always = ["type", "title", "status", "code", "detail"];
    assert_eq!(required, &serde_json::json!(always));
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let response = match response["$ref"].as_str() {
                    Some(to) => document.pointer(to.strip_prefix('#').unwrap()).unwrap(),
                    None => response,
                };
                let id = &response["headers"]["X-Request-ID"];
                let is_certain = id["required"] == true;
                let is_nameless = ["408", "503"].contains(&status.as_str());
                assert!(id.is_object(), "{method} {path}: {status}");
                assert_eq!(is_certain, !is_nameless, "{method} {path}: {status}");
            }
        }
    }
}

/// The words of a description, wherever they stand.
fn told<'d>(value: &'d Value, found: &mut Vec<&'d str>) {
    match value {
        Value::Object(members) => {
            let words = ["description", "summary"].map(|name| members.get(name));
            let words = words.into_iter().flatten();
            found.extend(words.filter_map(Value::as_str));
            members.values().for_each(|it| told(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| told(it, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_sentence_has_one_blank_between_its_words() {
    let document: Value = serde_json::from_str(&whole()).unwrap();
    let mut found = Vec::new();
    told(&document, &mut found);
    assert!(found.len() > 100);
    for words in found {
        assert!(!words.contains("  "), "{words}");
    }
}

#[tokio::test]
async fn a_method_that_is_none_is_told_so_at_once() {
    let (served, _model) = Served::start(fill).await;
    let far = [("x-min-position", "e:0:1000000"), ("x-wait-ms", "15000")];
    let (status, headers, _) = served.sent(Method::PUT, "/v1/licenses/L-1", &far, "").await;
    assert_eq!(status, 405);
    assert_eq!(headers["allow"], "GET,HEAD");
}

/// All that a page names by an address.
fn addresses(text: &str) -> Vec<&str> {
    let named = ["href=\"", "src=\""]
        .into_iter()
        .flat_map(|name| text.split(name).skip(1));
    named.map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn the_page_and_all_that_it_names_are_served_here_and_no_other_host_may_be_asked() {
    let (served, _model) = Served::start(fill).await;
    let page = served.get("/docs").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    assert!(
        !policy.contains("http") && !policy.contains('*'),
        "{policy}"
    );
    let named = addresses(&page.text);
    assert_eq!(named.len(), 4, "{named:?}");
    assert!(!page.text.contains("//"), "the page names a host");
    for address in named {
        let (status, headers, bytes) = served
            .sent(Method::GET, &format!("/{address}"), &[], "")
            .await;
        assert_eq!(status, 200, "{address}");
        assert!(!bytes.is_empty() && headers.contains_key("content-security-policy"));
        let begins = address.ends_with("begin.js");
        if begins {
            let text = String::from_utf8(bytes).unwrap();
            assert!(!text.contains("//"), "{text}");
            assert!(text.contains("url: \"openapi.json\"") && text.contains("validatorUrl: null"));
        }
    }
    assert_eq!(served.get("/openapi.json").await.ok()["openapi"], "3.1.0");
    served
        .get("/docs/swagger-ui.js.map")
        .await
        .problem(404, "not_found");
}
