//! What an operator asks and does: dead letters and replays, under `/v1/admin`.
//!
//! It is served by the roles that build the read model, beside their writer. A call of the store or the
//! brokers blocks, and so is made off the runtime's threads, a few at a time. What it needs of the log
//! reaches it through [`Lanes`].

mod asked;
mod chosen;
mod found;
mod lanes;
mod list;
mod redrive;
mod replays;
mod resolve;
mod shapes;
mod words;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use licenseflow_core::contract::{Schemas, Topics};
use licenseflow_runtime::http::Problem;
use licenseflow_runtime::http::openapi::{Routes, nothing};
use licenseflow_store::{DeadLetters, Generations};
use tokio::sync::Semaphore;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::answer::Failure;
use crate::clock::Clock;
use crate::metrics;

pub use lanes::{Lanes, LanesAway, Originals, PartitionSpan, Published, Redriven};

/// So many calls block at once.
const CALLS_MAX: usize = 4;

/// A body is a filter, or the places of a thousand letters.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What the admin API is made of.
pub struct AdminOptions {
    /// The letters.
    pub letters: Arc<dyn DeadLetters>,
    /// The generations of the store.
    pub generations: Arc<dyn Generations>,
    /// The lanes that records came from.
    pub lanes: Arc<dyn Lanes>,
    /// Where schemas come from. Its calls block.
    pub schemas: Arc<dyn Schemas + Send + Sync>,
    /// The topics that answers name.
    pub topics: Topics,
    /// How far `occurred_at` may be ahead of a record's timestamp, in microseconds.
    pub max_future_skew_micros: i64,
    /// The time.
    pub clock: Clock,
}

/// What every handler holds.
#[derive(Clone)]
pub(crate) struct AdminState(Arc<Held>);

struct Held {
    options: AdminOptions,
    calls: Arc<Semaphore>,
    /// One redrive at a time: two of one filter would send each record twice.
    redrives: Arc<Semaphore>,
}

impl AdminState {
    fn options(&self) -> &AdminOptions {
        &self.0.options
    }

    fn now_ms(&self) -> i64 {
        (self.options().clock)().div_euclid(1000)
    }

    /// Makes a call that blocks, in its turn.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&AdminState) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.in_turn(Arc::clone(&self.0.calls), call).await
    }

    /// The same, but alone among those that redrive.
    async fn redriving<T: Send + 'static>(
        &self,
        call: impl FnOnce(&AdminState) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.in_turn(Arc::clone(&self.0.redrives), call).await
    }

    /// The turn is the call's: it is free again when the call has really ended.
    async fn in_turn<T: Send + 'static>(
        &self,
        turns: Arc<Semaphore>,
        call: impl FnOnce(&AdminState) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Ok(turn) = turns.acquire_owned().await else {
            return Err(Problem::internal().into());
        };
        let state = self.clone();
        let called = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            call(&state)
        });
        called.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a call of the admin API did not end");
            Err(Problem::internal().into())
        })
    }
}

/// The routes of the admin API, with their description.
pub fn routes(options: AdminOptions) -> Routes {
    metrics::describe_admin();
    let state = AdminState(Arc::new(Held {
        options,
        calls: Arc::new(Semaphore::new(CALLS_MAX)),
        redrives: Arc::new(Semaphore::new(1)),
    }));
    let routes = described(|route| route.map(|methods| methods.route_layer(from_fn(around))));
    routes.with_state(state)
}

/// The description of the admin API.
pub fn document() -> OpenApi {
    described(|route| route).into_openapi()
}

type Route = UtoipaMethodRouter<AdminState>;

fn described(around: impl Fn(Route) -> Route) -> Routes<AdminState> {
    let limit = || DefaultBodyLimit::max(BODY_BYTES_MAX);
    let all: [Route; 14] = [
        routes!(list::list),
        routes!(found::one),
        routes!(redrive::redrive).layer(limit()),
        routes!(resolve::resolve).layer(limit()),
        routes!(replays::list, replays::begin::begin).layer(limit()),
        routes!(replays::one),
        routes!(replays::deeds::pause).layer(limit()),
        routes!(replays::deeds::resume).layer(limit()),
        routes!(replays::deeds::compare).layer(limit()),
        routes!(replays::deeds::switch).layer(limit()),
        routes!(replays::deeds::roll_back_to).layer(limit()),
        routes!(replays::deeds::cancel).layer(limit()),
        routes!(replays::deeds::drop_former).layer(limit()),
        routes!(replays::deeds::roll_back).layer(limit()),
    ];
    let all = all.into_iter().map(around);
    let mut routes = all.fold(Routes::with_openapi(nothing()), Routes::routes);
    words::lay(routes.get_openapi_mut());
    routes
}

/// Nobody keeps an answer.
async fn around(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let nobody = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, nobody);
    response
}
