//! What an error of the consumer means for the partitions that are read.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What is to be done about an error.
///
/// | librdkafka says | it means | the source |
/// |---|---|---|
/// | no offset to reset to | some partition's offset is out of range | asks which, and halts that one |
/// | a bad message, a compression or format it cannot read | it goes on behind a batch that it could not read | reads again from where it stood |
/// | a topic or partition that there is not | the topic was deleted, and may be made anew | asks whether it is the log that was read before it reads on |
/// | fatal | it does nothing more | ends |
/// | any other | a broker or leader is away | waits: librdkafka comes back by itself |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    OutOfRange,
    Unreadable,
    TopicAway,
    Fatal,
    Passing,
}

impl Trouble {
    pub(crate) fn of(error: &KafkaError) -> Trouble {
        use RDKafkaErrorCode as Code;
        match error {
            KafkaError::MessageConsumption(Code::AutoOffsetReset) => Trouble::OutOfRange,
            KafkaError::MessageConsumption(
                Code::BadMessage
                | Code::BadCompression
                | Code::InvalidMessage
                | Code::NotImplemented,
            ) => Trouble::Unreadable,
            KafkaError::MessageConsumption(
                Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopicId,
            ) => Trouble::TopicAway,
            KafkaError::MessageConsumptionFatal(_) => Trouble::Fatal,
            _ => Trouble::Passing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_from_what_is_gone_and_from_what_passes() {
        use RDKafkaErrorCode as Code;
        let consumption = |code| Trouble::of(&KafkaError::MessageConsumption(code));
        for code in [
            Code::BadMessage,
            Code::BadCompression,
            Code::InvalidMessage,
            Code::NotImplemented,
        ] {
            assert_eq!(consumption(code), Trouble::Unreadable, "{code}");
        }
        assert_eq!(consumption(Code::AutoOffsetReset), Trouble::OutOfRange);
        for code in [Code::BrokerTransportFailure, Code::AllBrokersDown] {
            assert_eq!(consumption(code), Trouble::Passing, "{code}");
        }
        for code in [Code::UnknownTopicOrPartition, Code::UnknownTopicId] {
            assert_eq!(consumption(code), Trouble::TopicAway, "{code}");
        }
        let fatal = KafkaError::MessageConsumptionFatal(Code::FencedInstanceId);
        assert_eq!(Trouble::of(&fatal), Trouble::Fatal);
    }
}
