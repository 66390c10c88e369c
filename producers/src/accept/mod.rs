//! The HTTP intake: `POST /v1/events` takes events, and answers with receipts once the brokers have them.
//!
//! It owns what a client may send and what it is told. It must not know how a record is produced
//! ([`crate::publish`]) nor what an event does. Statuses, for one event or for a request as a whole:
//!
//! | status | when |
//! |---|---|
//! | 202 | every event has its receipt |
//! | 207 | many: some have one |
//! | 400 | a header is malformed, the body is empty, a single event or the array is not JSON |
//! | 413 | too many bytes or events; nothing was taken |
//! | 415 | the media type is missing or not one of ours |
//! | 422 | the content of every event is at fault |
//! | 503 | the brokers have not acknowledged, or too much is going on here; come again |
//!
//! Of many, each line stands alone, and its problem has the status that it alone would have had, but a
//! line that is not JSON is 422. Blank lines are no lines.

#![expect(
    clippy::result_large_err,
    reason = "an error here is an answer over HTTP: one a request"
)]

mod answer;
mod binary;
mod body;
mod complete;
mod openapi;
mod read;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use licenseflow_avro::LicenseEvent;
use licenseflow_runtime::http::openapi::{Routes, nothing};
use licenseflow_runtime::http::{GivenTenant, Problem, RequestId};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

use crate::clock;
use crate::metrics;
use crate::publish::{Delivery, PublishError, Publisher, Receipt};
use answer::{Answer, Line};
use body::BodyRoom;
use complete::Completion;
use read::{Batch, Reading};
use request::Asked;

/// Bodies from this size on are parsed on a thread where that disturbs nobody.
const PARSED_INLINE_BYTES_MAX: usize = 64 * 1024;

/// Events of one request that are on their way at once.
const EVENTS_AT_ONCE: usize = 1000;

/// The bounds of the intake.
#[derive(Debug, Clone)]
pub struct IntakeSettings {
    /// The largest event, in bytes as sent.
    pub event_bytes_max: usize,
    /// The most events of one request.
    pub request_events_max: usize,
    /// The largest request, in bytes.
    pub request_bytes_max: usize,
    /// How far an event's own time may be ahead of now; the projector would reject it.
    pub max_future_skew: Duration,
    /// From a request's headers to its answer. It must be under the service's timeout, which would
    /// answer without saying what became of the events.
    pub answer_within: Duration,
    /// How many requests are served at once; one more is told to come again.
    pub requests_max: usize,
    /// How many bytes of bodies are held at once, over all requests; beyond, clients are told to come
    /// again.
    pub bodies_bytes_max: usize,
}

impl Default for IntakeSettings {
    fn default() -> Self {
        Self {
            event_bytes_max: 1024 * 1024,
            request_events_max: 10_000,
            request_bytes_max: 16 * 1024 * 1024,
            max_future_skew: Duration::from_secs(5 * 60),
            answer_within: Duration::from_secs(18),
            requests_max: 512,
            bodies_bytes_max: 128 * 1024 * 1024,
        }
    }
}

/// The intake's routes. They are to be served by the runtime's `serve`, which names requests; the
/// publisher is to be stopped after that has ended, so that what was taken is answered.
pub fn router(publisher: Publisher, settings: IntakeSettings) -> Router {
    routes(publisher, settings).into()
}

/// The same, with their description.
pub fn routes(publisher: Publisher, settings: IntakeSettings) -> Routes {
    let intake = Intake {
        publisher,
        places: Semaphore::new(settings.requests_max),
        room: BodyRoom::new(settings.bodies_bytes_max),
        settings,
    };
    described().with_state(Arc::new(intake))
}

/// The description of the intake's routes.
pub fn document() -> OpenApi {
    described().into_openapi()
}

fn described() -> Routes<Arc<Intake>> {
    let mut routes = Routes::with_openapi(nothing()).routes(routes!(take_events));
    openapi::lay(routes.get_openapi_mut());
    routes
}

struct Intake {
    publisher: Publisher,
    settings: IntakeSettings,
    places: Semaphore,
    room: BodyRoom,
}

/// Send events
///
/// The answer comes when the brokers have them. An event that is sent again with the same `event_id` and
/// `occurred_at` counts once.
#[utoipa::path(post, path = "/v1/events", tag = openapi::INTAKE, operation_id = "sendEvents")]
async fn take_events(
    State(intake): State<Arc<Intake>>,
    Extension(id): Extension<RequestId>,
    tenant: GivenTenant,
    request: Request,
) -> Response {
    match intake.take(id, tenant, request).await {
        Ok(answer) => answer.into_response(),
        Err(problem) => problem.member("outcome", "refused").into_response(),
    }
}

impl Intake {
    /// An error is about the request as a whole, before any of its events was sent.
    async fn take(
        &self,
        id: RequestId,
        tenant: GivenTenant,
        request: Request,
    ) -> Result<Answer, Problem> {
        let answer_by = Instant::now() + self.settings.answer_within;
        let Ok(_place) = self.places.try_acquire() else {
            metrics::request_shed();
            return Err(too_busy());
        };
        let received_at = clock::now_micros();
        let asked = Asked::of(request.headers())?;
        let context = asked.context(&id, received_at / 1000, answer_by)?;
        let body = body::read(request.into_body(), &asked, &self.settings, &self.room).await?;
        metrics::body_read(body.len());
        let reading = Reading {
            form: asked.form,
            event_bytes_max: self.settings.event_bytes_max,
            events_max: self.settings.request_events_max,
            completion: Completion {
                tenant: tenant.0.map(|tenant| tenant.into_string()),
                received_at,
                future_skew: i64::try_from(self.settings.max_future_skew.as_micros())
                    .unwrap_or(i64::MAX),
            },
        };
        let batch = parse(reading, body).await?;
        let lines = self.publish(&batch, asked.lane, &context).await;
        Ok(Answer::new(id, batch.shape, lines))
    }

    /// Sends all events of a request, each without waiting for the one before; results in their order.
    async fn publish(
        &self,
        batch: &Batch,
        lane: licenseflow_avro::Lane,
        context: &crate::publish::RequestContext,
    ) -> Vec<Line> {
        let mut lines = Vec::with_capacity(batch.events.len());
        // In parts, since an event holds its room until its receipt is read: requests that wait for
        // room must not hold all of it meanwhile.
        for events in batch.events.chunks(EVENTS_AT_ONCE) {
            self.publish_part(events, lane, context, &mut lines).await;
        }
        lines
    }

    async fn publish_part(
        &self,
        events: &[Result<LicenseEvent, Box<Problem>>],
        lane: licenseflow_avro::Lane,
        context: &crate::publish::RequestContext,
        lines: &mut Vec<Line>,
    ) {
        let mut on_their_way: Vec<Option<Result<Delivery, PublishError>>> =
            Vec::with_capacity(events.len());
        for event in events {
            on_their_way.push(match event {
                Ok(event) => Some(self.publisher.enqueue(event, lane, context).await),
                Err(_) => None,
            });
        }
        for (event, sent) in events.iter().zip(on_their_way) {
            lines.push(match (event, sent) {
                (Ok(event), Some(sent)) => match receipt(sent).await {
                    Ok(receipt) => Line::Taken(receipt),
                    Err(error) => Line::not_taken(event, &error),
                },
                (Err(problem), _) => Line::Invalid(problem.clone()),
                // Every event was sent above.
                (Ok(_), None) => Line::Invalid(Box::new(Problem::internal())),
            });
        }
    }
}

async fn receipt(sent: Result<Delivery, PublishError>) -> Result<Receipt, PublishError> {
    sent?.receipt().await
}

async fn parse(reading: Reading, body: body::Body) -> Result<Batch, Problem> {
    if body.len() <= PARSED_INLINE_BYTES_MAX {
        return reading.read(&body);
    }
    tokio::task::spawn_blocking(move || reading.read(&body))
        .await
        .unwrap_or_else(|_| Err(Problem::internal()))
}

fn too_busy() -> Problem {
    Problem::unavailable(
        "too_busy",
        "as much is being taken in as there is room for; come again",
    )
}
