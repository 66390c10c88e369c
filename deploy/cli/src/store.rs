//! Which store a role works with: the one place that knows that there are two kinds to read from.

use crate::exit::WrongUse;
use anyhow::Context;
use licenseflow_runtime::config::{StoreArgs, StorePlace};
use licenseflow_store::postgres::{PostgresOptions, check_address};
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{
    DeadLetters, Generations, LiveLetters, LiveLookup, Lookup, PostgresGenerations,
    SqliteGenerations,
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

/// How generations of a store are opened for writing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writing {
    /// What the embedded store keeps at hand.
    pub(crate) cache_mib: usize,
    /// How far `occurred_at` may be ahead of a record's timestamp, in microseconds.
    pub(crate) max_future_skew_micros: i64,
}

impl Default for Writing {
    /// As is enough for who only reads.
    fn default() -> Self {
        let SqliteOptions {
            cache_mib,
            max_future_skew_micros,
            ..
        } = SqliteOptions::default();
        Self {
            cache_mib,
            max_future_skew_micros,
        }
    }
}

/// The generations of a store; nothing is opened. Their calls block, and wait for the runtime's own threads.
pub(crate) fn generations(
    place: &StorePlace,
    writing: Writing,
) -> anyhow::Result<Arc<dyn Generations>> {
    let max_future_skew_micros = writing.max_future_skew_micros;
    Ok(match place {
        StorePlace::Sqlite(path) => {
            let options = SqliteOptions {
                cache_mib: writing.cache_mib,
                max_future_skew_micros,
                ..SqliteOptions::default()
            };
            Arc::new(SqliteGenerations::of(path, options))
        }
        StorePlace::Postgres(url) => {
            let options = PostgresOptions {
                max_future_skew_micros,
                ..PostgresOptions::default()
            };
            let runtime = Handle::current();
            Arc::new(PostgresGenerations::of(url.expose(), options, runtime)?)
        }
    })
}

/// The dead letters of the live generation of a store that this process writes.
pub(crate) async fn letters(place: StorePlace) -> anyhow::Result<Arc<dyn DeadLetters>> {
    let generations = generations(&place, Writing::default())?;
    let opened = tokio::task::spawn_blocking(move || {
        LiveLetters::new(generations, |all, number| all.letters(number))
    });
    let opened = opened.await.context("the dead letters did not open")??;
    Ok(Arc::new(opened))
}

/// Tells on what one generation tells, until that is left.
async fn pass_on(mut news: watch::Receiver<u64>, told: watch::Sender<u64>) {
    while news.changed().await.is_ok() {
        told.send_modify(|count| *count += 1);
    }
}

/// A store as it is read.
pub(crate) struct Reading {
    pub(crate) lookup: Arc<dyn Lookup>,
    /// Changes when any process has committed, where the store says so by itself.
    pub(crate) news: Option<watch::Receiver<u64>>,
}

impl Reading {
    /// Opens what a projector has made, for so many readers at once.
    pub(crate) async fn open(place: StorePlace, readers: usize) -> anyhow::Result<Self> {
        let generations = generations(&place, Writing::default())?;
        let (told, heard) = watch::channel(0);
        let runtime = Handle::current();
        let opened = tokio::task::spawn_blocking(move || {
            let lookup = LiveLookup::of(generations, move |all, number| {
                let lookup = all.lookup(number, readers)?;
                if let Some(news) = lookup.news() {
                    runtime.spawn(pass_on(news, told.clone()));
                }
                Ok(lookup)
            })?;
            let has_news = lookup.get()?.news().is_some();
            anyhow::Ok(Self {
                lookup: Arc::new(lookup),
                news: has_news.then_some(heard),
            })
        });
        opened.await.context("the store did not open")?
    }
}
