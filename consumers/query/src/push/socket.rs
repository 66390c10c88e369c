//! A stream over WebSocket: each message one event as JSON text, with its id.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};

use super::seat::Ending;
use super::session::{Piece, Session};

/// How long a message may take to be sent: time for one that has stalled to be cut off, and for its
/// reader to come back and learn why.
const SEND_MAX: Duration = Duration::from_secs(60);

/// The largest message that is taken. Nothing is asked for over the socket.
pub(super) const MESSAGE_BYTES_MAX: usize = 1024;

/// What is kept for reading and for writing on each socket, in bytes.
pub(super) const BUFFER_BYTES: usize = 1024;

/// Sends until the stream or its reader ends.
pub(super) async fn run(mut socket: WebSocket, mut session: Session) {
    loop {
        let piece = tokio::select! {
            piece = session.next() => piece,
            heard = socket.recv() => match heard {
                // Pings are answered as they are read; all else is not asked for.
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        };
        let (message, is_last) = match piece {
            Some(Piece::Frame(frame)) => (Message::Text(frame.text()), false),
            Some(Piece::Cut(ending, id)) => (close(ending, &id), true),
            None => return,
        };
        let sent = tokio::time::timeout(SEND_MAX, socket.send(message)).await;
        if is_last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// A close frame's reason has at most 123 bytes: the id is that of the last message.
fn close(ending: Ending, _id: &str) -> Message {
    let code = match ending {
        Ending::SlowReader => close_code::POLICY,
        Ending::Stopping => close_code::AWAY,
        Ending::AnotherModel => close_code::AGAIN,
    };
    let reason = format!("{}: {}", ending.reason(), ending.detail());
    Message::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_fits_into_a_close_frame() {
        for ending in [Ending::SlowReader, Ending::Stopping, Ending::AnotherModel] {
            let Message::Close(Some(frame)) = close(ending, "e:0:1") else {
                panic!("no close frame");
            };
            assert!(frame.reason.len() <= 123, "{}", frame.reason.as_str());
        }
    }
}
