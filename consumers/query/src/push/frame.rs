//! What is sent on streams, encoded once for all who get it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use licenseflow_core::contract::Topics;
use licenseflow_store::lookup::SaidEvent;

use super::seat::Ending;
use crate::shapes;

/// An event with its id, or an id alone: how far the stream has come without one.
#[derive(Debug)]
pub(super) struct Frame {
    /// The position after it.
    pub(super) id: String,
    event: Option<(&'static str, String)>,
    sse: OnceLock<Bytes>,
    text: OnceLock<Utf8Bytes>,
    held: Option<Held>,
}

/// Counts a frame for as long as it is kept for anyone.
#[derive(Debug)]
struct Held {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Frame {
    pub(super) fn of(id: String, event: &SaidEvent, topics: &Topics) -> Self {
        let kind = event.row.recorded.event.payload.kind().name();
        let json = shapes::event(&event.row, topics).to_string();
        Self {
            event: Some((kind, json)),
            ..Self::mark(id)
        }
    }

    /// Says how far the stream has come.
    pub(super) fn mark(id: String) -> Self {
        Self {
            id,
            event: None,
            sse: OnceLock::new(),
            text: OnceLock::new(),
            held: None,
        }
    }

    /// The same, counted into `total` until nobody keeps it any more.
    pub(super) fn counted(mut self, total: &Arc<AtomicUsize>) -> Self {
        let bytes = self.bytes();
        total.fetch_add(bytes, Ordering::Relaxed);
        self.held = Some(Held {
            total: Arc::clone(total),
            bytes,
        });
        self
    }

    /// How many bytes it has, about, as long as it is kept.
    pub(super) fn bytes(&self) -> usize {
        let json = self.event.as_ref().map_or(0, |(_, json)| json.len());
        2 * (self.id.len() + json) + 128
    }

    /// As an event of Server-Sent Events. An id without data is taken by readers as the last one, and
    /// shown to nobody.
    pub(super) fn sse(&self) -> Bytes {
        let encode = || match &self.event {
            Some((kind, json)) => format!("id: {}\nevent: {kind}\ndata: {json}\n\n", self.id),
            None => format!(": alive\nid: {}\n\n", self.id),
        };
        self.sse.get_or_init(|| encode().into()).clone()
    }

    /// As a message of WebSocket.
    pub(super) fn text(&self) -> Utf8Bytes {
        let encode = || match &self.event {
            Some((kind, json)) => {
                format!(
                    "{{\"id\":\"{}\",\"type\":\"{kind}\",\"event\":{json}}}",
                    self.id
                )
            }
            None => format!("{{\"id\":\"{}\"}}", self.id),
        };
        self.text.get_or_init(|| encode().into()).clone()
    }
}

/// The last event of a stream over Server-Sent Events: why it ends, and where to go on.
pub(super) fn cut_sse(ending: Ending, id: &str) -> Bytes {
    let json = serde_json::json!({
        "reason": ending.reason(),
        "detail": ending.detail(),
        "last_event_id": id,
    });
    format!("id: {id}\nevent: cut\ndata: {json}\n\n").into()
}
