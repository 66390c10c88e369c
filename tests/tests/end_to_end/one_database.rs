//! Projectors over one PostgreSQL and one log, each a process of its own.

use licenseflow_store::PostgresLookup;
use licenseflow_store::postgres::PostgresOptions;
use licenseflow_tests::harness::{Kafka, Platform, Postgres, unique_prefix};

/// What they share.
pub(crate) struct OneDatabase {
    pub(crate) postgres: Postgres,
    prefix: String,
}

impl OneDatabase {
    pub(crate) fn new() -> Self {
        Self {
            postgres: Postgres::own().unwrap(),
            prefix: unique_prefix(),
        }
    }

    /// Ports and a folder for one more process.
    pub(crate) fn place(&self) -> Platform {
        Platform::new(Kafka::shared().bootstrap(), &self.prefix)
            .unwrap()
            .with("LICENSEFLOW_STORE", self.postgres.url())
    }

    pub(crate) fn lookup(&self, runtime: &tokio::runtime::Handle) -> PostgresLookup {
        let schema = PostgresOptions::default().schema;
        PostgresLookup::open(self.postgres.url(), &schema, 1, runtime.clone()).unwrap()
    }
}
