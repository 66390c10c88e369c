//! What a role is told of its surroundings, tried through the binary: who may read from another origin,
//! where events are sent to; and that each role describes what it serves, and no more.

use std::collections::BTreeSet;

use licenseflow_tests::harness::{Kafka, Platform, Port, Process, Role, unique_prefix};

use crate::asked::{json, ready, whole};

const PORTAL: &str = "https://portal.example.com";
const EVENTS_URL: &str = "https://events.example.com/v1/events";
const EVENT: &str = r#"{"license_id":"L","type":"LicenseIssued","data":{"customer_id":"c",
    "product_id":"p","plan":"team","seats":2,"valid_from":"2026-01-01T00:00:00Z"}}"#;

/// Starts a role beside those of the platform, on a port of its own.
fn beside(platform: &Platform, arguments: &[&str]) -> (Process, Port, String) {
    let port = Port::free().unwrap();
    let listen = format!("127.0.0.1:{}", port.number());
    let mut command = platform.command(arguments).unwrap();
    command.args(["--listen", &listen]);
    let mut process = Process::start(arguments[0], &command).unwrap();
    let api = ready(&mut process, &port);
    (process, port, api)
}

fn allowed<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let name = format!("access-control-allow-{name}: ");
    head.lines().find_map(|line| line.strip_prefix(&name))
}

fn described(api: &str) -> BTreeSet<String> {
    let document = json(api, "/openapi.json", &[]);
    document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

/// The license, as soon as the event at this position is in it.
struct Told {
    position: String,
}

impl Told {
    fn of(&self, api: &str, more: &[&str]) -> (String, String) {
        let wait = ["-H", &self.position, "-H", "x-wait-ms: 15000"];
        whole(api, "/v1/licenses/L", &[&wait[..], more].concat())
    }
}

/// Where a license says that its suspension is to be sent.
fn suspend(body: &str) -> Option<String> {
    let license: serde_json::Value = serde_json::from_str(body).unwrap();
    let href = license["_links"]["suspend"]["href"].as_str();
    href.map(str::to_owned)
}

/// Sends the license through an intake that pages of other origins may not use.
fn sent(api: &str, portal: &str) -> Told {
    let json_body = ["-H", "content-type: application/json", "-d", EVENT];
    let from_page = [&json_body[..], &["-H", portal]].concat();
    let (head, body) = whole(api, "/v1/events", &from_page);
    assert!(head.starts_with("http/1.1 202"), "{head}\n{body}");
    let open_to = allowed(&head, "origin");
    assert_eq!(open_to, None, "the intake stays closed: {head}");
    let receipt: serde_json::Value = serde_json::from_str(&body).unwrap();
    let position = receipt["position"].as_str().unwrap();
    Told {
        position: format!("x-min-position: {position}"),
    }
}

fn a_page_of_the_portal_may_read(api: &str, portal: &str, told: &Told) {
    let (head, body) = told.of(api, &["-H", portal]);
    assert_eq!(allowed(&head, "origin"), Some(PORTAL), "{head}");
    assert_eq!(suspend(&body).as_deref(), Some("/v1/events"), "{body}");
    let (head, _) = told.of(api, &["-H", "origin: https://evil.example.com"]);
    assert_eq!(allowed(&head, "origin"), None, "{head}");
    let method = "access-control-request-method: GET";
    let headers = "access-control-request-headers: x-min-position";
    let preflight = ["-X", "OPTIONS", "-H", portal, "-H", method, "-H", headers];
    let (head, _) = whole(api, "/v1/licenses/L", &preflight);
    assert_eq!(allowed(&head, "origin"), Some(PORTAL), "{head}");
    let takes = allowed(&head, "headers").is_some_and(|it| it.contains("x-min-position"));
    assert!(takes, "{head}");
}

/// An intake and a query API that know of each other: in one process, or by what they were told.
#[test]
fn a_role_does_what_it_was_told_of_its_surroundings() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_CORS_ORIGIN", PORTAL);
    let up = platform.start(Role::Up).unwrap();
    let api = platform.api();
    let portal = format!("origin: {PORTAL}");
    let told = sent(&api, &portal);
    a_page_of_the_portal_may_read(&api, &portal, &told);

    // As flags, and flags are more than the environment.
    let flags = ["query", "--events-url", EVENTS_URL, "--cors-origin", "*"];
    let (query, _port, elsewhere) = beside(&platform, &flags);
    let (head, body) = told.of(&elsewhere, &["-H", &portal]);
    assert_eq!(allowed(&head, "origin"), Some("*"), "{head}");
    assert_eq!(suspend(&body).as_deref(), Some(EVENTS_URL), "{body}");
    let of_query = described(&elsewhere);
    Platform::stop(query).unwrap();

    let (query, _port, alone) = beside(&platform, &["query"]);
    let (_, body) = told.of(&alone, &[]);
    assert_eq!(suspend(&body), None, "nobody said where events go: {body}");
    Platform::stop(query).unwrap();

    let registry = platform.registry();
    let (ingest, _port, intake) = beside(&platform, &["ingest", "--schema-registry", &registry]);
    let of_ingest = described(&intake);
    Platform::stop(ingest).unwrap();
    let of_up = described(&api);
    Platform::stop(up).unwrap();
    each_describes_what_it_serves(&of_query, &of_ingest, &of_up);
}

fn each_describes_what_it_serves(
    of_query: &BTreeSet<String>,
    of_ingest: &BTreeSet<String>,
    of_up: &BTreeSet<String>,
) {
    let of_all = [
        "/docs",
        "/docs/{file}",
        "/healthz",
        "/metrics",
        "/openapi.json",
        "/readyz",
    ];
    let of_all: BTreeSet<String> = of_all.map(str::to_owned).into();
    let both: BTreeSet<String> = of_query.intersection(of_ingest).cloned().collect();
    assert_eq!(both, of_all);
    let only: Vec<&String> = of_ingest.difference(&of_all).collect();
    assert_eq!(only, ["/v1/events"]);
    let together: BTreeSet<String> = of_query.union(of_ingest).cloned().collect();
    // The admin API is of those that build the read model.
    let is_admin = |path: &&String| path.starts_with("/v1/admin/");
    let (admin, others): (Vec<&String>, Vec<&String>) = of_up.iter().partition(is_admin);
    assert_eq!(admin.len(), 14, "{admin:?}");
    assert_eq!(
        others.into_iter().cloned().collect::<BTreeSet<_>>(),
        together
    );
    assert!(of_query.contains("/v1/licenses/{license_id}"));
}
