//! The routes: a request becomes a question, its answer becomes JSON.

mod batch;
mod customers;
mod health;
mod license;
mod licenses;
mod moment;
mod parts;
mod position;
mod requests;
mod stats;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use licenseflow_core::contract::LicenseKey;
use licenseflow_core::contract::limits::valid_id;
use licenseflow_runtime::http::{Problem, TenantId};
use licenseflow_store::lookup::{Freshness, Read};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Failure};
use crate::fresh;
use crate::params::{NOT_AN_ID, Params};
use crate::state::QueryState;
use crate::{compress, cors};

/// What a handler gives.
type Answered = Result<Answer, Failure>;

/// Everything under `/v1` that the query API answers.
pub fn router(state: QueryState) -> Router {
    let batch = post(batch::get).layer(DefaultBodyLimit::max(batch::BODY_BYTES_MAX));
    let routes = Router::new()
        .route("/v1/licenses", get(licenses::list))
        .route("/v1/licenses:batchGet", batch)
        .route("/v1/licenses/{license_id}", get(license::one))
        .route("/v1/licenses/{license_id}/devices", get(parts::devices))
        .route("/v1/licenses/{license_id}/usage", get(parts::usage))
        .route("/v1/licenses/{license_id}/events", get(parts::events))
        .route("/v1/customers/{customer_id}", get(customers::one))
        .route(
            "/v1/customers/{customer_id}/licenses",
            get(customers::licenses_held),
        )
        .route("/v1/stats", get(stats::stats))
        .route("/v1/requests/{request_id}", get(requests::journey))
        .route("/v1/position", get(position::position))
        .route_layer(from_fn_with_state(state.clone(), fresh::around))
        .layer(compress::layer());
    // Outside all others: a page is to read errors too.
    let routes = match cors::layer(&state.cors_origins) {
        Some(layer) => routes.layer(layer),
        None => routes,
    };
    routes.with_state(state)
}

/// `/healthz` and `/readyz`, apart, since a process may have other roles that bring their own.
pub fn health_router(state: QueryState) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(state)
}

/// A list without filters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Everything {}

/// What a question about one license brings.
type AboutLicense = (TenantId, Path<String>, Uri);

/// The license that is asked about, within its tenant, and the parameters, of which the route knows
/// these; the address with them, for the links of the answer.
fn about_license(
    (tenant, Path(license_id), uri): AboutLicense,
    known: &[&str],
) -> Result<(LicenseKey, Params, Uri), Failure> {
    let params = Params::of(&uri, known)?;
    if !valid_id(&license_id) {
        return Err(
            Problem::bad_request("invalid_license_id", format!("license_id: {NOT_AN_ID}")).into(),
        );
    }
    let key = LicenseKey {
        tenant_id: tenant.into_string(),
        license_id,
    };
    Ok((key, params, uri))
}

/// What was found of a license, or that there is none.
fn found<T>(read: Read<Option<T>>, key: &LicenseKey) -> Result<(T, Freshness), Failure> {
    let Some(value) = read.value else {
        let detail = format!(
            "tenant {} has no license {}; the header X-Tenant-Id picks the tenant, and the position of a \
             receipt in X-Min-Position waits for what was just sent",
            key.tenant_id, key.license_id
        );
        let problem = Problem::not_found("license_not_found", detail);
        return Err(Failure::read(problem, read.freshness));
    };
    Ok((value, read.freshness))
}
