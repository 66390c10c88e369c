//! The registry's client against a small registry over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use licenseflow_avro::codec::encode_body;
use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_avro::schema::LICENSE_EVENT;
use licenseflow_avro::{Reason, Schemas};
use serde_json::json;

use crate::samples::issued;

type Asked = Arc<AtomicU32>;

async fn by_id(State(asked): State<Asked>, Path(id): Path<u32>) -> Response {
    asked.fetch_add(1, Ordering::SeqCst);
    let error = |status: StatusCode, code: u32| {
        (status, Json(json!({"error_code": code, "message": "no"}))).into_response()
    };
    match id {
        1 => Json(json!({"schema": LICENSE_EVENT})).into_response(),
        2 => Json(json!({"schema": "\"string\""})).into_response(),
        3 => Json(json!({"schema": "{}", "schemaType": "JSON"})).into_response(),
        4 => error(StatusCode::INTERNAL_SERVER_ERROR, 50001),
        5 => error(StatusCode::NOT_FOUND, 404),
        _ => error(StatusCode::NOT_FOUND, 40403),
    }
}

async fn set_config(Json(body): Json<serde_json::Value>) -> Response {
    let status = match body["compatibility"].as_str() {
        Some("BACKWARD_TRANSITIVE") => StatusCode::OK,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    (status, Json(body)).into_response()
}

/// A client of a registry on a free port, and how often that was asked for a schema.
async fn registry() -> (RegistryClient, Asked) {
    let (address, asked) = serve().await;
    (RegistryClient::new(&address).unwrap(), asked)
}

/// The address of a registry on a free port.
#[expect(
    clippy::disallowed_methods,
    reason = "it ends with the test's own runtime"
)]
async fn serve() -> (String, Asked) {
    let asked = Asked::default();
    let router = Router::new()
        .route("/schemas/ids/{id}", get(by_id))
        .route(
            "/subjects/{subject}/versions",
            post(|| async { Json(json!({"id": 7})) }),
        )
        .route("/config/{subject}", put(set_config))
        .with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = axum::serve(listener, router);
    drop(tokio::task::spawn(serving.into_future()));
    (format!("http://{address}/"), asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_asked_for_once_and_read_with_from_a_blocking_thread() {
    let (client, asked) = registry().await;
    let schemas = client.blocking(tokio::runtime::Handle::current());
    let event = tokio::task::spawn_blocking(move || {
        let first = schemas.plan(1).unwrap().unwrap();
        let again = schemas.plan(1).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        again.decode(&encode_body(&issued()))
    });
    assert_eq!(event.await.unwrap(), Ok(issued()));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_absent_id_is_remembered_for_a_while() {
    let (client, asked) = registry().await;
    for _ in 0..10 {
        assert!(client.plan(99).await.unwrap().is_none());
    }
    assert!(
        asked.load(Ordering::SeqCst) <= 2,
        "the while may end once in between"
    );
    // No registry gives such an id, and some answer it with a plain 404.
    assert!(client.plan(u32::MAX).await.unwrap().is_none());
}

#[tokio::test]
async fn a_schema_of_something_else_is_known_but_unusable() {
    let (client, _) = registry().await;
    for id in [2, 3] {
        let plan = client.plan(id).await.unwrap().unwrap();
        let fault = plan.decode(&encode_body(&issued())).unwrap_err();
        assert_eq!(fault.reason, Reason::UnknownSchema);
        assert!(fault.points_at_us);
    }
}

#[tokio::test]
async fn any_other_answer_and_none_at_all_mean_that_the_registry_is_away() {
    let (client, _) = registry().await;
    assert!(client.plan(4).await.is_err());
    assert!(
        client.plan(5).await.is_err(),
        "a wrong address answers 404 too"
    );
    let nobody = RegistryClient::new(&dead().await).unwrap();
    assert!(nobody.plan(1).await.is_err());
    assert!(nobody.register("s-value", LICENSE_EVENT).await.is_err());
}

/// An address that nobody listens at.
async fn dead() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn of_several_addresses_the_first_that_answers_counts() {
    let (address, _) = serve().await;
    let client = RegistryClient::new(&format!("{}, {address}", dead().await)).unwrap();
    assert!(client.plan(1).await.unwrap().is_some());
    client
        .set_compatibility("s-value", "BACKWARD_TRANSITIVE")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_subject_gets_its_schema_and_its_compatibility() {
    let (client, _) = registry().await;
    assert_eq!(client.register("s-value", LICENSE_EVENT).await.unwrap(), 7);
    client
        .set_compatibility("s-value", "BACKWARD_TRANSITIVE")
        .await
        .unwrap();
    let refused = client
        .set_compatibility("s-value", "SIDEWAYS")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("422"), "{refused}");
}

#[test]
fn what_is_no_address_is_refused() {
    for url in ["", " , ", "not a url"] {
        assert!(RegistryClient::new(url).is_err(), "{url}");
    }
}
