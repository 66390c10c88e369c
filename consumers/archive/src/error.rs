//! What can be wrong with an archive, with the log beside it, or on the way between the two.

use licenseflow_runtime::log;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something was not archived or not restored, in words that an operator can act on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// From Kafka.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// It was asked to end before it was done.
    #[error("stopped before the end; the same command goes on from there")]
    Stopped,
    /// A part could not be compressed.
    #[error("cannot compress a part")]
    Compressing(#[source] std::io::Error),
    /// The place cannot be used.
    #[error("cannot {operation} at {place}")]
    Place {
        /// What was to be done.
        operation: String,
        /// Where.
        place: String,
        /// Why not.
        #[source]
        source: Box<object_store::Error>,
    },
    /// The bucket is not there.
    #[error(
        "cannot {operation}: there is no bucket at {place}; it is not made here, make it first"
    )]
    NoBucket {
        /// What was to be done.
        operation: String,
        /// Where.
        place: String,
    },
    /// The folder is not there.
    #[error("there is no folder {folder}")]
    NoFolder {
        /// Its path.
        folder: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// There is no archive.
    #[error("there is no archive at {place}: it has no {file}")]
    NoArchive {
        /// Where.
        place: String,
        /// What was looked for.
        file: &'static str,
    },
    /// A file is not what was written.
    #[error("{file} is damaged: {reason}; nothing of it was taken")]
    Damaged {
        /// The file, with its place.
        file: String,
        /// What shows it.
        reason: String,
    },
    /// A file that the manifest names is not there.
    #[error("{file} is missing, and the manifest names it")]
    Missing {
        /// The file, with its place.
        file: String,
    },
    /// A later release wrote it.
    #[error("the archive at {place} has format {format}; this release reads formats up to {known}")]
    LaterFormat {
        /// Where.
        place: String,
        /// The archive's.
        format: u32,
        /// Ours.
        known: u32,
    },
    /// The archive is of another log.
    #[error(
        "the archive at {place} is of {found}, and this is {wanted}; an archive is of one log: name another place"
    )]
    OtherLog {
        /// Where.
        place: String,
        /// Which log the archive is of.
        found: String,
        /// Which log was to be added to it.
        wanted: String,
    },
    /// A partition does not go on from where the archive ends.
    #[error("{topic}:{partition} cannot be archived from {next}: {reason}")]
    Broken {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where the archive ends.
        next: i64,
        /// What is wrong.
        reason: String,
    },
    /// The schemas' topic is not there.
    #[error(
        "the topic {0} does not exist: no registry keeps its schemas there. --schemas-topic names another topic; \
         --without-schemas leaves them out, where the registry is backed up by itself"
    )]
    NoSchemas(String),
    /// Two write at once.
    #[error(
        "somebody else has written to the archive at {0} meanwhile; what was copied stays, run it again"
    )]
    Written(String),
    /// A topic that must be empty is not.
    #[error(
        "{topic}:{partition} holds what is not of this archive ({found}); restoring needs topics that are empty, or \
         that an earlier restore of this archive left unfinished. Name a --topic-prefix that is not used, or delete \
         the topics first if nothing in them is needed: kafka-topics.sh --bootstrap-server {servers} --delete --topic {topic}"
    )]
    NotEmpty {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What was found there.
        found: String,
        /// The brokers.
        servers: String,
    },
    /// A topic that is there has another number of partitions.
    #[error(
        "the topic {topic} has {found} partitions, and had {archived} when it was archived; delete it, and it is made with those"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: usize,
        /// How many it had.
        archived: usize,
    },
    /// Partitions have not come out as long as they should.
    #[error("{topic}:{partition} ends at {found} after the restore, and must end at {expected}")]
    Length {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where it ends.
        found: i64,
        /// Where it must end.
        expected: i64,
    },
    /// The archive has no such record.
    #[error("the archive is not whole: {0}")]
    NotWhole(String),
    /// The topics were left under the settings of a restore.
    #[error(
        "the settings of {topic} could not be set back ({reason}); mend it with: kafka-configs.sh --bootstrap-server \
         {servers} --alter --entity-type topics --entity-name {topic} --add-config {settings}"
    )]
    NotSetBack {
        /// The topic.
        topic: String,
        /// Why not.
        reason: String,
        /// The brokers.
        servers: String,
        /// What they must be.
        settings: String,
    },
}
