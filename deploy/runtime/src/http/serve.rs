//! Serves one router on one address until a stop is asked for: the listener,
//! hyper's settings, and the bounded end.

use super::harden::harden;
use super::lifeline::Acceptor;
use super::limits::HttpLimits;
use axum::Router;
use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use std::io;
use std::net::{SocketAddr, TcpListener};
use tokio_util::sync::CancellationToken;

/// hyper's own bound on a request's head. It is far above `header_bytes_max`,
/// whose refusal is a problem with a request id; this one is bare.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// hyper's own bound on the number of headers, above `headers_max` as well.
const HEADERS_MAX: usize = 512;

/// Why an address cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process listens there.
    #[error(
        "{0} is taken by another process: stop that one, or choose another address with --listen 127.0.0.1:<port>"
    )]
    AddressTaken(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The listener failed while serving.
    #[error("serving HTTP failed")]
    Serve(#[source] io::Error),
}

/// Takes an address. Serving begins with `serve`; connections that come between
/// wait in the system's queue, so an address may be announced after this.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => Error::AddressTaken(address),
        _ => Error::Bind { address, source },
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Serves the router, hardened, until `stop` is cancelled; then takes no more
/// connections and gives the requests at hand `limits.grace` to be answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    stop: CancellationToken,
) -> Result<(), Error> {
    let handle = Handle::new();
    let mut server = axum_server::from_tcp(listener)
        .map_err(Error::Serve)?
        .acceptor(Acceptor::new(&limits))
        .handle(handle.clone());
    // The builder is told, not the server: that one would serve HTTP/1.1 without upgrades then.
    let builder = server.http_builder();
    *builder = builder.clone().http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(true);

    let serving = server.serve(harden(router, &limits).into_make_service());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended.map_err(Error::Serve),
        () = stop.cancelled() => handle.graceful_shutdown(Some(limits.grace)),
    }
    serving.await.map_err(Error::Serve)
}
