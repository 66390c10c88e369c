//! Confluent's HTTP API: routes, bodies and answers. It decides nothing.

mod body;
mod config;
mod reply;
mod schemas;
mod subjects;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};

use crate::registry::Registry;
use crate::{Level, Mode};
use reply::{no_such_route, reply};

/// All routes.
pub(crate) fn router(registry: Registry) -> Router {
    let wrong_method = || async {
        no_such_route(
            StatusCode::METHOD_NOT_ALLOWED,
            "HTTP 405 Method Not Allowed",
        )
    };
    let not_found = || async { no_such_route(StatusCode::NOT_FOUND, "HTTP 404 Not Found") };
    Router::new()
        .route("/", get(|| async { reply(Ok(serde_json::json!({}))) }))
        .route("/contexts", get(|| async { reply(Ok(["."])) }))
        .route("/subjects", get(subjects::list))
        .route(
            "/subjects/{subject}",
            post(subjects::look_up).delete(subjects::delete),
        )
        .route(
            "/subjects/{subject}/versions",
            get(subjects::versions).post(subjects::register),
        )
        .route(
            "/subjects/{subject}/versions/{version}",
            get(subjects::version).delete(subjects::delete_version),
        )
        .route(
            "/subjects/{subject}/versions/{version}/schema",
            get(subjects::text),
        )
        .route(
            "/subjects/{subject}/versions/{version}/referencedby",
            get(subjects::referenced_by),
        )
        .route("/schemas", get(schemas::list))
        .route("/schemas/types", get(|| async { reply(Ok(["AVRO"])) }))
        .route("/schemas/ids/{id}", get(schemas::by_id))
        .route("/schemas/ids/{id}/schema", get(schemas::text))
        .route("/schemas/ids/{id}/subjects", get(schemas::subjects))
        .route("/schemas/ids/{id}/versions", get(schemas::versions))
        .route(
            "/config",
            get(config::show::<Level>)
                .put(config::set::<Level>)
                .delete(config::clear_level),
        )
        .route(
            "/config/{subject}",
            get(config::show_of::<Level>)
                .put(config::set_of::<Level>)
                .delete(config::clear_level_of),
        )
        .route("/mode", get(config::show::<Mode>).put(config::set::<Mode>))
        .route(
            "/mode/{subject}",
            get(config::show_of::<Mode>)
                .put(config::set_of::<Mode>)
                .delete(config::clear_mode_of),
        )
        .route(
            "/compatibility/subjects/{subject}/versions",
            post(subjects::compatible),
        )
        .route(
            "/compatibility/subjects/{subject}/versions/{version}",
            post(subjects::compatible_with),
        )
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        // Judged in `body`, in the API's own words.
        .layer(DefaultBodyLimit::max(body::BYTES_MAX))
        .with_state(registry)
}
