//! `verify`: folds the log anew, up to where the read model stands, by the naive
//! way, and compares. Exit 0: the same; 1: not.

use crate::exit::Exit;
use crate::log::LogArgs;
use crate::output::OutputArgs;
use crate::progress::Shown;
use crate::schemas::CommandSchemas;
use crate::store::{self, Reading};
use anyhow::Context;
use clap::Args;
use licenseflow_avro::Topics;
use licenseflow_avro::registry_client::BlockingSchemas;
use licenseflow_kafka::LaneRecords;
use licenseflow_projector::verify::{Report, Stored, verify};
use licenseflow_runtime::config::StoreArgs;
use licenseflow_runtime::log::KafkaSettings;
use serde_json::json;
use std::time::Duration;

/// How long the brokers may stand still.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) async fn run(arguments: VerifyArgs) -> anyhow::Result<Exit> {
    store::check(&arguments.store)?;
    let VerifyArgs { output, log, store } = arguments;
    let topics = log.topics();
    let settings = log.settings("licenseflow-verify")?;
    let reading = Reading::open(store.place(), 1).await?;
    let skew = reading.max_future_skew_micros;
    let read = tokio::task::spawn_blocking(move || reading.lookup.position());
    let read = read.await.context("the position was not read")??;
    let generation = read.freshness.generation;
    let stored = Stored {
        position: read.freshness.position(),
        buckets: read.value,
    };

    let schemas = CommandSchemas::open(&log)?;
    let blocking = schemas.client.blocking(tokio::runtime::Handle::current());
    let folded =
        tokio::task::spawn_blocking(move || fold(&settings, &topics, &blocking, skew, &stored));
    let report = folded.await.context("the fold did not end")??;
    show(&report, generation, output)?;
    Ok(if report.equal {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn fold(
    settings: &KafkaSettings,
    topics: &Topics,
    schemas: &BlockingSchemas,
    max_future_skew_micros: i64,
    stored: &Stored,
) -> anyhow::Result<Report> {
    let records = LaneRecords::below(settings, topics, &stored.position, PATIENCE)?;
    let mut shown = Shown::new(u64::try_from(records.remaining()).ok(), "records");
    Ok(verify(
        records,
        schemas,
        max_future_skew_micros,
        stored,
        |read| shown.advanced(read),
    )?)
}

fn show(report: &Report, generation: i64, output: OutputArgs) -> anyhow::Result<()> {
    let Report {
        equal,
        expected,
        found,
        position,
        records,
        accepted,
        buckets_that_differ,
    } = report;
    let verdict = if *equal {
        "the same".to_owned()
    } else {
        let count = buckets_that_differ.len();
        format!("NOT the same: {count} of 256 buckets differ")
    };
    let text = format!(
        "position   {position}\nrecords    {records}, {accepted} of them accepted\n\
         read model {found}\nlog        {expected}\n{verdict}"
    );
    let json = json!({
        "equal": equal,
        "digest": found,
        "expected": expected,
        "position": position.to_string(),
        "generation": generation,
        "records": records,
        "accepted": accepted,
        "buckets_that_differ": buckets_that_differ,
    });
    Ok(output.print(text, &json)?)
}
