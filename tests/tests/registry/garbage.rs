//! Ids that no schema has, one after the other: whoever judges records must not wait for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use licenseflow_avro::judgement::Schemas as _;
use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_avro::schema;
use licenseflow_tests::harness::wait_until;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// The id that has a schema.
const GOOD: u32 = 7;

/// More than may be waited for in a second.
const SLOW: Duration = Duration::from_millis(60);

/// A registry that answers the first question slowly, and any other when it is let.
struct Slow {
    asked: AtomicUsize,
    lets: Semaphore,
}

async fn by_id(State(slow): State<Arc<Slow>>, Path(id): Path<u32>) -> Response {
    match slow.asked.fetch_add(1, Ordering::SeqCst) {
        0 => tokio::time::sleep(SLOW).await,
        _ => slow.lets.acquire().await.unwrap().forget(),
    }
    if id == GOOD {
        return Json(json!({ "schema": schema::LICENSE_EVENT })).into_response();
    }
    let absent = json!({ "error_code": 40403, "message": "Schema not found" });
    (StatusCode::NOT_FOUND, Json(absent)).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_slow_about_garbage_holds_up_nobody_and_what_is_good_is_found() {
    let slow = Arc::new(Slow {
        asked: AtomicUsize::new(0),
        lets: Semaphore::new(0),
    });
    let routes = Router::new().route("/schemas/ids/{id}", get(by_id));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = routes.with_state(Arc::clone(&slow));
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await });
    let schemas = RegistryClient::new(&url)
        .unwrap()
        .blocking(Handle::current());
    let judging = tokio::task::spawn_blocking(move || {
        assert!(schemas.plan(1).unwrap().is_none());
        // None of these is answered.
        for id in 2..=GOOD {
            assert!(schemas.plan(id).unwrap().is_none());
        }
        wait_until("they are asked for all the same", SLOW * 100, || {
            slow.asked.load(Ordering::SeqCst) > 6
        })
        .unwrap();
        slow.lets.add_permits(100);
        wait_until("the good one is found", SLOW * 100, || {
            schemas.plan(GOOD).unwrap().is_some()
        })
        .unwrap();
    });
    judging.await.unwrap();
    serving.shutdown().await;
}
