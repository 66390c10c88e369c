//! What happens on a connection around its requests: how many there may be, how
//! long a request's headers may take, that a last answer reaches a client which is
//! still sending, and that one which takes nothing in holds nothing. hyper closes
//! slow connections without a word and resets those whose bytes it did not read; a
//! client should learn why instead. For one that does not read it waits for ever.

use super::limits::HttpLimits;
use axum::http::{Request, Response, StatusCode};
use axum_server::accept::Accept;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tower::Service;

/// How long a closed connection is still read, so that the last answer is not
/// lost to a reset.
const LINGER: Duration = Duration::from_secs(5);

/// How many refused connections are read to their end at once.
const REFUSED_MAX: usize = 64;

// These answers end where the connection ends, so they need no length.
const SLOW_HEADERS: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Request Timeout\",\"status\":408,\"code\":\"slow_headers\",\"detail\":\"the headers of the request did not arrive in time\"}";

/// How a connection begins that is to speak HTTP/2 from the start.
const HTTP_2: &[u8] = b"PRI";

const NOT_HTTP_1: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"code\":\"http_version\",\"detail\":\"HTTP/1.1 is spoken here\"}";

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"too_many_connections\",\"detail\":\"all connections are taken; try again\"}";

/// Accepts connections up to a cap and gives each its lifeline.
#[derive(Debug, Clone)]
pub(super) struct Acceptor {
    places: Arc<Semaphore>,
    /// Those who are turned away and still read; beyond them nobody is waited for.
    refused: Arc<Semaphore>,
    header_timeout: Duration,
    idle_timeout: Duration,
    write_timeout: Duration,
}

impl Acceptor {
    pub(super) fn new(limits: &HttpLimits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.connections_max)),
            refused: Arc::new(Semaphore::new(REFUSED_MAX)),
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            write_timeout: limits.write_timeout,
        }
    }

    fn admit(&self, stream: TcpStream) -> io::Result<Lifeline> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            metrics::counter!("http_connections_refused_total").increment(1);
            // A socket that was just accepted has room for these few bytes.
            let _ = stream.try_write(TOO_MANY);
            linger(stream, Arc::clone(&self.refused).try_acquire_owned().ok());
            return Err(io::Error::other("all connections are taken"));
        };
        stream.set_nodelay(true)?;
        Ok(Lifeline {
            stream: Some(stream),
            place: Some(place),
            in_request: Arc::default(),
            begun: Arc::default(),
            clock_begun: 0,
            header_timeout: self.header_timeout,
            said_of_http_2: Some(0),
            clock: Some(Box::pin(tokio::time::sleep(self.idle_timeout))),
            write_timeout: self.write_timeout,
            stall: None,
        })
    }
}

impl<S> Accept<TcpStream, S> for Acceptor {
    type Stream = Lifeline;
    type Service = Tracked<S>;
    type Future = std::future::Ready<io::Result<(Lifeline, Tracked<S>)>>;

    fn accept(&self, stream: TcpStream, inner: S) -> Self::Future {
        std::future::ready(self.admit(stream).map(|lifeline| {
            let tracked = Tracked {
                inner,
                in_request: Arc::clone(&lifeline.in_request),
                begun: Arc::clone(&lifeline.begun),
            };
            (lifeline, tracked)
        }))
    }
}

/// The service of one connection, which says when a request is being answered.
#[derive(Debug, Clone)]
pub(super) struct Tracked<S> {
    inner: S,
    in_request: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
}

impl<S, B, R> Service<Request<B>> for Tracked<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.begun.fetch_add(1, Ordering::AcqRel);
        let mut running = Running::new(&self.in_request);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answered = answer.await;
            let is_upgrade = |it: &Response<R>| it.status() == StatusCode::SWITCHING_PROTOCOLS;
            if answered.as_ref().is_ok_and(is_upgrade) {
                running.stay();
            }
            answered
        })
    }
}

/// Counts a request as running until it is answered or given up.
struct Running {
    in_request: Arc<AtomicUsize>,
    /// The connection speaks another protocol from here on: what comes is no request's headers.
    for_ever: bool,
}

impl Running {
    fn new(in_request: &Arc<AtomicUsize>) -> Self {
        in_request.fetch_add(1, Ordering::AcqRel);
        Self {
            in_request: Arc::clone(in_request),
            for_ever: false,
        }
    }

    fn stay(&mut self) {
        self.for_ever = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.for_ever {
            self.in_request.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A connection that times the headers of each request from their first byte.
#[derive(Debug)]
pub(super) struct Lifeline {
    /// Taken when the connection is dropped, or has stalled.
    stream: Option<TcpStream>,
    place: Option<OwnedSemaphorePermit>,
    in_request: Arc<AtomicUsize>,
    /// Requests whose headers were complete so far. One that is answered between two reads shows
    /// only here.
    begun: Arc<AtomicUsize>,
    /// What `begun` was when the clock was started.
    clock_begun: usize,
    header_timeout: Duration,
    /// How much was said of [`HTTP_2`] and of nothing else; none: this is HTTP/1. hyper begins its own times
    /// with the first bytes.
    said_of_http_2: Option<usize>,
    /// Runs until the first byte, and then from the first byte of a request until its headers are
    /// complete.
    clock: Option<Pin<Box<Sleep>>>,
    write_timeout: Duration,
    /// Runs while there are bytes to write and none can be written.
    stall: Option<Pin<Box<Sleep>>>,
}

impl Lifeline {
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.stream.as_mut();
        stream
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Ready when the headers at hand took too long.
    fn poll_too_slow(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let is_complete = self.begun.load(Ordering::Acquire) != self.clock_begun;
        if is_complete || self.in_request.load(Ordering::Acquire) > 0 {
            self.clock = None;
            return Poll::Pending;
        }
        match &mut self.clock {
            Some(clock) => clock
                .as_mut()
                .poll(context)
                .map(|()| io::ErrorKind::TimedOut.into()),
            None => Poll::Pending,
        }
    }

    /// What became of a write, and an error where nothing could be written for too long. Such a client reads
    /// no last word either, so the connection is reset: what waits for it in the system goes at once.
    fn unless_stalled(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let timeout = self.write_timeout;
        let clock = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(clock.as_mut().poll(context));
        metrics::counter!("http_connections_stalled_total").increment(1);
        if let Some(stream) = self.stream.take() {
            // Without it the system would go on trying for a while.
            let _ = stream.set_zero_linger();
        }
        self.place = None;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// How much of [`HTTP_2`] was said with these bytes, which may bring it in pieces; none: something else was.
fn go_on_with_http_2(said: usize, bytes: &[u8]) -> Option<usize> {
    let left = HTTP_2.get(said..)?;
    let length = left.len().min(bytes.len());
    (left[..length] == bytes[..length]).then_some(said + length)
}

impl AsyncRead for Lifeline {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_too_slow(context) {
            let has_spoken = self.said_of_http_2 != Some(0);
            if let (true, Ok(stream)) = (has_spoken, self.stream()) {
                let _ = stream.try_write(SLOW_HEADERS);
            }
            return Poll::Ready(Err(error));
        }
        let filled = buffer.filled().len();
        let read = self.stream()?.poll_read(context, buffer);
        let has_more = buffer.filled().len() > filled;
        if let (true, Some(said)) = (has_more, self.said_of_http_2) {
            if said == 0 {
                self.clock = None;
            }
            self.said_of_http_2 = go_on_with_http_2(said, &buffer.filled()[filled..]);
            // Whatever serves upgrades would go on in HTTP/2, which knows none of these times.
            if self.said_of_http_2 == Some(HTTP_2.len()) {
                let _ = self.stream()?.try_write(NOT_HTTP_1);
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        let began = has_more && self.clock.is_none();
        if began && self.in_request.load(Ordering::Acquire) == 0 {
            self.clock_begun = self.begun.load(Ordering::Acquire);
            self.clock = Some(Box::pin(tokio::time::sleep(self.header_timeout)));
        }
        read
    }
}

impl AsyncWrite for Lifeline {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(context, bytes);
        self.unless_stalled(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(context, slices);
        self.unless_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(TcpStream::is_write_vectored)
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            linger(stream, self.place.take());
        }
    }
}

/// Keeps a connection that has its last answer until the client has read it.
fn linger(stream: TcpStream, place: Option<OwnedSemaphorePermit>) {
    let (Some(place), Ok(runtime)) = (place, tokio::runtime::Handle::try_current()) else {
        return;
    };
    runtime.spawn(async move {
        // A client that goes away early, or stays too long, has had its chance.
        let _ = tokio::time::timeout(LINGER, drain(stream)).await;
        drop(place);
    });
}

/// Reads what a client still sends until it has seen the end. Closing a socket
/// with unread bytes resets it, and a reset takes the answer away again.
async fn drain(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut ignored = vec![0; 64 * 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}
