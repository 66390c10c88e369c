//! `/healthz` and `/readyz`: alive means that the process answers; ready means
//! that each part says so. Which parts there are is told by the role.

use super::problem::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::{BoxFuture, join_all};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Whoever asks waits for health no longer than this, whatever a part does.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

type Check = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// The parts of a role that must be ready for it to be.
#[derive(Clone, Default)]
pub struct Health {
    parts: Vec<(&'static str, Arc<Check>)>,
}

impl Health {
    /// Adds a part: its name, and a question whose error says in words what is missing.
    #[must_use]
    pub fn part<F>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    {
        self.parts.push((name, Arc::new(check)));
        self
    }

    /// A router with `GET /healthz` and `GET /readyz`.
    pub fn router(self) -> Router {
        Router::new()
            .route(
                "/healthz",
                get(|| async { Json(json!({ "status": "alive" })) }),
            )
            .route("/readyz", get(ready))
            .with_state(self)
    }

    /// What each part says; a part that says nothing in time is not ready.
    async fn ask(&self) -> Map<String, Value> {
        let answers = self.parts.iter().map(|(name, check)| async {
            let answer = tokio::time::timeout(ANSWER_WITHIN, check()).await;
            let said = match answer {
                Ok(Ok(())) => Value::from("ready"),
                Ok(Err(missing)) => Value::from(missing),
                Err(_) => Value::from("gives no answer"),
            };
            ((*name).to_owned(), said)
        });
        join_all(answers).await.into_iter().collect()
    }
}

async fn ready(State(health): State<Health>) -> Response {
    let parts = health.ask().await;
    if parts.values().all(|said| said == "ready") {
        return Json(json!({ "status": "ready", "parts": parts })).into_response();
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready")
        .detail("not every part is ready")
        .retry_after(1)
        .member("parts", parts)
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    async fn asked(health: Health, path: &str) -> (u16, Value) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = health.router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 16)
            .await
            .unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    fn fine() -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    #[tokio::test]
    async fn all_parts_ready_is_ready() {
        let (status, body) = asked(Health::default().part("store", fine), "/readyz").await;
        assert_eq!(status, 200);
        assert_eq!(body["parts"]["store"], "ready");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_is_missing_or_silent_is_named_and_the_process_is_still_alive() {
        let health = Health::default()
            .part("store", fine)
            .part("brokers", || {
                Box::pin(async { Err("no broker answers".to_owned()) })
            })
            .part("partitions", || Box::pin(std::future::pending()));
        let (status, body) = asked(health.clone(), "/readyz").await;
        assert_eq!(status, 503);
        assert_eq!(body["parts"]["store"], "ready");
        assert_eq!(body["parts"]["brokers"], "no broker answers");
        assert_eq!(body["parts"]["partitions"], "gives no answer");
        assert_eq!(asked(health, "/healthz").await.0, 200);
    }
}
