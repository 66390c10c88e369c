//! `verify`: folds the log anew, up to where the read model stands, by the naive
//! way, and compares. Exit 0: the same; 1: not.

use crate::exit::Exit;
use crate::output::{self, OutputArgs};
use crate::schemas::{Schemas, Taken};
use crate::topics;
use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use licenseflow_avro::Topics;
use licenseflow_avro::registry_client::BlockingSchemas;
use licenseflow_kafka::LaneRecords;
use licenseflow_projector::verify::{Report, Stored, verify};
use licenseflow_runtime::config::{KafkaArgs, RegistryArgs, StoreArgs, TopicsArgs};
use licenseflow_runtime::log::KafkaSettings;
use licenseflow_store::{Lookup, SqliteLookup};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the brokers may stand still.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    topics: TopicsArgs,
    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) async fn run(arguments: VerifyArgs) -> anyhow::Result<Exit> {
    let VerifyArgs {
        output,
        kafka,
        registry,
        topics,
        store,
    } = arguments;
    let topics = Topics::new(&topics.topic_prefix);
    let settings = kafka.settings("licenseflow-verify");
    topics::admin(&settings)?;
    let lookup = SqliteLookup::open(&store.sqlite_path(), 1)?;
    let read = lookup.position()?;
    let generation = read.freshness.generation;
    let stored = Stored {
        position: read.freshness.position(),
        buckets: read.value,
    };

    let schemas = Schemas::open(
        &registry,
        &kafka,
        &topics,
        Taken::Used,
        CancellationToken::new(),
    )?;
    let mut serving = JoinSet::new();
    if let Some(part) = schemas.part {
        serving.spawn(part);
    }
    let blocking = schemas.client.blocking(tokio::runtime::Handle::current());
    let skew = lookup.max_future_skew_micros()?;
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
    let total = u64::try_from(records.remaining()).unwrap_or(0);
    // On a terminal a bar, elsewhere nothing: the report says all there is to say.
    let style =
        ProgressStyle::with_template("{bar:40} {pos} of {len} records, {per_sec}, {eta} to go")?;
    let bar = ProgressBar::new(total).with_style(style);
    let report = verify(records, schemas, max_future_skew_micros, stored, |read| {
        bar.set_position(read)
    })?;
    bar.finish_and_clear();
    Ok(report)
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
    if output.json {
        output::json(&json!({
            "equal": equal,
            "digest": found,
            "expected": expected,
            "position": position.to_string(),
            "generation": generation,
            "records": records,
            "accepted": accepted,
            "buckets_that_differ": buckets_that_differ,
        }))?;
        return Ok(());
    }
    output::line(format_args!("position   {position}"))?;
    output::line(format_args!(
        "records    {records}, {accepted} of them accepted"
    ))?;
    output::line(format_args!("read model {found}"))?;
    output::line(format_args!("log        {expected}"))?;
    if *equal {
        output::line("the same")?;
    } else {
        let count = buckets_that_differ.len();
        output::line(format_args!("NOT the same: {count} of 256 buckets differ"))?;
    }
    Ok(())
}
