//! What `archive` and `restore` have in common: the place, the names of the topics, and a thread that may block.

use crate::exit::WrongUse;
use crate::output::OutputArgs;
use crate::progress::Shown;
use crate::{crash, log, topics};
use anyhow::Context;
use clap::Args;
use licenseflow_archive::{Address, Holds, PartitionMapping, Progress};
use licenseflow_avro::Topics;
use licenseflow_runtime::config::{KafkaArgs, TopicsArgs};
use licenseflow_runtime::log::{Admin, KafkaSettings};
use licenseflow_runtime::shutdown;
use serde_json::{Value, json};
use std::io;
use tokio_util::sync::CancellationToken;

/// The cluster, and which topics of it.
#[derive(Debug, Args)]
pub(crate) struct KeepingArgs {
    /// The topic that the schema registry keeps its schemas in; without it, that of the embedded registry
    #[arg(long, value_name = "TOPIC", conflicts_with = "without_schemas")]
    schemas_topic: Option<String>,
    /// Leave the schemas out, where the registry is backed up by itself
    #[arg(long)]
    without_schemas: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    topics: TopicsArgs,
}

impl KeepingArgs {
    /// The topics, under their prefix.
    pub(crate) fn topics(&self) -> Topics {
        Topics::new(&self.topics.topic_prefix)
    }

    /// The schemas' topic; none where they are left out.
    pub(crate) fn schemas(&self) -> Option<String> {
        let usual = || self.topics().schemas();
        (!self.without_schemas).then(|| self.schemas_topic.clone().unwrap_or_else(usual))
    }

    /// The settings of one client of Kafka, named by what it does.
    pub(crate) fn settings(&self, client_id: &str) -> anyhow::Result<KafkaSettings> {
        log::settings(&self.kafka, client_id)
    }

    /// A connection for questions to the cluster, which is within reach.
    pub(crate) async fn admin(&self, settings: &KafkaSettings) -> anyhow::Result<Admin> {
        let admin = topics::admin(settings)?;
        admin.off_thread(Admin::broker_count).await?;
        Ok(admin)
    }
}

/// The address of a place, as it is typed.
pub(crate) fn address(text: &str) -> Result<Address, String> {
    text.parse()
}

/// Runs work on a thread where it may block; a signal asks it to end.
pub(crate) async fn blocking<T, F>(work: F) -> anyhow::Result<T>
where
    T: Send + 'static,
    F: FnOnce(&CancellationToken) -> licenseflow_archive::Result<T> + Send + 'static,
{
    crash::hook().map_err(|error| WrongUse::of(io::Error::other(error)))?;
    let stop = shutdown::on_signals().context("cannot listen for signals")?;
    let work = tokio::task::spawn_blocking(move || work(&stop));
    Ok(work.await.context("the work did not end")??)
}

/// Shows how far the work is, from the first time that it says so.
pub(crate) fn shown(unit: &'static str) -> impl FnMut(Progress) {
    let mut bar = None;
    move |progress: Progress| {
        let bar = bar.get_or_insert_with(|| Shown::new(Some(progress.total), unit));
        bar.advanced(progress.done);
    }
}

/// What offsets mean after a restore, a line for each partition.
pub(crate) fn mapping_text(mapping: &[PartitionMapping]) -> String {
    let lines = mapping.iter().map(|of| {
        let (next, now) = (of.archived_next, of.restored_next);
        let what = if next == now {
            "all offsets as before".to_owned()
        } else {
            let same = of.same_below;
            let fewer = next - now;
            format!("offsets as before below {same}, up to {fewer} less from there on")
        };
        let (name, partition) = (name(of.holds), of.partition);
        format!("\n  {name:11} {partition:3}  ended at {next}, ends at {now}: {what}")
    });
    lines.collect()
}

pub(crate) fn mapping_json(mapping: &[PartitionMapping]) -> Value {
    let each = mapping.iter().map(|of| {
        json!({
            "topic": name(of.holds),
            "partition": of.partition,
            "archived_next_offset": of.archived_next,
            "restored_next_offset": of.restored_next,
            "same_below": of.same_below,
        })
    });
    each.collect()
}

fn name(holds: Holds) -> &'static str {
    match holds {
        Holds::Schemas => "schemas",
        Holds::Interactive => "interactive",
        Holds::Bulk => "bulk",
    }
}
