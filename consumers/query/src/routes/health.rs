//! Alive: the process answers. Ready: it can be relied on.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use licenseflow_runtime::http::health;
use serde_json::Value;

use crate::readiness::Check;
use crate::state::QueryState;

/// How long the store may take to show that it is there.
const STORE_MAX: Duration = Duration::from_secs(3);

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
