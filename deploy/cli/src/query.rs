//! `query`: answers what is known of licenses, from a store that a projector writes: on this machine
//! where it is a file, anywhere where it is PostgreSQL.

use crate::exit::Exit;
use crate::service::Service;
use crate::store::{self, Reading};
use clap::Args;
use licenseflow_avro::Topics;
use licenseflow_query::{
    Check, PartitionCount, QueryOptions, QueryState, Readiness, StreamLimits, system_clock,
};
use licenseflow_runtime::config::{Effective, HttpArgs, QueryApiArgs, StoreArgs, TopicsArgs};
use licenseflow_runtime::http::openapi::Routes;
use std::sync::Arc;
use tokio::sync::watch;

/// Requests that may wait for the read model to come as far as they ask.
const WAITERS_MAX: usize = 512;

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    api: QueryApiArgs,
    #[command(flatten)]
    topics: TopicsArgs,
}

pub(crate) async fn run(arguments: QueryArgs, effective: &Effective) -> anyhow::Result<Exit> {
    store::check(&arguments.store)?;
    let topics = Topics::new(&arguments.topics.topic_prefix);
    let mut service = Service::start("query", effective)?;
    let reading = Reading::open(arguments.store.place(), arguments.api.readers()).await?;
    // This role speaks with no broker: whoever asks for a partition that is none waits in vain.
    let unknown: PartitionCount = Arc::new(|_| None);
    let beside = Beside {
        topics,
        readiness: Arc::new(StoreAlone),
        partitions: unknown,
        applied: None,
    };
    let routes = routes(&mut service, reading, beside, &arguments.api, None);
    service.serve(&arguments.http, routes)?;
    service.until_stopped().await
}

/// The query API over a store, with its health, and its streams told when the service ends; `intake` is the
/// path of an intake at the same address.
pub(crate) fn routes(
    service: &mut Service,
    reading: Reading,
    beside: Beside,
    api: &QueryApiArgs,
    intake: Option<&str>,
) -> Routes {
    let state = state(reading, beside, api).open_to(&api.cors_origins());
    let state = match api.events_url.as_deref().or(intake) {
        Some(address) => state.sending_events_to(address),
        None => state,
    };
    end_streams(service, &state);
    let routes = licenseflow_query::routes(state.clone());
    routes.merge(licenseflow_query::health_router(state).into())
}

/// Streams end by themselves only with the service: here they are told so.
fn end_streams(service: &mut Service, state: &QueryState) {
    let (state, stop) = (state.clone(), service.stop_token());
    service.run("streams", async move {
        state.end_streams(stop.cancelled()).await;
        Ok(())
    });
}

/// What the query API stands beside.
pub(crate) struct Beside {
    pub(crate) topics: Topics,
    pub(crate) readiness: Arc<dyn Readiness>,
    pub(crate) partitions: PartitionCount,
    pub(crate) applied: Option<watch::Receiver<u64>>,
}

/// The query API over a store. `applied` changes with each batch of this process; a store that tells of
/// every process's is heard instead.
fn state(reading: Reading, beside: Beside, api: &QueryApiArgs) -> QueryState {
    let options = QueryOptions {
        lookups_max: api.readers(),
        queue_max: api.queue_max(),
        cache_bytes_max: api.cache_bytes_max(),
        waiters_max: WAITERS_MAX,
        topics: beside.topics,
        partitions: beside.partitions,
        readiness: beside.readiness,
        applied: reading.news.or(beside.applied),
        streams: StreamLimits {
            streams_max: api.streams_max(),
            ..StreamLimits::default()
        },
        clock: system_clock(),
    };
    QueryState::new(reading.lookup, options)
}

/// This role needs nothing but the store, which the API asks itself.
struct StoreAlone;

impl Readiness for StoreAlone {
    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}
