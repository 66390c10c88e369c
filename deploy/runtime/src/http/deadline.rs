//! Two clocks over a request: how long its body may take to come, and how long
//! its answer may take to be made. Each ends in an answer of its own, whatever
//! the handler makes of the interruption.

use super::limits::HttpLimits;
use super::problem::Problem;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// When the answer to a request must be there. Every request that is served has it among its extensions:
/// whatever it waits for on its way, it has no more time than this.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn within(longest: Duration) -> Self {
        Self(Instant::now() + longest)
    }

    /// The time that is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// Ends slow bodies with 408 and slow answers with 504.
pub(super) async fn enforce(limits: &HttpLimits, request: Request, next: Next) -> Response {
    let ran_out = Arc::new(AtomicBool::new(false));
    let deadline = Deadline::within(limits.timeout_of(request.uri().path()));
    let mut request = request.map(|body| bounded(body, limits.body_timeout, &ran_out));
    request.extensions_mut().insert(deadline);
    let answer = tokio::time::timeout_at(deadline.0, next.run(request)).await;
    if ran_out.load(Ordering::Acquire) {
        return slow_body();
    }
    answer.unwrap_or_else(|_| {
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout")
            .detail("the answer took longer than the service allows itself; what was sent may have been taken")
            .into_response()
    })
}

fn slow_body() -> Response {
    let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body")
        .detail("the body did not arrive in time");
    let mut response = problem.into_response();
    // The rest of the body may still be on its way: this connection cannot be
    // used for another request.
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// The same body, which ends in an error when its time has run out.
fn bounded(body: Body, timeout: Duration, ran_out: &Arc<AtomicBool>) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let clock = Box::pin(tokio::time::sleep(timeout));
    let start = (body.into_data_stream(), clock, Arc::clone(ran_out));
    Body::from_stream(futures::stream::unfold(
        start,
        |(mut chunks, mut clock, ran_out)| async move {
            let chunk = tokio::select! {
                biased;
                chunk = chunks.next() => chunk?.map_err(io::Error::other),
                () = &mut clock => {
                    ran_out.store(true, Ordering::Release);
                    Err(io::Error::from(io::ErrorKind::TimedOut))
                }
            };
            Some((chunk, (chunks, clock, ran_out)))
        },
    ))
}
