//! Requests that are too large, too slow, too many, or no requests at all.

use std::time::{Duration, Instant};

use licenseflow_tests::harness::{Platform, wait_for_async};
use reqwest::Method;
use serde_json::Value;

use super::CONNECTIONS_MAX;
use super::wire::Wire;

const HEAD: &str = "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n";

/// 100 MB that say so are refused before they are sent; 100 MB that do not, at the bound.
pub(super) async fn a_body_of_100_mb(platform: &Platform) {
    for media_type in ["application/json", "application/x-ndjson"] {
        let mut wire = Wire::open(platform).await;
        let head = HEAD.replace("application/x-ndjson", media_type);
        wire.send(format!("{head}content-length: 100000000\r\n\r\n").as_bytes())
            .await;
        // Not a byte of it is sent, so none was waited for.
        let answer = wire.answer().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (Some(413), "request_too_large")
        );
    }
    let mut wire = Wire::open(platform).await;
    wire.send(format!("{HEAD}transfer-encoding: chunked\r\n\r\n").as_bytes())
        .await;
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    for _ in 0..17 {
        if !wire.send(&chunk).await {
            break;
        }
    }
    // 83 MB are still to come, and the answer does not wait for them.
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (Some(413), "request_too_large")
    );
}

/// A body and headers that do not come to their end in time.
pub(super) async fn slow_ones(platform: &Platform) {
    let asked = Instant::now();
    let mut body = Wire::open(platform).await;
    body.send(format!("{HEAD}content-length: 100\r\n\r\n{{").as_bytes())
        .await;
    let mut headers = Wire::open(platform).await;
    headers.send(HEAD.as_bytes()).await;
    let dripping = async {
        let mut wire = Wire::open(platform).await;
        wire.send(HEAD.as_bytes()).await;
        // A header a while for ever: each alone is quick.
        while asked.elapsed() < Duration::from_secs(6) && wire.send(b"x-a: b\r\n").await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        wire.answer().await
    };
    let (body, headers, dripping) = tokio::join!(body.answer(), headers.answer(), dripping);
    assert_eq!(
        (body.status, body.code().as_str()),
        (Some(408), "slow_body")
    );
    assert_eq!(
        (headers.status, headers.code().as_str()),
        (Some(408), "slow_headers")
    );
    assert_eq!(
        (dripping.status, dripping.code().as_str()),
        (Some(408), "slow_headers")
    );
}

/// Headers past the bounds of bytes and of number.
pub(super) async fn too_many_header_bytes(platform: &Platform) {
    let get = "GET /v1/licenses HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let many: String = (0..101)
        .map(|number| format!("x-{number}: y\r\n"))
        .collect();
    for headers in [format!("x-large: {}\r\n", "y".repeat(10_000)), many] {
        let answer = Wire::ask(platform, format!("{get}{headers}\r\n")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (Some(431), "headers_too_large")
        );
        assert!(
            answer.problem()["detail"]
                .as_str()
                .unwrap()
                .contains("at most")
        );
    }
    let path = format!(
        "GET /v1/licenses/{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "x".repeat(9_000)
    );
    let answer = Wire::ask(platform, path).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (Some(431), "headers_too_large")
    );
    for headers in [
        "x: y\r\n".repeat(1_000),
        format!("x-large: {}\r\n", "y".repeat(200_000)),
    ] {
        let answer = Wire::ask(platform, format!("{get}{headers}\r\n")).await;
        assert_eq!(answer.status, Some(431), "{}", answer.text);
    }
}

/// Query parameters that nobody knows, on each route that takes any.
pub(super) async fn unknown_parameters(platform: &Platform) {
    let http = reqwest::Client::new();
    for path in [
        "/v1/licenses",
        "/v1/licenses/L",
        "/v1/licenses/L/devices",
        "/v1/licenses/L/usage",
        "/v1/licenses/L/events",
        "/v1/requests/r",
        "/v1/position",
    ] {
        for query in ["unheard=1", "limit=1&unheard", "%00=%ff", "Limit=1"] {
            let url = format!("{}{path}?{query}", platform.api());
            let answer = http.get(&url).send().await.unwrap();
            let status = answer.status();
            let problem: Value = answer.json().await.unwrap();
            assert_eq!(status, 400, "{path}?{query}: {problem}");
        }
    }
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=1&limit=2",
        "sort=plan",
        "cursor=x",
        "cursor=",
        "status=odd",
        "expires_before=soon",
        "over_seat=perhaps",
        "min_position=e",
    ] {
        let url = format!("{}/v1/licenses?{query}", platform.api());
        let answer = http.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{query}");
    }
}

/// Paths and methods that are none: each is refused, and none is our fault.
pub(super) async fn garbage_paths(platform: &Platform) {
    for path in [
        "/",
        "//",
        "/v1",
        "/v1/",
        "/v1/events/",
        "/../../etc/passwd",
        "/v1/licenses/../../etc/passwd",
        "/v1/licenses/%2e%2e%2f",
        "/v1/licenses/%00",
        "/v1/licenses/%ff%fe",
        "/v1/licenses/%",
        "/v1/licenses/%zz",
        "/v1/licenses//devices",
        "/v1/licenses/a%2Fb/devices",
        "/v1/requests/%20",
        "/v1/licenses/'%20or%201=1--",
        "/v1/licenses/\u{1f3ab}",
        "*",
        "http://elsewhere/v1/licenses/x",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = Wire::ask(platform, request).await;
        let status = answer
            .status
            .unwrap_or_else(|| panic!("{path}: closed without a word"));
        assert!((400..500).contains(&status), "{path}: {}", answer.text);
    }
    let http = reqwest::Client::new();
    for (method, path) in [
        ("DELETE", "/v1/licenses/L"),
        ("PUT", "/v1/events"),
        ("GET", "/v1/events"),
        ("BREW", "/v1/licenses"),
        ("POST", "/v1/position"),
        ("TRACE", "/"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{path}", platform.api());
        let answer = http.request(method.clone(), url).send().await.unwrap();
        let expected = if path == "/" { 404 } else { 405 };
        assert_eq!(answer.status(), expected, "{method} {path}");
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["code"].is_string(), "{problem}");
    }
}

/// What is no HTTP at all, or two things at once.
pub(super) async fn no_requests(platform: &Platform) {
    let two_lengths = format!("{HEAD}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd");
    let smuggled = format!(
        "{HEAD}connection: close\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    );
    let negative = format!("{HEAD}content-length: -1\r\n\r\n");
    let bad_chunk = format!(
        "{HEAD}connection: close\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n{{}}\r\n0\r\n\r\n"
    );
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        two_lengths.as_bytes(),
        smuggled.as_bytes(),
        negative.as_bytes(),
        bad_chunk.as_bytes(),
    ] {
        let mut wire = Wire::open(platform).await;
        wire.send(bytes).await;
        wire.half_close().await;
        let answer = wire.answer().await;
        let refused = answer
            .status
            .is_none_or(|status| (400..500).contains(&status));
        assert!(
            refused,
            "{:?}: {}",
            String::from_utf8_lossy(bytes),
            answer.text
        );
    }
}

/// Connections that say nothing, half a request, or nothing any more: they take the places that
/// there are, one more is told so, and once they are gone there is room again.
pub(super) async fn too_many_connections(platform: &Platform) {
    let mut silent = Vec::new();
    let get = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let told = loop {
        // One of these may be turned away itself, while the last answer's place is still taken.
        assert!(
            silent.len() <= 4 * CONNECTIONS_MAX,
            "more connections than there may be"
        );
        silent.push(Wire::open(platform).await);
        let answer = Wire::ask(platform, get).await;
        if answer.status != Some(200) {
            break answer;
        }
    };
    assert_eq!(
        (told.status, told.code().as_str()),
        (Some(503), "too_many_connections")
    );
    assert!(told.text.contains("retry-after: "), "{}", told.text);
    for (number, mut wire) in silent.into_iter().enumerate() {
        match number % 4 {
            // Half-open: it will never send again.
            0 => wire.half_close().await,
            1 => {
                wire.send(HEAD.as_bytes()).await;
                wire.reset();
            }
            2 => {
                wire.send(format!("{HEAD}content-length: 100\r\n\r\n{{").as_bytes())
                    .await;
                wire.half_close().await;
            }
            _ => drop(wire),
        }
    }
    wait_for_async("room again", Duration::from_secs(20), async || {
        (Wire::ask(platform, get).await.status == Some(200)).then_some(())
    })
    .await
    .unwrap();
}
