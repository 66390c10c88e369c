//! How the process speaks: log lines to standard error, and numbers for
//! Prometheus. What is said belongs to the rooms; this is only the mouth.

mod build;
mod logs;
mod numbers;
mod stderr;

pub use build::{NAME, VERSION};
pub use logs::start_logs;
pub use numbers::{Numbers, start_numbers};
pub use stderr::Logs;

/// Why telemetry did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter of log lines cannot be read.
    #[error("cannot read the log level")]
    LogLevel(#[from] tracing_subscriber::filter::ParseError),
    /// There is no thread for them.
    #[error("log lines cannot be written")]
    NoThread(#[source] std::io::Error),
    /// It was started twice.
    #[error("telemetry runs already")]
    Twice,
}
