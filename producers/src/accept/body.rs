//! Reads a body up to its bound and not a byte further, within a bound over all requests.

use std::ops::Deref;
use std::sync::Arc;

use axum::body::Body as Incoming;
use axum::http::StatusCode;
use bytes::BytesMut;
use futures::StreamExt;
use licenseflow_runtime::http::Problem;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::IntakeSettings;
use super::request::{Asked, Form};
use crate::metrics;

/// Room is counted in these.
const PERMIT_BYTES: usize = 1024;

/// Room for the bodies of all requests together.
pub(super) struct BodyRoom(Arc<Semaphore>);

impl BodyRoom {
    pub(super) fn new(bytes: usize) -> Self {
        let permits = (bytes / PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(permits)))
    }
}

/// A body, and the room that it takes for as long as it is held.
pub(super) struct Body {
    bytes: BytesMut,
    room: Option<OwnedSemaphorePermit>,
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The whole body. One that says that it is too large is refused before any of it is read.
pub(super) async fn read(
    incoming: Incoming,
    asked: &Asked,
    settings: &IntakeSettings,
    room: &BodyRoom,
) -> Result<Body, Problem> {
    let too_large = |bytes_max| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large").detail(format!(
            "a request like this one has at most {bytes_max} bytes"
        ))
    };
    let longest = longest(&asked.form, None, settings);
    if asked
        .content_length
        .is_some_and(|length| length > longest as u64)
    {
        return Err(too_large(longest));
    }
    let mut body = Body {
        bytes: BytesMut::new(),
        room: None,
    };
    let mut chunks = incoming.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        // Where the time for the body ran out, the answer is made further out.
        let chunk = chunk.map_err(|_| {
            Problem::bad_request("broken_body", "the body ended before it was complete")
        })?;
        body.bytes.extend_from_slice(&chunk);
        let longest = longest_so_far(&body, asked, settings);
        if body.bytes.len() > longest {
            return Err(too_large(longest));
        }
        body.claim(room)?;
    }
    if body.bytes.iter().all(u8::is_ascii_whitespace) {
        let detail = "there is no event in the body";
        return Err(Problem::bad_request("empty_body", detail));
    }
    Ok(body)
}

impl Body {
    /// Takes room for what has come.
    fn claim(&mut self, room: &BodyRoom) -> Result<(), Problem> {
        let held = self
            .room
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = self.bytes.len().div_ceil(PERMIT_BYTES).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let claimed = Arc::clone(&room.0).try_acquire_many_owned(more as u32);
        let Ok(claimed) = claimed else {
            metrics::request_shed();
            return Err(super::too_busy());
        };
        match &mut self.room {
            Some(room) => room.merge(claimed),
            None => self.room = Some(claimed),
        }
        Ok(())
    }
}

fn longest_so_far(body: &Body, asked: &Asked, settings: &IntakeSettings) -> usize {
    let first = body.bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    longest(&asked.form, first.copied(), settings)
}

/// How long a body of this form may be: whether JSON is one event or many, its first byte says.
fn longest(form: &Form, first: Option<u8>, settings: &IntakeSettings) -> usize {
    let many = match form {
        Form::Lines | Form::CloudEvents => true,
        Form::Json => matches!(first, None | Some(b'[')),
        Form::CloudEvent | Form::CloudEventData(_) => false,
    };
    if many {
        settings.request_bytes_max
    } else {
        settings.event_bytes_max
    }
}
