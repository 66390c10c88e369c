//! Where the log is: the arguments that every command has which reads or writes it.

use clap::Args;
use licenseflow_avro::Topics;
use licenseflow_runtime::config::{KafkaArgs, RegistryArgs, TopicsArgs};

/// The brokers, the schemas of what is in the log, and what its topics are called.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(flatten)]
    topics: TopicsArgs,
}

impl LogArgs {
    /// The topics, under their prefix.
    pub(crate) fn topics(&self) -> Topics {
        Topics::new(&self.topics.topic_prefix)
    }
}
