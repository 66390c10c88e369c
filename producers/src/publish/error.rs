//! Why there is no receipt, and whether the record may be in the log all the same.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What is known about a record without a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is not in the log, and will not be.
    Refused,
    /// It may be in the log, or still arrive: the same event may be sent again.
    Unknown,
}

impl Outcome {
    /// The word that answers and metrics use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Refused => "refused",
            Outcome::Unknown => "unknown",
        }
    }
}

/// Why a record has no receipt.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// Larger than any record that the lanes take.
    #[error("the record has {bytes} bytes; the lanes take 2 MiB")]
    TooLarge {
        /// Key and value together.
        bytes: usize,
    },
    /// No room came free in time: the brokers take less than is sent.
    #[error("too much is on its way to the brokers, and no room came free in time")]
    QueueFull,
    /// Nothing was acknowledged for so long that nothing more is sent but a probe now and then.
    #[error("the brokers have not acknowledged anything for a while")]
    BrokersAway,
    /// The publisher was stopped.
    #[error("this publisher is stopping")]
    Stopped,
    /// The brokers, or librdkafka, will not take it.
    #[error("the record was refused")]
    Refused(#[source] Box<KafkaError>),
    /// It was sent, or may have been, and nobody acknowledged it.
    #[error("the record was not acknowledged")]
    Unacknowledged(#[source] Box<KafkaError>),
    /// The time to answer came before the acknowledgement.
    #[error("the record was not acknowledged in time")]
    TooLate,
    /// The producer broke and cannot be made anew.
    #[error("the producer cannot be made")]
    NoProducer,
}

impl PublishError {
    /// Whether the record may be in the log all the same.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            PublishError::TooLarge { .. }
            | PublishError::QueueFull
            | PublishError::BrokersAway
            | PublishError::Stopped
            | PublishError::Refused(_)
            | PublishError::NoProducer => Outcome::Refused,
            PublishError::Unacknowledged(_) | PublishError::TooLate => Outcome::Unknown,
        }
    }

    /// Whether the same record may be taken later, without anyone changing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            PublishError::QueueFull
            | PublishError::BrokersAway
            | PublishError::Unacknowledged(_)
            | PublishError::TooLate
            | PublishError::NoProducer => true,
            PublishError::TooLarge { .. } | PublishError::Stopped | PublishError::Refused(_) => {
                false
            }
        }
    }

    /// A short stable word for answers and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            PublishError::TooLarge { .. } => "record_too_large",
            PublishError::QueueFull => "queue_full",
            PublishError::BrokersAway => "brokers_away",
            PublishError::Stopped => "stopping",
            PublishError::Refused(_) => "brokers_refused",
            PublishError::Unacknowledged(_) => "not_acknowledged",
            PublishError::TooLate => "not_acknowledged_in_time",
            PublishError::NoProducer => "no_producer",
        }
    }

    /// Sorts librdkafka's word about a record that was in its queue.
    pub(super) fn of_delivery(error: KafkaError) -> Self {
        let refused = error.rdkafka_error_code().is_some_and(is_certain_refusal);
        let error = Box::new(error);
        if refused {
            PublishError::Refused(error)
        } else {
            PublishError::Unacknowledged(error)
        }
    }
}

/// Codes that say for certain that the record is not in the log. librdkafka's timeouts do not: an
/// attempt before may have been written and its acknowledgement lost.
fn is_certain_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    [
        Code::MessageSizeTooLarge,
        Code::InvalidMessage,
        Code::InvalidMessageSize,
        Code::InvalidRecord,
        Code::InvalidTimestamp,
        Code::PolicyViolation,
        Code::TopicAuthorizationFailed,
        Code::ClusterAuthorizationFailed,
        Code::UnknownTopic,
        Code::UnknownPartition,
        Code::UnknownTopicOrPartition,
        Code::InvalidTopic,
    ]
    .contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: RDKafkaErrorCode) -> Outcome {
        PublishError::of_delivery(KafkaError::MessageProduction(code)).outcome()
    }

    #[test]
    fn what_timed_out_may_still_have_arrived() {
        for code in [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::RequestTimedOut,
            RDKafkaErrorCode::PurgeQueue,
            RDKafkaErrorCode::PurgeInflight,
            RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
            RDKafkaErrorCode::Fatal,
        ] {
            assert_eq!(outcome(code), Outcome::Unknown, "{code:?}");
        }
    }

    #[test]
    fn what_a_broker_says_no_to_is_refused() {
        for code in [
            RDKafkaErrorCode::MessageSizeTooLarge,
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::UnknownTopicOrPartition,
        ] {
            assert_eq!(outcome(code), Outcome::Refused, "{code:?}");
        }
    }
}
