//! Where the log is: the arguments that every command has which reads or writes it.

use crate::exit::WrongUse;
use clap::Args;
use licenseflow_avro::Topics;
use licenseflow_runtime::config::{KafkaArgs, RegistryArgs, TopicsArgs};
use licenseflow_runtime::log::KafkaSettings;

/// The brokers, the schemas of what is in the log, and what its topics are called.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    topics: TopicsArgs,
}

impl LogArgs {
    /// The settings of one client of Kafka, named by what it does.
    pub(crate) fn settings(&self, client_id: &str) -> anyhow::Result<KafkaSettings> {
        settings(&self.kafka, client_id)
    }

    /// The topics, under their prefix.
    pub(crate) fn topics(&self) -> Topics {
        Topics::new(&self.topics.topic_prefix)
    }
}

/// The settings of one client of Kafka. One that is not the user's to pass on is a wrong use, and
/// said before any client is made.
pub(crate) fn settings(kafka: &KafkaArgs, client_id: &str) -> anyhow::Result<KafkaSettings> {
    let settings = kafka.settings(client_id);
    settings.check_overrides().map_err(WrongUse::of)?;
    Ok(settings)
}
