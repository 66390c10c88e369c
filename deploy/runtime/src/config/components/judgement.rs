//! How records are judged, alike at the intake and in the projector.

use std::time::Duration;

/// What a record is judged by beside its own content.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Judgement")]
pub struct JudgementArgs {
    /// How far an event's own time may be ahead of the broker's before it is rejected
    #[arg(long, env = "LICENSEFLOW_MAX_FUTURE_SKEW", default_value = "5m", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub max_future_skew: Duration,
}

impl JudgementArgs {
    /// The same in microseconds, as events' times are told.
    pub fn max_future_skew_micros(&self) -> i64 {
        i64::try_from(self.max_future_skew.as_micros()).unwrap_or(i64::MAX)
    }
}
