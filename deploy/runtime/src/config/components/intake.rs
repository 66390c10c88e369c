//! What the HTTP intake takes at once.

use crate::config::ByteSize;

/// Bounds of one request to the intake; past them it answers 413.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Intake")]
pub struct IntakeArgs {
    /// The largest event
    #[arg(
        long,
        env = "LICENSEFLOW_EVENT_BYTES_MAX",
        default_value = "1MiB",
        value_name = "SIZE"
    )]
    pub event_bytes_max: ByteSize,

    /// The most events of one request
    #[arg(long, env = "LICENSEFLOW_REQUEST_EVENTS_MAX", default_value = "10000", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub request_events_max: u32,

    /// The largest request
    #[arg(
        long,
        env = "LICENSEFLOW_REQUEST_BYTES_MAX",
        default_value = "16MiB",
        value_name = "SIZE"
    )]
    pub request_bytes_max: ByteSize,
}
