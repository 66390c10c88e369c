//! Why the projector ends other than by being asked to.

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error after which nobody may go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be written by us, or what is in it cannot be.
    #[error("the projector stopped")]
    Store(#[from] licenseflow_store::Error),
    /// The log cannot be read by us.
    #[error("the projector stopped")]
    Log(#[from] licenseflow_kafka::Error),
    /// A schema that was needed cannot be had, where there is nobody to wait for it.
    #[error("a record's schema cannot be had: {0}")]
    Schemas(#[from] licenseflow_avro::judgement::SchemasAway),
    /// A thread of ours ended without a word.
    #[error("the projector's thread {0} ended unexpectedly")]
    Ended(&'static str),
    /// The system gave no thread.
    #[error("cannot start the projector's thread {name}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The end took longer than the grace.
    #[error("the projector did not end within {0:?}")]
    Slow(std::time::Duration),
}

impl Error {
    /// A short stable word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Store(_) => "store",
            Error::Log(error) => error.kind(),
            Error::Schemas(_) => "schemas",
            Error::Ended(_) => "ended",
            Error::Thread { .. } => "thread",
            Error::Slow(_) => "slow",
        }
    }
}
