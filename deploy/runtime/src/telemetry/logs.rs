//! Log lines: JSON for machines, text for people, always to standard error, so
//! that standard output belongs to what a command was asked for.

use super::Error;
use super::stderr::Logs;
use crate::config::{LogFormat, TelemetryArgs};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts log lines for the whole process, to be kept until nothing more is said.
pub fn start_logs(settings: &TelemetryArgs) -> Result<Logs, Error> {
    let filter = EnvFilter::builder().parse(&settings.log_level)?;
    let terminal = std::io::stderr().is_terminal();
    let as_text = match settings.log_format {
        LogFormat::Auto => terminal,
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    let logs = Logs::start().map_err(Error::NoThread)?;
    let lines = registry().with(filter);
    let started = if as_text {
        lines
            .with(fmt::layer().with_writer(logs.lines()).with_ansi(terminal))
            .try_init()
    } else {
        // The span's fields, the request id among them, stand beside the event's.
        let json = fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false);
        lines.with(json.with_writer(logs.lines())).try_init()
    };
    started.map_err(|_| Error::Twice)?;
    Ok(logs)
}
