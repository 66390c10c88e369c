//! `config show`: with which settings would it run, and where does each come from.

use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::up::UpArgs;
use clap::{Args, Subcommand};
use licenseflow_runtime::config::Effective;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting, its value and where that comes from; secrets are hidden
    Show(Box<ShowArgs>),
}

/// `up` has every role, and with them every setting, so each can be tried here.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    settings: UpArgs,
}

pub(crate) fn run(command: &ConfigCommand, effective: &Effective) -> anyhow::Result<Exit> {
    let ConfigCommand::Show(arguments) = command;
    let text = effective.to_string();
    arguments
        .output
        .print(text.trim_end(), &effective.to_json())?;
    Ok(Exit::Done)
}
