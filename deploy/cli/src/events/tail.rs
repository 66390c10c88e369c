//! `events tail`: records as they are written, decoded.

use super::LaneName;
use crate::exit::Exit;
use crate::log::LogArgs;
use crate::output::{self, OutputArgs};
use crate::schemas::CommandSchemas;
use anyhow::Context;
use clap::{Args, ValueEnum};
use licenseflow_avro::Lane;
use licenseflow_producers::tail::{TailForm, TailOptions, TailTopic, tail};
use licenseflow_runtime::log::{Start, Stop};
use licenseflow_runtime::shutdown;
use std::ops::ControlFlow;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TopicName {
    /// The lane for what happens now
    Interactive,
    /// The lane for imports and backfills
    Bulk,
    /// What was given up on
    Dlq,
    /// What waits for another try
    Retry,
}

impl From<TopicName> for TailTopic {
    fn from(name: TopicName) -> Self {
        match name {
            TopicName::Interactive => TailTopic::Lane(LaneName::Interactive.into()),
            TopicName::Bulk => TailTopic::Lane(LaneName::Bulk.into()),
            TopicName::Dlq => TailTopic::DeadLetters,
            TopicName::Retry => TailTopic::Retries,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// What to read; may stand several times; without it, both lanes
    #[arg(long, value_enum, value_name = "TOPIC")]
    topic: Vec<TopicName>,
    /// Start at the first record that there is; without it, after the last
    #[arg(long)]
    from_beginning: bool,
    /// Start at this time, in milliseconds since 1970
    #[arg(long, value_name = "MILLISECONDS", conflicts_with = "from_beginning")]
    from_time: Option<i64>,
    /// End where the topics end now; without it, wait for more
    #[arg(long)]
    until_end: bool,
    /// Only this license
    #[arg(long, value_name = "ID")]
    license: Option<String>,
    /// Only this tenant
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Only this request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn run(arguments: TailArgs) -> anyhow::Result<Exit> {
    let stop = shutdown::on_signals()?;
    let topics = arguments.log.topics();
    let settings = arguments.log.settings("licenseflow-tail")?;
    let served = CommandSchemas::open(&arguments.log)?;
    let schemas = served.client.blocking(tokio::runtime::Handle::current());
    let options = options(&arguments);
    let read = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        let mut written = Ok(());
        let on_line = |line: &str| {
            written = output::line(line);
            if written.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        tail(
            &settings,
            &topics,
            &options,
            &schemas,
            || stop.is_cancelled(),
            on_line,
        )?;
        Ok(written?)
    });
    read.await.context("the reading did not end")??;
    Ok(Exit::Done)
}

fn options(arguments: &TailArgs) -> TailOptions {
    let named = arguments.topic.iter().map(|topic| TailTopic::from(*topic));
    let topics = match named.collect::<Vec<_>>() {
        none if none.is_empty() => Lane::ALL.map(TailTopic::Lane).to_vec(),
        some => some,
    };
    let start = match arguments.from_time {
        Some(time) => Start::Time(time),
        None if arguments.from_beginning => Start::Beginning,
        None => Start::End,
    };
    TailOptions {
        topics,
        start,
        stop: if arguments.until_end {
            Stop::AtEnd
        } else {
            Stop::Never
        },
        license_id: arguments.license.clone(),
        tenant_id: arguments.tenant.clone(),
        request_id: arguments.request.clone(),
        form: if arguments.output.json {
            TailForm::Json
        } else {
            TailForm::Readable
        },
    }
}
