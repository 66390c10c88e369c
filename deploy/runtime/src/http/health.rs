//! `/healthz` and `/readyz`: alive means that the process answers; ready means
//! that each part says so. Which parts there are is told by the role; how the
//! answers look is told here, for all roles alike.

use super::problem::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A part has this long, whatever it does: whoever asks has the answer, with the part's name, within the
/// 3 s that health may take.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_500);

/// One thing that must hold for a process to be ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is, such as `brokers`.
    pub name: &'static str,
    /// Why it does not hold; none: it does.
    pub problem: Option<String>,
}

/// What `/healthz` answers, whatever the role.
pub fn alive() -> Json<Value> {
    Json(json!({ "alive": true }))
}

/// What `/readyz` answers, whatever the role: each check, and 503 where one does not hold.
pub fn readiness(checks: &[Check]) -> Response {
    let failed = checks.iter().filter(|check| check.problem.is_some());
    let failed: Vec<&str> = failed.map(|check| check.name).collect();
    let shown: Vec<Value> = checks.iter().map(shown).collect();
    if failed.is_empty() {
        return Json(json!({ "ready": true, "checks": shown })).into_response();
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready")
        .detail(format!("not ready: {}", failed.join(", ")))
        .member("ready", false)
        .member("checks", shown)
        .retry_after(1)
        .into_response()
}

fn shown(check: &Check) -> Value {
    json!({ "name": check.name, "ready": check.problem.is_none(), "problem": check.problem })
}

type Question = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// The parts of a role that must be ready for it to be.
#[derive(Clone, Default)]
pub struct Health {
    parts: Vec<(&'static str, Arc<Question>)>,
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
            .route("/healthz", get(async || alive()))
            .route("/readyz", get(ready))
            .with_state(self)
    }

    /// What each part says; a part that says nothing in time is not ready.
    async fn ask(&self) -> Vec<Check> {
        let answers = self.parts.iter().map(|(name, question)| async {
            let answer = tokio::time::timeout(ANSWER_WITHIN, question()).await;
            let problem = match answer {
                Ok(Ok(())) => None,
                Ok(Err(missing)) => Some(missing),
                Err(_) => Some("gives no answer".to_owned()),
            };
            Check { name, problem }
        });
        join_all(answers).await
    }
}

async fn ready(State(health): State<Health>) -> Response {
    readiness(&health.ask().await)
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
        let store = json!({"name": "store", "ready": true, "problem": null});
        assert_eq!(body, json!({"ready": true, "checks": [store]}));
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
        assert_eq!((status, &body["ready"]), (503, &json!(false)));
        assert_eq!(body["detail"], "not ready: brokers, partitions");
        let problems: Vec<&Value> = (0..3).map(|it| &body["checks"][it]["problem"]).collect();
        let expected = [
            &Value::Null,
            &json!("no broker answers"),
            &json!("gives no answer"),
        ];
        assert_eq!(problems, expected);
        let (status, body) = asked(health, "/healthz").await;
        assert_eq!((status, body), (200, json!({"alive": true})));
    }
}
