//! The routes: a request becomes a question, its answer becomes JSON.

mod batch;
mod customers;
mod health;
pub(crate) mod known;
mod license;
mod licenses;
mod moment;
mod parts;
mod position;
mod requests;
mod stats;

use std::fmt::Debug;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use licenseflow_core::contract::LicenseKey;
use licenseflow_core::contract::limits::valid_id;
use licenseflow_runtime::http::openapi::{Routes, nothing};
use licenseflow_runtime::http::{Problem, TenantId};
use licenseflow_store::lookup::Read;
use serde::{Deserialize, Serialize};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::answer::{Answer, Failure};
use crate::fresh;
use crate::params::{NOT_AN_ID, Params};
use crate::state::QueryState;
use crate::store::{Keep, Question, Weigh};
use crate::{compress, cors, openapi, push};

/// What a handler gives.
type Answered = Result<Answer, Failure>;

/// Everything under `/v1` that the query API answers.
pub fn router(state: QueryState) -> Router {
    routes(state).into()
}

/// The same, with its description.
pub fn routes(state: QueryState) -> Routes {
    // Around the methods that there are: nobody waits to be told that there is no such method.
    let fresh = from_fn_with_state(state.clone(), fresh::around);
    let routes = described(|route| route.map(|methods| methods.route_layer(fresh.clone())));
    let routes = routes.layer(compress::layer());
    // Outside all others: a page is to read errors too.
    let routes = match cors::layer(&state.cors_origins) {
        Some(layer) => routes.layer(layer),
        None => routes,
    };
    routes.with_state(state)
}

/// The description of everything under `/v1` that the query API answers.
pub fn document() -> OpenApi {
    described(|route| route).into_openapi()
}

/// A path with its methods and their description.
pub(crate) type Route = UtoipaMethodRouter<QueryState>;

/// Every route, each with this around it.
fn described(around: impl Fn(Route) -> Route) -> Routes<QueryState> {
    let all: [Route; 11] = [
        routes!(licenses::list),
        routes!(batch::get).layer(DefaultBodyLimit::max(batch::BODY_BYTES_MAX)),
        routes!(license::one),
        routes!(parts::devices),
        routes!(parts::usage),
        routes!(parts::events),
        routes!(customers::one),
        routes!(customers::licenses_held),
        routes!(stats::stats),
        routes!(requests::journey),
        routes!(position::position),
    ];
    let all = all.into_iter().map(&around).chain([push::route(&around)]);
    let mut routes = all.fold(Routes::with_openapi(nothing()), Routes::routes);
    openapi::lay(routes.get_openapi_mut());
    routes
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

/// A question about a license, whose answer depends on these too.
fn question(name: &'static str, key: &LicenseKey, on: impl Debug) -> Question {
    Question {
        name,
        of: format!("{key:?} {on:?}"),
        by_time: false,
    }
}

/// An answer that changes with the position alone; what depends on the time is computed from it.
fn by_position<T: Weigh>(read: &Option<T>) -> Keep {
    Keep::ThisPosition(read.bytes())
}

/// What was found of a license, or that there is none.
fn found<'r, T>(read: &'r Read<Arc<Option<T>>>, key: &LicenseKey) -> Result<&'r T, Failure> {
    let Some(value) = read.value.as_ref() else {
        let detail = format!(
            "tenant {} has no license {}; the header X-Tenant-Id picks the tenant, and the position of a \
             receipt in X-Min-Position waits for what was just sent",
            key.tenant_id, key.license_id
        );
        let problem = Problem::not_found("license_not_found", detail);
        return Err(Failure::read(problem, read.freshness.clone()));
    };
    Ok(value)
}
