//! What a store can say instead of doing what it was asked.

use licenseflow_avro::{Lane, Offset, PartitionId};

/// A store's error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another owner moved the partition on: roll back, drop what was fetched, have the partition
    /// assigned anew from the store's position.
    #[error(
        "{lane} partition {partition} is not at offset {expected} in the store: another owner moved on"
    )]
    Fenced {
        /// The lane.
        lane: Lane,
        /// The partition.
        partition: PartitionId,
        /// The `next_offset` that the batch started from.
        expected: Offset,
    },
    /// Another process holds the store for writing.
    #[error(
        "{path} is held by {holder}: one projector writes a file; stop that one, or give this one another --store"
    )]
    Held {
        /// The file.
        path: String,
        /// Who holds it, as far as is known.
        holder: String,
    },
    /// The store is busy or away: the same call may go through later.
    #[error("the store is busy or away: {0}")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store does not take what it was given, and would take something else: a row breaks one of its rules.
    #[error("the store refuses what it was given: {0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file or database is not one of ours, or of a later release.
    #[error("{0}")]
    Unusable(String),
    /// What is stored cannot be, or the store refuses what must be possible.
    #[error("the store is broken: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The metric's label, and what the caller decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Error::Fenced`].
    Fenced,
    /// [`Error::Held`].
    Held,
    /// [`Error::Away`].
    Away,
    /// [`Error::Refused`].
    Refused,
    /// [`Error::Unusable`].
    Unusable,
    /// [`Error::Broken`].
    Broken,
}

impl Kind {
    /// A short stable word for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Kind::Fenced => "fenced",
            Kind::Held => "held",
            Kind::Away => "away",
            Kind::Refused => "refused",
            Kind::Unusable => "unusable",
            Kind::Broken => "broken",
        }
    }
}

impl Error {
    /// Which kind of error it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Error::Fenced { .. } => Kind::Fenced,
            Error::Held { .. } => Kind::Held,
            Error::Away(_) => Kind::Away,
            Error::Refused(_) => Kind::Refused,
            Error::Unusable(_) => Kind::Unusable,
            Error::Broken(_) => Kind::Broken,
        }
    }

    /// Something stored that cannot be read back.
    pub fn broken(what: impl Into<String>) -> Self {
        Error::Broken(what.into().into())
    }
}
