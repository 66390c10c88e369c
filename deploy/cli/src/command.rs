//! The command line as a whole: which commands there are, and the file of each.

use crate::archive::ArchiveArgs;
use crate::config_show::ConfigCommand;
use crate::dlq::DlqCommand;
use crate::events::EventsCommand;
use crate::exit::Exit;
use crate::ingest::IngestArgs;
use crate::project::ProjectArgs;
use crate::query::QueryArgs;
use crate::replay::ReplayArgs;
use crate::restore::RestoreArgs;
use crate::topics::TopicsCommand;
use crate::up::UpArgs;
use crate::verify::VerifyArgs;
use crate::{
    archive, config_show, dlq, events, ingest, project, query, replay, restore, topics, up, verify,
};
use clap::{Parser, Subcommand};
use licenseflow_runtime::config::{ConfigFileArgs, Loaded, TelemetryArgs};

/// Licenses as streams of events: any client in, the state of every license out.
///
/// Settings: a flag, else the environment, else licenseflow.toml, else the default.
#[derive(Debug, Parser)]
#[command(
    name = "licenseflow",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) file: ConfigFileArgs,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run all roles in one process
    Up(Box<UpArgs>),
    /// Take events over HTTP and publish them
    Ingest(Box<IngestArgs>),
    /// Build the read model from the log
    Project(Box<ProjectArgs>),
    /// Answer what is known of licenses
    Query(Box<QueryArgs>),
    /// Build another generation of the read models beside the live one, compare, switch, go back
    Replay(Box<ReplayArgs>),
    /// Fold the log anew and compare it with the read model
    Verify(Box<VerifyArgs>),
    /// Copy what is new in the log to files elsewhere
    Archive(Box<ArchiveArgs>),
    /// Bring an archived log into a cluster whose topics are empty
    Restore(Box<RestoreArgs>),
    /// Create or describe the topics
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Generate, send and tail events
    #[command(subcommand)]
    Events(EventsCommand),
    /// List, show, redrive and resolve dead letters
    #[command(subcommand)]
    Dlq(Box<DlqCommand>),
    /// Show the settings
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Runs the command that was asked for.
pub(crate) async fn run(loaded: Loaded<Cli>) -> anyhow::Result<Exit> {
    match loaded.command.command {
        Command::Up(arguments) => up::run(*arguments, &loaded.effective).await,
        Command::Ingest(arguments) => ingest::run(*arguments, &loaded.effective).await,
        Command::Project(arguments) => project::run(*arguments, &loaded.effective).await,
        Command::Query(arguments) => query::run(*arguments, &loaded.effective).await,
        Command::Replay(arguments) => replay::run(*arguments).await,
        Command::Verify(arguments) => verify::run(*arguments).await,
        Command::Archive(arguments) => archive::run(*arguments).await,
        Command::Restore(arguments) => restore::run(*arguments).await,
        Command::Topics(command) => topics::run(command).await,
        Command::Events(command) => events::run(command).await,
        Command::Dlq(command) => dlq::run(*command).await,
        Command::Config(command) => config_show::run(&command, &loaded.effective),
    }
}
