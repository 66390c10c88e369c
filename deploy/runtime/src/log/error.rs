//! What can go wrong between us and Kafka, in words an operator can act on.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The result of everything in [`crate::log`].
pub type Result<T> = std::result::Result<T, Error>;

/// An error from Kafka or from the settings of its client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An override would break a promise of the platform.
    #[error("the Kafka setting {key}={value} cannot be passed through: {reason}")]
    Refused {
        /// The librdkafka key.
        key: String,
        /// The value asked for.
        value: String,
        /// Why it is ours to set.
        reason: &'static str,
    },
    /// librdkafka does not take the settings.
    #[error("librdkafka does not accept the settings of the Kafka client")]
    Client(#[source] Box<KafkaError>),
    /// No broker answered in time.
    #[error("no answer from Kafka at {servers}: {operation}")]
    Unreachable {
        /// What was asked.
        operation: String,
        /// The bootstrap servers asked.
        servers: String,
        /// What librdkafka says.
        #[source]
        source: Box<KafkaError>,
    },
    /// A broker is there, and did not let us in: a password, a certificate.
    #[error("kafka at {servers} did not let us {operation}: {reason}")]
    TurnedAway {
        /// What was asked.
        operation: String,
        /// The bootstrap servers asked.
        servers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The brokers answered, and the answer is no.
    #[error("kafka refused to {operation}")]
    Broker {
        /// What was asked.
        operation: String,
        /// What librdkafka says.
        #[source]
        source: Box<KafkaError>,
    },
    /// A topic that must exist does not.
    #[error("the topic {0} does not exist")]
    UnknownTopic(String),
    /// A partition that must exist does not.
    #[error("partition {partition} of the topic {topic} does not exist")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// There is no record at an offset.
    #[error("there is no record at {topic}:{partition}:{offset}: {reason}")]
    NoRecord {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// What is there instead.
        reason: &'static str,
    },
    /// A partition ends before a place that was read already: the topic was cut short or made anew.
    #[error("{topic}:{partition} ends at {end}, but it was read up to {next} before")]
    CutShort {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where it ends now.
        end: i64,
        /// The next offset to read.
        next: i64,
    },
    /// A record was not written, and will not be: nothing behind it was either.
    #[error("the record that was to lie at {topic}:{partition}:{offset} was not written")]
    Unwritten {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where it was to lie.
        offset: i64,
        /// What librdkafka says.
        #[source]
        source: Box<KafkaError>,
    },
    /// A record was written, but not as it was to be.
    #[error("the record that was to lie at {topic}:{partition}:{offset} {how}")]
    WrittenOtherwise {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where it was to lie.
        offset: i64,
        /// What is wrong with it, and why that may be.
        how: String,
    },
    /// Writing made no headway for too long.
    #[error("no broker has acknowledged a record of {topic} for {seconds} s")]
    Unacknowledged {
        /// The topic.
        topic: String,
        /// How long nothing came, in seconds.
        seconds: u64,
    },
    /// Reading made no headway for too long.
    #[error("reading {topic} stood still for {seconds} s before its end was reached")]
    Stalled {
        /// The topic.
        topic: String,
        /// How long nothing came, in seconds.
        seconds: u64,
    },
}

impl Error {
    /// A short stable word for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Refused { .. } => "refused_setting",
            Error::Client(_) => "client",
            Error::Unreachable { .. } => "unreachable",
            Error::TurnedAway { .. } => "turned_away",
            Error::Broker { .. } => "broker",
            Error::UnknownTopic(_) => "unknown_topic",
            Error::UnknownPartition { .. } => "unknown_partition",
            Error::NoRecord { .. } => "no_record",
            Error::CutShort { .. } => "cut_short",
            Error::Unwritten { .. } => "unwritten",
            Error::WrittenOtherwise { .. } => "written_otherwise",
            Error::Unacknowledged { .. } => "unacknowledged",
            Error::Stalled { .. } => "stalled",
        }
    }

    /// Whether the same call may succeed later without anyone changing anything here.
    pub fn is_passing(&self) -> bool {
        match self {
            // Passwords are changed on the brokers too: a service that ran goes on asking.
            Error::Unreachable { .. }
            | Error::TurnedAway { .. }
            | Error::Unacknowledged { .. }
            | Error::Stalled { .. } => true,
            Error::Refused { .. }
            | Error::Client(_)
            | Error::Broker { .. }
            | Error::UnknownTopic(_)
            | Error::UnknownPartition { .. }
            | Error::NoRecord { .. }
            | Error::Unwritten { .. }
            | Error::WrittenOtherwise { .. }
            | Error::CutShort { .. } => false,
        }
    }

    /// For `map_err` where a client is made of settings.
    pub fn client(source: KafkaError) -> Error {
        Error::Client(Box::new(source))
    }

    /// The same error, told as what it is where a broker is there and turned us away.
    pub(super) fn because(self, turned_away: Option<String>) -> Error {
        match (self, turned_away) {
            (
                Error::Unreachable {
                    operation, servers, ..
                },
                Some(reason),
            ) => Error::TurnedAway {
                operation,
                servers,
                reason,
            },
            (error, _) => error,
        }
    }

    /// Sorts librdkafka's error by whether a broker was reached at all.
    pub fn of(operation: String, servers: &str, source: KafkaError) -> Error {
        let away = source.rdkafka_error_code().is_some_and(is_away);
        let source = Box::new(source);
        if away {
            let servers = servers.to_owned();
            Error::Unreachable {
                operation,
                servers,
                source,
            }
        } else {
            Error::Broker { operation, source }
        }
    }
}

/// Codes that say the brokers are away or changing leaders, and not that the question is wrong.
fn is_away(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    [
        Code::BrokerTransportFailure,
        Code::AllBrokersDown,
        Code::OperationTimedOut,
        Code::RequestTimedOut,
        Code::MessageTimedOut,
        Code::Resolve,
        Code::TimedOutQueue,
        Code::LeaderNotAvailable,
        Code::NotLeaderForPartition,
        // A broker that has just come back learns who leads, and since when, after its clients did.
        Code::UnknownLeaderEpoch,
        Code::FencedLeaderEpoch,
        Code::ReplicaNotAvailable,
        Code::ListenerNotFound,
        Code::BrokerNotAvailable,
        Code::NetworkException,
        Code::CoordinatorNotAvailable,
        Code::NotCoordinator,
        Code::CoordinatorLoadInProgress,
        Code::NotEnoughReplicas,
        Code::NotController,
        Code::OffsetNotAvailable,
    ]
    .contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restarting_broker_answers_is_passing() {
        for code in [
            RDKafkaErrorCode::UnknownLeaderEpoch,
            RDKafkaErrorCode::FencedLeaderEpoch,
            RDKafkaErrorCode::NotLeaderForPartition,
            RDKafkaErrorCode::LeaderNotAvailable,
            RDKafkaErrorCode::ReplicaNotAvailable,
            RDKafkaErrorCode::NotCoordinator,
            RDKafkaErrorCode::ListenerNotFound,
            RDKafkaErrorCode::BrokerTransportFailure,
        ] {
            let source = KafkaError::OffsetFetch(code);
            let error = Error::of("list".into(), "127.0.0.1:1", source);
            assert!(error.is_passing(), "{code:?}");
        }
    }

    #[test]
    fn a_broker_that_is_away_is_passing_and_a_refusal_is_not() {
        let away = Error::of(
            "list".into(),
            "127.0.0.1:1",
            KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure),
        );
        let refused = Error::of(
            "list".into(),
            "127.0.0.1:1",
            KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed),
        );
        assert!(away.is_passing());
        assert!(!refused.is_passing());
        assert_eq!(
            "no answer from Kafka at 127.0.0.1:1: list",
            away.to_string()
        );
    }
}
