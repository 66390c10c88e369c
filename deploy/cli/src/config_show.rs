//! `config show`: with which settings would it run, and where does each come from.

use crate::exit::Exit;
use crate::output::{self, OutputArgs};
use clap::{Args, Subcommand};
use licenseflow_runtime::config::{
    Effective, HttpArgs, IntakeArgs, JudgementArgs, KafkaArgs, ProjectorArgs, RegistryArgs,
    StoreArgs, TopicsArgs,
};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting, its value and where that comes from; secrets are hidden
    Show(Box<ShowArgs>),
}

/// Every setting that any command has, so that each can be tried here.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    topics: TopicsArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    intake: IntakeArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    projector: ProjectorArgs,
    #[command(flatten)]
    judgement: JudgementArgs,
}

pub(crate) fn run(command: &ConfigCommand, effective: &Effective) -> anyhow::Result<Exit> {
    let ConfigCommand::Show(arguments) = command;
    if arguments.output.json {
        output::json(&effective.to_json())?;
    } else {
        output::line(effective.to_string().trim_end())?;
    }
    Ok(Exit::Done)
}
