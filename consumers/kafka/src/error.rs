//! What can go wrong between the projector and the log.

use licenseflow_runtime::log;
use rdkafka::error::KafkaError;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that the caller must decide on; what heals by itself is not one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// From the client settings, or from a question to the brokers.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The consumer cannot go on: another process took its place in the group, or librdkafka gave up.
    #[error("the consumer cannot go on: {0}")]
    Fatal(#[source] Box<KafkaError>),
    /// librdkafka refused an order.
    #[error("librdkafka refused to {operation}")]
    Refused {
        /// What was asked of it.
        operation: &'static str,
        /// What it said.
        #[source]
        source: Box<KafkaError>,
    },
    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl Error {
    /// A short stable word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Log(error) => error.kind(),
            Error::Fatal(_) => "fatal",
            Error::Refused { .. } => "refused",
            Error::Thread(_) => "thread",
        }
    }

    /// For `map_err` where librdkafka is given an order.
    pub(crate) fn refused(operation: &'static str) -> impl FnOnce(KafkaError) -> Error {
        move |source| Error::Refused {
            operation,
            source: Box::new(source),
        }
    }
}
