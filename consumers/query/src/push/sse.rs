//! A stream as Server-Sent Events.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures::stream;

use super::frame::cut_sse;
use super::session::{Piece, Session};

pub(super) fn response(session: Session) -> Response {
    let pieces = stream::unfold(session, |mut session| async move {
        let piece = session.next().await?;
        let bytes: Bytes = match piece {
            Piece::Frame(frame) => frame.sse(),
            Piece::Cut(ending, id) => cut_sse(ending, &id),
        };
        Some((Ok::<_, Infallible>(bytes), session))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let media_type = HeaderValue::from_static("text/event-stream");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}
