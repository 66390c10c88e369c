//! How the process speaks about itself, and where its settings file is.

use std::path::PathBuf;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

/// Logs go to standard error.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryArgs {
    /// Form of log lines: auto is text on a terminal and JSON elsewhere
    #[arg(
        long,
        global = true,
        env = "LICENSEFLOW_LOG_FORMAT",
        default_value = "auto",
        value_name = "FORM",
        hide_possible_values = false
    )]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or for each part (info,librdkafka=debug)
    #[arg(long, global = true, env = "LICENSEFLOW_LOG_LEVEL", default_value = "info", value_name = "LEVEL", value_parser = log_level)]
    pub log_level: String,
}

/// The settings file.
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigFileArgs {
    /// Settings file; without it, licenseflow.toml where one stands, if it is there
    #[arg(long, global = true, env = "LICENSEFLOW_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

fn log_level(text: &str) -> Result<String, String> {
    let parsed = tracing_subscriber::EnvFilter::builder().parse(text);
    parsed
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}
