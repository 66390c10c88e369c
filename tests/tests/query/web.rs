//! What a browser and a proxy rely on: compression, and who may read from another origin.

use std::io::Read;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::model::{Model, NOW, activated, event};
use crate::served::Served;

fn fill(model: &mut Model) {
    for number in 1..=30 {
        let license = format!("L-{number}");
        model.say(event(number, &license, NOW, activated("d")), None);
    }
    model.apply();
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

/// Every name in the `Vary` headers.
fn vary(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all("vary").iter();
    let names = values.flat_map(|value| value.to_str().unwrap().split(','));
    names.map(|name| name.trim().to_ascii_lowercase()).collect()
}

fn unpacked(encoding: Option<&str>, bytes: &[u8]) -> String {
    let mut text = String::new();
    match encoding {
        None => text = String::from_utf8(bytes.to_vec()).unwrap(),
        Some("gzip") => {
            let mut reader = flate2::read::GzDecoder::new(bytes);
            reader.read_to_string(&mut text).unwrap();
        }
        Some("zstd") => text = String::from_utf8(zstd::decode_all(bytes).unwrap()).unwrap(),
        Some(other) => panic!("nobody asked for {other}"),
    }
    text
}

#[tokio::test]
async fn a_large_answer_is_compressed_as_the_client_can_read_it() {
    let (served, _model) = Served::start(fill).await;
    let whole = served.get("/v1/licenses").await;
    for (accepted, encoding) in [
        ("gzip", Some("gzip")),
        ("zstd", Some("zstd")),
        ("gzip, zstd;q=0.5", Some("gzip")),
        ("br, deflate", None),
        ("gzip;q=0", None),
        ("identity", None),
    ] {
        let accept = [("accept-encoding", accepted)];
        let (status, headers, bytes) = served.sent(Method::GET, "/v1/licenses", &accept, "").await;
        assert_eq!(status, 200);
        assert_eq!(header(&headers, "content-encoding"), encoding, "{accepted}");
        assert_eq!(unpacked(encoding, &bytes), whole.text, "{accepted}");
        assert_eq!(encoding.is_some(), bytes.len() * 3 < whole.text.len());
        assert_eq!(vary(&headers), ["x-tenant-id", "accept-encoding"]);
        assert_eq!(header(&headers, "etag"), whole.header("etag"));
    }
    // What the client has is known in whichever encoding it came.
    let known = [
        ("accept-encoding", "gzip"),
        ("if-none-match", whole.header("etag").unwrap()),
    ];
    let (status, headers, bytes) = served.sent(Method::GET, "/v1/licenses", &known, "").await;
    assert_eq!((status, bytes.len()), (304, 0));
    assert_eq!(vary(&headers), ["x-tenant-id", "accept-encoding"]);
    assert_eq!(header(&headers, "content-encoding"), None);
}

#[tokio::test]
async fn small_answers_and_errors_are_sent_as_they_are() {
    let (served, _model) = Served::start(fill).await;
    let accept = [("accept-encoding", "gzip, zstd")];
    let long = format!("/v1/licenses?{}=1", "x".repeat(3000));
    for (path, expected) in [
        ("/v1/licenses/L-1?fields=plan", 200),
        ("/v1/licenses/nobody", 404),
        (long.as_str(), 400),
    ] {
        let (status, headers, bytes) = served.sent(Method::GET, path, &accept, "").await;
        assert_eq!(status, expected);
        assert_eq!(header(&headers, "content-encoding"), None, "{path}");
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        assert!(json.is_object());
    }
}

const PORTAL: (&str, &str) = ("origin", "https://portal.example.com");

#[tokio::test]
async fn without_a_word_no_page_of_another_origin_may_read() {
    let (served, _model) = Served::start(fill).await;
    let answer = served.get_with("/v1/licenses/L-1", &[PORTAL]).await;
    answer.ok();
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let asked = [PORTAL, ("access-control-request-method", "GET")];
    let (status, headers, _) = served
        .sent(Method::OPTIONS, "/v1/licenses/L-1", &asked, "")
        .await;
    assert_eq!(status, 405);
    assert_eq!(header(&headers, "access-control-allow-origin"), None);
}

#[tokio::test]
async fn pages_of_the_named_origins_may_read_answers_and_errors() {
    let origins = ["http://localhost:5173", PORTAL.1].map(str::to_owned);
    let (served, _model) = Served::told(fill, |state| state.open_to(&origins)).await;
    for (path, status) in [("/v1/licenses/L-1", 200), ("/v1/licenses/nobody", 404)] {
        let answer = served.get_with(path, &[PORTAL]).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(PORTAL.1));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let exposed = answer.header("access-control-expose-headers").unwrap();
        for name in ["etag", "x-read-position", "x-lag-ms", "x-request-id"] {
            assert!(exposed.contains(name), "{exposed}");
        }
        assert!(vary(&answer.headers).contains(&"origin".to_owned()));
        assert!(vary(&answer.headers).contains(&"x-tenant-id".to_owned()));
    }
    let other = [("origin", "https://evil.example.com")];
    let answer = served.get_with("/v1/licenses/L-1", &other).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert!(vary(&answer.headers).contains(&"origin".to_owned()));
    // Before a page asks for a batch, or with headers of its own, the browser asks whether it may.
    let asked = [
        PORTAL,
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "content-type,x-min-position",
        ),
    ];
    let (status, headers, _) = served
        .sent(Method::OPTIONS, "/v1/licenses:batchGet", &asked, "")
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        header(&headers, "access-control-allow-origin"),
        Some(PORTAL.1)
    );
    let methods = header(&headers, "access-control-allow-methods").unwrap();
    assert!(
        methods.contains("POST") && !methods.contains("DELETE"),
        "{methods}"
    );
    let allowed = header(&headers, "access-control-allow-headers").unwrap();
    assert!(allowed.contains("x-min-position") && allowed.contains("content-type"));
}

#[tokio::test]
async fn a_star_lets_every_page_read() {
    let (served, _model) = Served::told(fill, |state| state.open_to(&["*".to_owned()])).await;
    let answer = served.get_with("/v1/licenses/L-1", &[PORTAL]).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}
