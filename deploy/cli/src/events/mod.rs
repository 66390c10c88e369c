//! `events generate|send|tail`: events from and to a shell.

mod generate;
mod send;
mod tail;

use crate::exit::Exit;
use crate::ingest;
use crate::log::LogArgs;
use crate::schemas::CommandSchemas;
use crate::topics;
use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use licenseflow_avro::Lane;
use licenseflow_avro::headers::RequestId;
use licenseflow_producers::publish::{Publisher, RequestContext};
use licenseflow_projector::wall_clock;
use licenseflow_runtime::http;
use licenseflow_runtime::log::Admin;
use std::future::Future;

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Make a history from a seed, and publish or print it
    Generate(Box<generate::GenerateArgs>),
    /// Publish events from a file or standard input, one JSON object a line
    Send(Box<send::SendArgs>),
    /// Print records as they are written, decoded
    Tail(Box<tail::TailArgs>),
}

pub(crate) async fn run(command: EventsCommand) -> anyhow::Result<Exit> {
    match command {
        EventsCommand::Generate(arguments) => generate::run(*arguments).await,
        EventsCommand::Send(arguments) => send::run(*arguments).await,
        EventsCommand::Tail(arguments) => tail::run(*arguments).await,
    }
}

/// A lane, as it is named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LaneName {
    /// For what happens now
    Interactive,
    /// For imports and backfills; yields to the other
    Bulk,
}

impl From<LaneName> for Lane {
    fn from(name: LaneName) -> Self {
        match name {
            LaneName::Interactive => Lane::Interactive,
            LaneName::Bulk => Lane::Bulk,
        }
    }
}

/// Runs one publishing with a publisher that is ended after it, whatever came of it.
async fn publishing<T, F, W>(log: &LogArgs, work: F) -> anyhow::Result<T>
where
    F: FnOnce(Publisher) -> W,
    W: Future<Output = anyhow::Result<T>>,
{
    // Brokers that are away, or do not let us in, are told as that, and not as a registry that is slow.
    let admin = topics::admin(&log.settings("licenseflow-events")?)?;
    admin.off_thread(Admin::broker_count).await?;
    let schemas = CommandSchemas::open(log)?;
    let publisher = ingest::publisher(log, &schemas.client, &log.topics()).await?;
    let outcome = work(publisher.clone()).await;
    publisher.stop(ingest::PUBLISHER_GRACE).await;
    outcome
}

/// One run is one request: its records are found together by this id.
fn request(id: Option<&RequestId>) -> anyhow::Result<RequestContext> {
    let made = || RequestId::parse(http::RequestId::generate().as_str());
    Ok(RequestContext {
        request_id: id
            .cloned()
            .or_else(made)
            .context("no request id could be made")?,
        received_at_ms: wall_clock()(),
        traceparent: None,
        tracestate: None,
        answer_by: None,
    })
}

fn request_id(text: &str) -> Result<RequestId, String> {
    RequestId::parse(text).ok_or_else(|| "1 to 128 visible ASCII characters".to_owned())
}
