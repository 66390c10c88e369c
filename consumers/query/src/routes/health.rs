//! Alive: the process answers. Ready: it can be relied on.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use licenseflow_runtime::http::health;
use serde_json::Value;

use crate::readiness::Check;
use crate::state::QueryState;

/// `GET /healthz`
pub(super) async fn alive() -> Json<Value> {
    health::alive()
}

/// `GET /readyz`
pub(super) async fn ready(State(state): State<QueryState>) -> Response {
    let mut checks = vec![store(&state).await];
    checks.extend(state.readiness.checks());
    health::readiness(&checks)
}

async fn store(state: &QueryState) -> Check {
    let problem = match state.store.is_there().await {
        Ok(()) => None,
        Err(failure) => Some(failure.detail().to_owned()),
    };
    Check {
        name: "store",
        problem,
    }
}
