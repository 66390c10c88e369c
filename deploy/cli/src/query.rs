//! `query`: answers what is known of licenses, from a store that a projector on
//! this machine writes.

use crate::exit::Exit;
use crate::service::Service;
use clap::Args;
use licenseflow_avro::Topics;
use licenseflow_query::{Check, PartitionCount, QueryOptions, QueryState, Readiness, system_clock};
use licenseflow_runtime::config::{Effective, HttpArgs, StoreArgs, TopicsArgs};
use licenseflow_store::SqliteLookup;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Readers of the store at once. Each is a connection and, while it reads, a thread.
const READERS: usize = 8;

/// Requests that may wait for the read model to come as far as they ask.
const WAITERS_MAX: usize = 512;

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    topics: TopicsArgs,
}

pub(crate) async fn run(arguments: QueryArgs, effective: &Effective) -> anyhow::Result<Exit> {
    let topics = Topics::new(&arguments.topics.topic_prefix);
    let mut service = Service::start("query", effective)?;
    let path = arguments.store.sqlite_path();
    // This role speaks with no broker: whoever asks for a partition that is none waits in vain.
    let unknown: PartitionCount = Arc::new(|_| None);
    let state = state(&path, topics, Arc::new(StoreAlone), unknown, None)?;
    let routes = licenseflow_query::router(state.clone());
    let routes = routes.merge(licenseflow_query::health_router(state));
    service.serve(&arguments.http, routes)?;
    service.until_stopped().await
}

/// The query API over the store in this file.
pub(crate) fn state(
    path: &Path,
    topics: Topics,
    readiness: Arc<dyn Readiness>,
    partitions: PartitionCount,
    applied: Option<watch::Receiver<u64>>,
) -> anyhow::Result<QueryState> {
    let lookup = SqliteLookup::open(path, READERS)?;
    let options = QueryOptions {
        lookups_max: READERS,
        waiters_max: WAITERS_MAX,
        topics,
        partitions,
        readiness,
        applied,
        clock: system_clock(),
    };
    Ok(QueryState::new(Arc::new(lookup), options))
}

/// This role needs nothing but the store, which the API asks itself.
struct StoreAlone;

impl Readiness for StoreAlone {
    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}
