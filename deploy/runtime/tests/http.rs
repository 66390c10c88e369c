//! The listener as a client with a raw socket meets it: each bound is passed on
//! purpose, and the answer must name it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use licenseflow_runtime::http::{Deadline, HttpLimits, Problem, RequestId, TenantId, bind, serve};
use serde_json::Value;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// No test may hang: whatever is waited for must come within this time.
const DEADLINE: Duration = Duration::from_secs(30);

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Server {
    fn start(limits: HttpLimits) -> Self {
        Self::start_with(limits, routes())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the server holds its task; the runtime of the test ends both"
    )]
    fn start_with(limits: HttpLimits, routes: Router) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = serve(listener, routes, limits, stop.clone());
        let ended = tokio::spawn(async move { serving.await.unwrap() });
        Self {
            address,
            stop,
            ended,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends the bytes and reads until the server closes the connection.
    async fn exchange(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        Answer::read_to_end(&mut stream).await
    }

    async fn get(&self, path: &str, headers: &str) -> Answer {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
        self.exchange(request.as_bytes()).await
    }
}

fn routes() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/ids", get(ids))
        .route("/panic", get(fails))
        .route(
            "/away",
            get(|| async { Problem::unavailable("brokers_away", "none answers") }),
        )
        .route("/slow", get(std::future::pending::<&'static str>))
        .route("/readyz", get(std::future::pending::<&'static str>))
        .route("/v1/admin/slow", get(std::future::pending::<&'static str>))
        .route("/left", get(left))
        .route("/healthz", get(left))
        .route("/v1/admin/left", get(left))
        .route("/foreign", get(foreign))
        .route("/briefly", get(briefly))
}

/// Holds what is told when it is dropped.
#[derive(Clone)]
struct Told(mpsc::UnboundedSender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A body without end, which tells when it is given up.
fn endless(given_up: mpsc::UnboundedSender<()>) -> Router {
    let answer = move || {
        let chunks = futures::stream::unfold(Told(given_up.clone()), |told| async move {
            Some((
                Ok::<_, Infallible>(Bytes::from(vec![b'x'; 16 * 1024])),
                told,
            ))
        });
        std::future::ready(Body::from_stream(chunks))
    };
    Router::new().route("/endless", get(answer))
}

async fn ids(tenant: TenantId, id: axum::Extension<RequestId>) -> String {
    format!("{tenant} {}", id.0)
}

async fn fails() -> &'static str {
    panic!("a secret that no client may see")
}

async fn foreign() -> impl IntoResponse {
    let media_type = [("content-type", "application/vnd.schemaregistry.v1+json")];
    (StatusCode::NOT_FOUND, media_type, r#"{"error_code":40401}"#)
}

async fn left(deadline: axum::Extension<Deadline>) -> String {
    deadline.left().as_secs().to_string()
}

async fn briefly() -> &'static str {
    tokio::time::sleep(Duration::from_millis(200)).await;
    "answered"
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    async fn read_to_end(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).unwrap_or("0").parse().unwrap();
        Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines
            .find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }

    fn problem(&self) -> Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.head
        );
        serde_json::from_str(&self.body).unwrap()
    }
}

fn tiny() -> HttpLimits {
    HttpLimits {
        header_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        body_timeout: Duration::from_millis(50),
        service_timeout: Duration::from_millis(300),
        ..HttpLimits::default()
    }
}

#[tokio::test]
async fn a_request_id_of_the_client_is_echoed_and_in_every_error() {
    let server = Server::start(HttpLimits::default());
    let answer = server.get("/nowhere", "x-request-id: mine-1\r\n").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    let problem = answer.problem();
    assert_eq!(problem["request_id"], "mine-1");
    assert_eq!(problem["instance"], "/nowhere");
    assert_eq!(problem["code"], "not_found");
    assert_eq!(problem["status"], 404);
}

#[tokio::test]
async fn a_request_without_an_id_gets_a_uuid() {
    let server = Server::start(HttpLimits::default());
    let answer = server.get("/ids", "").await;
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 7);
    assert_eq!(answer.body, format!("default {id}"));
}

#[tokio::test]
async fn a_wrong_method_is_a_problem_that_still_names_the_right_ones() {
    let server = Server::start(HttpLimits::default());
    let answer = server.get("/echo", "").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), Some("POST"));
    assert_eq!(answer.problem()["code"], "method_not_allowed");
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing() {
    let server = Server::start(HttpLimits::default());
    let answer = server.get("/panic", "").await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.problem()["code"], "internal");
    assert!(!answer.body.contains("secret"));
}

#[tokio::test]
async fn being_away_says_when_to_come_again() {
    let server = Server::start(HttpLimits::default());
    let answer = server.get("/away", "").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.problem()["code"], "brokers_away");
}

#[tokio::test]
async fn an_error_in_another_protocols_form_is_left_alone() {
    let server = Server::start(HttpLimits::default());
    let answer = server.get("/foreign", "").await;
    assert_eq!(answer.body, r#"{"error_code":40401}"#);
}

#[tokio::test]
async fn a_bad_tenant_is_a_problem() {
    let server = Server::start(HttpLimits::default());
    let answer = server.get("/ids", "x-tenant-id: no/slash\r\n").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.problem()["code"], "invalid_tenant");
}

#[tokio::test]
async fn slow_headers_are_told_so() {
    let server = Server::start(tiny());
    let answer = server.exchange(b"GET / HTTP/1.1\r\nhost: a\r\n").await;
    assert_eq!(answer.status, 408);
    assert_eq!(answer.problem()["code"], "slow_headers");
}

#[tokio::test]
async fn slow_headers_of_a_second_request_are_told_so_too() {
    let limits = HttpLimits {
        idle_timeout: DEADLINE,
        ..tiny()
    };
    let server = Server::start(limits);
    let first = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut stream = server.connect().await;
    stream.write_all(first.as_bytes()).await.unwrap();
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).await.unwrap();
    assert!(bytes[..count].starts_with(b"HTTP/1.1 200"));
    stream.write_all(b"GET / HT").await.unwrap();
    assert_eq!(Answer::read_to_end(&mut stream).await.status, 408);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let server = Server::start(tiny());
    let mut bytes = Vec::new();
    let mut stream = server.connect().await;
    let read = stream.read_to_end(&mut bytes);
    tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
    assert_eq!(bytes, b"");
}

#[tokio::test]
async fn who_speaks_http_2_is_told_so_also_a_byte_at_a_time() {
    let server = Server::start(tiny());
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for first in [preface.len(), 1, 2] {
        let mut stream = server.connect().await;
        stream.set_nodelay(true).unwrap();
        stream.write_all(&preface[..first]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        // It may be refused already.
        let _ = stream.write_all(&preface[first..]).await;
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
        let answer = String::from_utf8(bytes).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{first}: {answer}");
        assert!(answer.contains("\"code\":\"http_version\""), "{answer}");
    }
}

#[tokio::test]
async fn a_slow_body_is_told_so() {
    let server = Server::start(tiny());
    let answer = server
        .exchange(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")
        .await;
    assert_eq!(answer.status, 408);
    assert_eq!(answer.problem()["code"], "slow_body");
}

#[tokio::test]
async fn a_slow_answer_ends_in_a_timeout() {
    let server = Server::start(tiny());
    let answer = server.get("/slow", "").await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.problem()["code"], "timeout");
}

#[tokio::test]
async fn each_kind_of_request_has_a_time_of_its_own_and_is_ended_by_it() {
    let limits = HttpLimits::default();
    let order = [
        limits.service_timeout,
        limits.admin_timeout,
        limits.health_timeout,
    ];
    assert_eq!(order.map(|it| it.as_secs()), [20, 10, 3]);
    let server = Server::start(HttpLimits {
        admin_timeout: Duration::from_millis(100),
        health_timeout: Duration::from_millis(50),
        ..limits
    });
    for path in ["/readyz", "/v1/admin/slow"] {
        let answer = server.get(path, "").await;
        assert_eq!(answer.status, 504, "{path}");
        assert_eq!(answer.problem()["code"], "timeout");
    }
}

#[tokio::test]
async fn no_kind_of_request_is_given_the_time_of_another() {
    let hours = |count: u64| Duration::from_secs(3600 * count);
    let server = Server::start(HttpLimits {
        service_timeout: hours(5),
        admin_timeout: hours(3),
        health_timeout: hours(1),
        ..HttpLimits::default()
    });
    for (path, most) in [("/left", 5), ("/v1/admin/left", 3), ("/healthz", 1)] {
        let left: u64 = server.get(path, "").await.body.parse().unwrap();
        let time = hours(most - 1).as_secs()..=hours(most).as_secs();
        assert!(time.contains(&left), "{path}: {left}");
    }
}

#[tokio::test]
async fn ten_thousand_bytes_of_headers_are_refused_with_the_bound() {
    let server = Server::start(HttpLimits::default());
    let header = format!("x-long: {}\r\n", "a".repeat(10_000));
    let answer = server.get("/", &header).await;
    assert_eq!(answer.status, 431);
    assert_eq!(answer.problem()["code"], "headers_too_large");
    assert!(
        answer.problem()["detail"]
            .as_str()
            .unwrap()
            .contains("8192")
    );
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let server = Server::start(HttpLimits::default());
    let headers: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    assert_eq!(server.get("/", &headers).await.status, 431);
}

#[tokio::test]
async fn a_megabyte_of_headers_still_gets_its_answer() {
    let server = Server::start(HttpLimits::default());
    let header = format!("x-long: {}\r\n", "a".repeat(1_000_000));
    assert_eq!(server.get("/", &header).await.status, 431);
}

#[tokio::test]
async fn a_body_that_is_too_large_gets_its_answer_while_it_is_still_sent() {
    let server = Server::start(HttpLimits::default());
    let length = 50_000_000;
    let mut request =
        format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    request.resize(request.len() + length, b'a');
    let answer = server.exchange(&request).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.problem()["code"], "payload_too_large");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = Server::start(HttpLimits {
        connections_max: 1,
        ..HttpLimits::default()
    });
    let mut first = server.connect().await;
    first
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut bytes = [0; 4096];
    assert!(first.read(&mut bytes).await.unwrap() > 0);
    let answer = Answer::read_to_end(&mut server.connect().await).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.problem()["code"], "too_many_connections");
}

/// A client that asks for something without end and takes in as little as it can.
async fn ask_for_the_endless(server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let request = b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_takes_nothing_in_gives_its_place_back() {
    let (given_up, mut heard) = mpsc::unbounded_channel();
    let limits = HttpLimits {
        write_timeout: Duration::from_millis(300),
        connections_max: 1,
        ..HttpLimits::default()
    };
    let server = Server::start_with(limits, routes().merge(endless(given_up)));
    let begun = Instant::now();
    let mut stalled = ask_for_the_endless(&server).await;
    stalled.read_exact(&mut [0; 12]).await.unwrap();
    // Neither does the body stay, nor the connection's place.
    let gone = tokio::time::timeout(DEADLINE, heard.recv()).await;
    gone.expect("the answer is still being sent").unwrap();
    let answer = server.get("/", "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "it lingered: {took:?}");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, stalled.read_to_end(&mut rest)).await;
    let error = ended.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_left_alone() {
    let (given_up, mut heard) = mpsc::unbounded_channel();
    let write_timeout = Duration::from_millis(500);
    let limits = HttpLimits {
        write_timeout,
        ..HttpLimits::default()
    };
    let server = Server::start_with(limits, endless(given_up));
    let mut slow = ask_for_the_endless(&server).await;
    let begun = Instant::now();
    let mut chunk = vec![0; 256 * 1024];
    while begun.elapsed() < 4 * write_timeout {
        // Whole windows are taken in, and there is a pause after each.
        slow.read_exact(&mut chunk).await.unwrap();
        tokio::time::sleep(write_timeout / 5).await;
    }
    assert!(heard.try_recv().is_err(), "it was given up");
    drop(slow);
    let gone = tokio::time::timeout(DEADLINE, heard.recv()).await;
    gone.expect("its client has gone").unwrap();
}

#[tokio::test]
async fn a_stop_lets_the_request_at_hand_be_answered() {
    let server = Server::start(HttpLimits::default());
    let mut stream = server.connect().await;
    let request = b"GET /briefly HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    // A second connection's answer shows that the first was accepted before.
    assert_eq!(server.get("/", "").await.status, 200);
    server.stop.cancel();
    assert_eq!(Answer::read_to_end(&mut stream).await.body, "answered");
    tokio::time::timeout(DEADLINE, server.ended)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_its_grace() {
    let limits = HttpLimits {
        grace: Duration::from_millis(50),
        ..HttpLimits::default()
    };
    let server = Server::start(limits);
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(server.get("/", "").await.status, 200);
    server.stop.cancel();
    // The service timeout is 20 s: an end before that is the grace's doing.
    let ended = tokio::time::timeout(Duration::from_secs(10), server.ended);
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_taken_address_says_which_and_what_to_do() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let text = bind(address).unwrap_err().to_string();
    assert!(text.contains(&address.to_string()), "{text}");
    assert!(text.contains("--listen"), "{text}");
}
