//! Every way to ask wrongly, and what the API says to it.

use std::sync::atomic::Ordering;

use crate::model::{Model, NOW, activated, event};
use crate::served::Served;

fn fill(model: &mut Model) {
    model.say(event(1, "L-1", NOW, activated("d")), Some("r-1"));
    model.apply();
}

/// A path, the problem's code, and what its detail must name.
const WRONG: [(&str, &str, &str); 30] = [
    ("/v1/licenses?customer=c", "unknown_parameter", "customer"),
    (
        "/v1/licenses/L-1/usage?as_of=2026-01-01T00:00:00Z",
        "unknown_parameter",
        "as_of",
    ),
    ("/v1/licenses/L-1?as_of=now", "invalid_parameter", "as_of"),
    (
        "/v1/licenses/L-1/devices?known_at=1",
        "invalid_parameter",
        "known_at",
    ),
    (
        "/v1/licenses/L-1?as_of=2026-01-01T00:00:00Z&include=devices,usage",
        "invalid_parameter",
        "include",
    ),
    ("/v1/licenses/L-1?fields=", "invalid_parameter", "fields"),
    (
        "/v1/licenses?fields=plan,seat",
        "invalid_parameter",
        "`seat`",
    ),
    (
        "/v1/licenses/L-1/events?fields=type",
        "unknown_parameter",
        "fields",
    ),
    (
        "/v1/licenses/L-1/devices?sort=x",
        "unknown_parameter",
        "sort",
    ),
    ("/v1/position?x=1", "unknown_parameter", "x"),
    ("/v1/requests/r-1?tenant=a", "unknown_parameter", "tenant"),
    (
        "/v1/licenses/L-1?include=customers",
        "invalid_parameter",
        "`customers`",
    ),
    ("/v1/licenses/L-1?include=", "invalid_parameter", "include"),
    ("/v1/licenses?limit=0", "invalid_parameter", "limit"),
    ("/v1/licenses?limit=1001", "invalid_parameter", "limit"),
    ("/v1/licenses?limit=5&limit=5", "invalid_parameter", "limit"),
    ("/v1/licenses?sort=plan", "invalid_parameter", "sort"),
    ("/v1/licenses?status=dead", "invalid_parameter", "status"),
    (
        "/v1/licenses?lifecycle=expired",
        "invalid_parameter",
        "lifecycle",
    ),
    ("/v1/licenses?over_seat=1", "invalid_parameter", "over_seat"),
    (
        "/v1/licenses?customer_id=-",
        "invalid_parameter",
        "customer_id",
    ),
    (
        "/v1/licenses?expires_before=yesterday",
        "invalid_parameter",
        "expires_before",
    ),
    (
        "/v1/licenses?expires_after=2026-01-01",
        "invalid_parameter",
        "expires_after",
    ),
    (
        "/v1/licenses/L-1/events?type=Issued",
        "invalid_parameter",
        "LicenseIssued",
    ),
    (
        "/v1/licenses/L-1/events?from=1",
        "invalid_parameter",
        "from",
    ),
    (
        "/v1/licenses/L-1?min_position=e:0",
        "invalid_parameter",
        "min_position",
    ),
    ("/v1/licenses/L%20", "invalid_license_id", "license_id"),
    ("/v1/licenses/L%2F1", "invalid_license_id", "license_id"),
    ("/v1/licenses/-L/usage", "invalid_license_id", "license_id"),
    ("/v1/requests/a%20b", "invalid_request_id", "visible"),
];

#[tokio::test]
async fn what_is_asked_wrongly_is_named() {
    let (served, _model) = Served::start(fill).await;
    for (path, code, named) in WRONG {
        let answer = served.get(path).await;
        let problem = answer.problem(400, code);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(named), "{path}: {detail}");
        assert!(problem["request_id"].is_string(), "{path}");
        assert_eq!(problem["instance"], path.split('?').next().unwrap());
        assert_eq!(answer.header("x-read-position"), Some("e:0:1"), "{path}");
    }
}

#[tokio::test]
async fn a_bad_header_is_named() {
    let (served, _model) = Served::start(fill).await;
    for (name, value) in [
        ("X-Min-Position", "here"),
        ("X-On-Stale", "sometimes"),
        ("X-Wait-Ms", "15001"),
        ("X-Wait-Ms", "soon"),
        ("X-Max-Staleness-Ms", "-5"),
    ] {
        for path in ["/v1/licenses/L-1", "/v1/position", "/v1/licenses"] {
            let answer = served.get_with(path, &[(name, value)]).await;
            let problem = answer.problem(400, "invalid_header");
            assert!(
                problem["detail"].as_str().unwrap().starts_with(name),
                "{problem}"
            );
        }
    }
    let answer = served
        .get_with("/v1/licenses", &[("x-tenant-id", "a b")])
        .await;
    answer.problem(400, "invalid_tenant");
}

#[tokio::test]
async fn what_is_not_there_says_for_which_tenant() {
    let (served, _model) = Served::start(fill).await;
    for path in ["", "/devices", "/usage", "/events"] {
        let answer = served.get(&format!("/v1/licenses/L-2{path}")).await;
        let problem = answer.problem(404, "license_not_found");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("default") && detail.contains("X-Tenant-Id"),
            "{detail}"
        );
        assert_eq!(answer.header("x-read-position"), Some("e:0:1"));
        let answer = served
            .get_with(
                &format!("/v1/licenses/L-1{path}"),
                &[("x-tenant-id", "acme")],
            )
            .await;
        let problem = answer.problem(404, "license_not_found");
        assert!(
            problem["detail"].as_str().unwrap().contains("acme"),
            "{problem}"
        );
    }
    served
        .get("/v1/requests/r-2")
        .await
        .problem(404, "request_not_found");
    let answer = served
        .get_with("/v1/requests/r-1", &[("x-tenant-id", "acme")])
        .await;
    answer.problem(404, "request_not_found");
    served.get("/v1/nothing").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_store_that_is_away_or_broken_is_told_without_a_word_of_its_own() {
    let (served, _model) = Served::start(fill).await;
    let paths = [
        "/v1/licenses",
        "/v1/licenses/L-1",
        "/v1/position",
        "/v1/requests/r-1",
    ];
    served.lookup.away.store(true, Ordering::SeqCst);
    for path in paths {
        let answer = served.get(path).await;
        answer.problem(503, "store_away");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
    served.lookup.away.store(false, Ordering::SeqCst);
    served.lookup.broken.store(true, Ordering::SeqCst);
    for path in paths {
        let answer = served.get(path).await;
        answer.problem(500, "internal");
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
    served.lookup.broken.store(false, Ordering::SeqCst);
    served.get("/v1/licenses/L-1").await.ok();
}
