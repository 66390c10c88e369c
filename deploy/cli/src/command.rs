//! The command line as a whole: which commands there are.

use crate::config_show::ConfigCommand;
use crate::ingest::IngestArgs;
use crate::project::ProjectArgs;
use crate::query::QueryArgs;
use crate::topics::TopicsCommand;
use crate::up::UpArgs;
use crate::verify::VerifyArgs;
use clap::{Parser, Subcommand};
use licenseflow_runtime::config::{ConfigFileArgs, TelemetryArgs};

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
    /// Fold the log anew and compare it with the read model
    Verify(Box<VerifyArgs>),
    /// Create or describe the topics
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Show the settings
    #[command(subcommand)]
    Config(ConfigCommand),
}
