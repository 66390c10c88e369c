//! A registry that is served over HTTP, and a client that speaks plain HTTP to it.

use std::sync::OnceLock;
use std::time::Duration;

use licenseflow_registry::{Registry, RegistrySettings};
use licenseflow_runtime::log::KafkaSettings;
use licenseflow_tests::harness::{Kafka, Port};
use serde_json::Value;
use tokio::task::JoinSet;

/// One instance of a registry with its server; the port is free again when it is dropped.
pub(crate) struct Served {
    pub(crate) registry: Registry,
    pub(crate) url: String,
    /// The server ends with it.
    server: JoinSet<()>,
    _port: Port,
}

impl Served {
    /// An instance on the shared Kafka; those with one prefix are one registry.
    pub(crate) async fn start(prefix: &str) -> Served {
        let kafka = KafkaSettings::new(Kafka::shared().bootstrap(), "registry-test");
        Served::with(RegistrySettings::new(kafka, prefix)).await
    }

    pub(crate) async fn with(settings: RegistrySettings) -> Served {
        let registry = Registry::start(settings).unwrap();
        let port = Port::free().unwrap();
        let address = format!("127.0.0.1:{}", port.number());
        let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
        let router = registry.router();
        let mut server = JoinSet::new();
        server.spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Served {
            registry,
            url: format!("http://{address}"),
            server,
            _port: port,
        }
    }

    pub(crate) async fn stop(mut self) {
        self.server.shutdown().await;
        self.registry.shutdown().await;
    }

    /// `GET /path` and the like, with an optional JSON body: the status and the JSON answered.
    pub(crate) async fn ask(&self, line: &str, body: Option<Value>) -> (u16, Value) {
        let (method, path) = line.split_once(' ').unwrap();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = client().request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let media_type = response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            "application/vnd.schemaregistry.v1+json", media_type,
            "{line}"
        );
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{line}: {text}")),
        )
    }

    /// Registers a schema and gives its id.
    pub(crate) async fn register(&self, subject: &str, schema: &str) -> i64 {
        let body = serde_json::json!({ "schema": schema });
        let line = format!("POST /subjects/{subject}/versions");
        let (status, answer) = self.ask(&line, Some(body)).await;
        assert_eq!(200, status, "{answer}");
        answer["id"].as_i64().unwrap()
    }
}

fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // Each test has a runtime of its own, and a kept connection would die with it.
        let builder = reqwest::Client::builder().timeout(Duration::from_secs(60));
        builder.pool_max_idle_per_host(0).build().unwrap()
    })
}
