//! A schema of one test's own, in the PostgreSQL that the tests of a process share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use licenseflow_store::PostgresModel;
use licenseflow_store::postgres::PostgresOptions;
use tokio::runtime::{Handle, Runtime};
use tokio_postgres::{Client, NoTls};

#[path = "../../../../tests/src/harness/postgres.rs"]
#[allow(dead_code, unreachable_pub)]
pub(crate) mod server;

use server::Postgres;

/// What moves the bytes of every connection; tests are not its threads.
pub(crate) fn runtime() -> Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    });
    runtime.handle().clone()
}

/// A connection of the test's own.
pub(crate) fn connect(url: &str) -> Client {
    let (client, connection) = runtime()
        .block_on(tokio_postgres::connect(url, NoTls))
        .unwrap();
    runtime().spawn(connection);
    client
}

/// A schema that goes when it is dropped.
pub(crate) struct Schema(String);

impl Schema {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    #[allow(dead_code)]
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    pub(crate) fn url(&self) -> &'static str {
        Postgres::shared().url()
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        PostgresOptions {
            schema: self.0.clone(),
            ..PostgresOptions::default()
        }
    }

    pub(crate) fn open(&self) -> PostgresModel {
        PostgresModel::open(self.url(), &self.options(), runtime()).unwrap()
    }
}

/// A connection to a schema of the shared server, for what no store offers.
#[allow(dead_code)]
pub(crate) fn in_schema(name: &str) -> Client {
    let client = connect(Postgres::shared().url());
    let path = format!("set search_path to {name}");
    runtime().block_on(client.batch_execute(&path)).unwrap();
    client
}

impl Drop for Schema {
    fn drop(&mut self) {
        // A model that died may hold its locks for a moment yet; the server itself goes anyway.
        let drop = format!(
            "set client_min_messages to warning; set lock_timeout to '1s'; drop schema if exists {} cascade",
            self.0
        );
        let client = connect(self.url());
        let _ = runtime().block_on(client.batch_execute(&drop));
    }
}
