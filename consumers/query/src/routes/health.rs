//! Alive: the process answers. Ready: it can be relied on.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use licenseflow_runtime::http::Problem;
use serde_json::{Value, json};

use crate::answer::Failure;
use crate::readiness::Check;
use crate::state::QueryState;

/// How long the store may take to show that it is there.
const STORE_MAX: Duration = Duration::from_secs(3);

/// `GET /healthz`
pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "alive": true }))
}

/// `GET /readyz`
pub(super) async fn ready(State(state): State<QueryState>) -> Result<Json<Value>, Failure> {
    let mut checks = vec![store(&state).await];
    checks.extend(state.readiness.checks());
    let failed: Vec<&str> = checks
        .iter()
        .filter(|check| check.problem.is_some())
        .map(|check| check.name)
        .collect();
    let shown: Vec<Value> = checks.iter().map(show).collect();
    if failed.is_empty() {
        return Ok(Json(json!({ "ready": true, "checks": shown })));
    }
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready")
        .detail(format!("not ready: {}", failed.join(", ")))
        .member("ready", false)
        .member("checks", shown)
        .retry_after(1);
    Err(problem.into())
}

async fn store(state: &QueryState) -> Check {
    let asked = state.store.ask("freshness", |lookup| lookup.freshness());
    let problem = match tokio::time::timeout(STORE_MAX, asked).await {
        Ok(Ok(_)) => None,
        Ok(Err(failure)) => Some(failure.detail().to_owned()),
        Err(_) => Some("it does not answer in time".to_owned()),
    };
    Check {
        name: "store",
        problem,
    }
}

fn show(check: &Check) -> Value {
    json!({ "name": check.name, "ready": check.problem.is_none(), "problem": check.problem })
}
