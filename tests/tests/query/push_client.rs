//! Two readers of streams: Server-Sent Events by the book, and WebSocket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::push_stage::Stage;
use crate::served::DEADLINE;

/// What a reader gets: an event with its type, or an id alone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    pub(crate) id: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) data: Value,
}

impl Heard {
    /// What makes an event this one: its id and where it lies.
    pub(crate) fn place(&self) -> (String, i64, i64, String) {
        let text = |name: &str| self.data[name].as_str().unwrap().to_owned();
        let number = |name: &str| self.data[name].as_i64().unwrap();
        (
            text("topic"),
            number("partition"),
            number("offset"),
            text("event_id"),
        )
    }
}

/// One event's lines, as the standard has them read.
fn heard(block: &str) -> Heard {
    let mut heard = Heard {
        id: None,
        kind: None,
        data: Value::Null,
    };
    for line in block.lines() {
        let (field, value) = line.split_once(": ").unwrap();
        match field {
            "" => assert_eq!(value, "alive"),
            "id" => heard.id = Some(value.to_owned()),
            "event" => heard.kind = Some(value.to_owned()),
            "data" => heard.data = serde_json::from_str(value).unwrap(),
            other => panic!("a field {other}"),
        }
    }
    heard
}

/// A reader of Server-Sent Events.
pub(crate) struct Events {
    response: reqwest::Response,
    rest: Vec<u8>,
    found: VecDeque<Heard>,
    /// After so many bytes nothing more is read.
    pub(crate) bytes_left: usize,
}

impl Events {
    pub(crate) async fn open(stage: &Stage, path: &str, headers: &[(&str, &str)]) -> Self {
        let response = send(stage, path, headers).await;
        let status = response.status();
        if status != 200 {
            panic!("{status}: {}", response.text().await.unwrap());
        }
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            rest: Vec::new(),
            found: VecDeque::new(),
            bytes_left: usize::MAX,
        }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// What comes next; none: the stream has ended, or so much was read as was to be.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        let next = tokio::time::timeout(DEADLINE, self.next_ever());
        next.await.expect("the stream is silent")
    }

    async fn next_ever(&mut self) -> Option<Heard> {
        loop {
            if let Some(heard) = self.found.pop_front() {
                return Some(heard);
            }
            if self.bytes_left == 0 {
                return None;
            }
            let chunk = self.response.chunk().await.ok()??;
            let taken = chunk.len().min(self.bytes_left);
            self.bytes_left -= taken;
            self.rest.extend_from_slice(&chunk[..taken]);
            while let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.rest.drain(..end + 2).collect();
                self.found
                    .push_back(heard(std::str::from_utf8(&block[..end]).unwrap()));
            }
        }
    }

    /// The next event; ids alone are passed over.
    pub(crate) async fn event(&mut self) -> Heard {
        loop {
            let heard = self.next().await.expect("the stream has ended");
            if heard.kind.is_some() {
                return heard;
            }
        }
    }

    /// The next so many events, by their event ids as numbers.
    pub(crate) async fn numbers(&mut self, count: usize) -> Vec<u128> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(number(&self.event().await));
        }
        numbers
    }

    /// Nothing but ids comes for a while: at least two of them, which are a beat apart.
    pub(crate) async fn is_quiet(&mut self) {
        for _ in 0..2 {
            let heard = self.next().await.expect("the stream has ended");
            assert_eq!(heard.kind, None, "{heard:?}");
        }
    }
}

pub(crate) fn number(heard: &Heard) -> u128 {
    let id = heard.data["event_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{heard:?}"));
    id.parse::<uuid::Uuid>().unwrap().as_u128()
}

pub(crate) async fn send(stage: &Stage, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let client = reqwest::Client::new();
    let mut request = client.get(stage.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// A reader over WebSocket.
pub(crate) struct Socket {
    pub(crate) inner: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub(crate) async fn open(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Error> {
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let (inner, _) = connect_async(request).await?;
        Ok(Self { inner })
    }

    /// The next message, whatever it is; none: the connection has ended without a word.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(DEADLINE, self.inner.next()).await;
        next.expect("the socket is silent")?.ok()
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> Option<Heard> {
        loop {
            match self.message().await? {
                Message::Text(text) => {
                    let json: Value = serde_json::from_str(&text).unwrap();
                    return Some(Heard {
                        id: json["id"].as_str().map(str::to_owned),
                        kind: json["type"].as_str().map(str::to_owned),
                        data: json["event"].clone(),
                    });
                }
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    pub(crate) async fn event(&mut self) -> Heard {
        loop {
            let heard = self.next().await.expect("the socket has ended");
            if heard.kind.is_some() {
                return heard;
            }
        }
    }
}

/// As long as something that is not to happen is waited for.
pub(crate) const MOMENT: Duration = Duration::from_millis(300);
