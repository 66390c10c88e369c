//! One token for the whole process that says "come to an end". It is cancelled
//! by TERM, INT or HUP, or by a part that failed; every loop and every listener
//! waits on it.

use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The time from a signal to the end of the process.
pub const GRACE: Duration = Duration::from_secs(10);

/// The signals that ask for an end.
const SIGNALS: [(SignalKind, &str); 3] = [
    (SignalKind::terminate(), "TERM"),
    (SignalKind::interrupt(), "INT"),
    (SignalKind::hangup(), "HUP"),
];

/// The token of a process, cancelled by the first signal that asks for an end.
/// Must be called inside the runtime, before anything is started that a signal
/// should not tear down.
pub fn on_signals() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    for (kind, name) in SIGNALS {
        let waiting = wait(signal(kind)?, name, token.clone());
        tokio::runtime::Handle::current().spawn(waiting);
    }
    Ok(token)
}

async fn wait(mut signal: Signal, name: &'static str, token: CancellationToken) {
    if signal.recv().await.is_some() {
        tracing::info!(signal = name, "asked to end");
        token.cancel();
    }
}
