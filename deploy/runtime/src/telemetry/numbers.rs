//! Numbers for Prometheus: the recorder that every room's `metrics` macros reach,
//! and the page that `/metrics` shows.

use super::Error;
use super::build::VERSION;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::time::Duration;

/// Bounds of every histogram, in its unit (seconds for durations, else counts),
/// four a decade from a millisecond up. Without them the exporter would make
/// summaries, which cannot be added up over processes.
const BUCKETS: [f64; 29] = [
    0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
    25_000.0, 50_000.0,
];

/// The recorder keeps every sample of a histogram until it is folded into its
/// buckets, on reading or here; without this it grows as long as nobody reads.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The numbers of the process.
#[derive(Clone)]
pub struct Numbers(PrometheusHandle);

impl Numbers {
    /// The page in Prometheus' text form.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// A router with `GET /metrics`.
    pub fn router(&self) -> Router {
        let numbers = self.clone();
        let page = move || {
            let media_type = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            std::future::ready((media_type, numbers.render()))
        };
        Router::new().route("/metrics", get(page))
    }
}

/// Starts the recorder of the process and its upkeep. Must be called inside the
/// runtime.
pub fn start_numbers() -> Result<Numbers, Error> {
    let builder = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)
        .map_err(|_| Error::Twice)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| Error::Twice)?;
    describe();
    let upkept = handle.clone();
    tokio::runtime::Handle::current().spawn(async move {
        let mut clock = tokio::time::interval(UPKEEP_EVERY);
        loop {
            clock.tick().await;
            upkept.run_upkeep();
        }
    });
    Ok(Numbers(handle))
}

fn describe() {
    metrics::describe_counter!(
        "http_requests_total",
        "requests answered, by method, route and status"
    );
    metrics::describe_histogram!(
        "http_request_duration_seconds",
        metrics::Unit::Seconds,
        "time from a request's headers to its answer"
    );
    metrics::describe_counter!(
        "http_connections_refused_total",
        "connections refused because all are taken"
    );
    metrics::describe_counter!(
        "http_connections_stalled_total",
        "connections reset because their clients took in nothing of what was there for them"
    );
    metrics::describe_gauge!("build_info", "always 1; the release is a label");
    metrics::gauge!("build_info", "version" => VERSION).set(1.0);
}
