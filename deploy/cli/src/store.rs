//! Which store a role works with: the one place that knows that there are two kinds to read from.

use crate::exit::WrongUse;
use anyhow::Context;
use licenseflow_runtime::config::{StoreArgs, StorePlace};
use licenseflow_store::postgres::{PostgresOptions, check_address};
use licenseflow_store::{
    DeadLetters, Lookup, PostgresLetters, PostgresLookup, SqliteLetters, SqliteLookup,
};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Whether the store can be there under its address, before anything is started for it.
pub(crate) fn check(store: &StoreArgs) -> Result<(), WrongUse> {
    match store.place() {
        StorePlace::Sqlite(_) => Ok(()),
        StorePlace::Postgres(url) => check_address(url.expose()).map_err(WrongUse::of),
    }
}

/// The dead letters of a store that this process writes.
pub(crate) async fn letters(place: StorePlace) -> anyhow::Result<Arc<dyn DeadLetters>> {
    let runtime = Handle::current();
    // Stores block, and wait for the runtime's own threads.
    let opened = tokio::task::spawn_blocking(move || -> anyhow::Result<Arc<dyn DeadLetters>> {
        Ok(match place {
            StorePlace::Sqlite(path) => Arc::new(SqliteLetters::open(&path)?),
            StorePlace::Postgres(url) => {
                let schema = PostgresOptions::default().schema;
                Arc::new(PostgresLetters::open(url.expose(), &schema, runtime)?)
            }
        })
    });
    opened.await.context("the dead letters did not open")?
}

/// A store as it is read.
pub(crate) struct Reading {
    pub(crate) lookup: Arc<dyn Lookup>,
    /// How far `occurred_at` may be ahead of a record's timestamp in this read model, in microseconds.
    pub(crate) max_future_skew_micros: i64,
    /// Changes when any process has committed, where the store says so by itself.
    pub(crate) news: Option<watch::Receiver<u64>>,
}

impl Reading {
    /// Opens what a projector has made, for so many readers at once.
    pub(crate) async fn open(place: StorePlace, readers: usize) -> anyhow::Result<Self> {
        let runtime = Handle::current();
        // Stores block, and wait for the runtime's own threads.
        let opened = tokio::task::spawn_blocking(move || match place {
            StorePlace::Sqlite(path) => {
                let lookup = SqliteLookup::open(&path, readers)?;
                anyhow::Ok(Self {
                    max_future_skew_micros: lookup.max_future_skew_micros()?,
                    lookup: Arc::new(lookup),
                    news: None,
                })
            }
            StorePlace::Postgres(url) => {
                let schema = PostgresOptions::default().schema;
                let lookup = PostgresLookup::open(url.expose(), &schema, readers, runtime)?;
                Ok(Self {
                    max_future_skew_micros: lookup.max_future_skew_micros(),
                    news: Some(lookup.news()),
                    lookup: Arc::new(lookup),
                })
            }
        });
        opened.await.context("the store did not open")?
    }
}
