//! The topic, made sure of and followed.

use std::collections::BTreeMap;
use std::time::Duration;

use licenseflow_runtime::log::{
    self, Admin, Deviation, KafkaSettings, Reader, Start, Stop, TopicSpec,
};

use super::record::Entry;
use crate::{Error, Result};

/// Which topic, where, and how long to wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Where {
    pub(crate) kafka: KafkaSettings,
    pub(crate) topic: String,
    pub(crate) transactional_id: String,
    pub(crate) replication: Option<i32>,
    /// The bound of each question to the brokers.
    pub(crate) timeout: Duration,
}

impl Where {
    fn spec(&self) -> TopicSpec {
        TopicSpec {
            name: self.topic.clone(),
            partitions: 1,
            replication: self.replication,
            settings: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
        }
    }
}

/// A reading of the topic from its beginning, which goes on wherever it has come to the end.
pub(crate) struct Connection {
    reader: Reader,
}

impl Connection {
    /// Makes sure of the topic and starts reading it from its beginning.
    pub(crate) fn open(place: &Where) -> Result<Connection> {
        let admin = Admin::new(&place.kafka, place.timeout).map_err(of_log)?;
        let spec = [place.spec()];
        admin.ensure_topics(&spec).map_err(of_log)?;
        if let Some(deviation) = admin.check_topics(&spec).map_err(of_log)?.first() {
            return Err(of_deviation(deviation));
        }
        let partitions = admin.partitions(&place.topic).map_err(of_made)?.len();
        if partitions != 1 {
            return Err(Error::Store(format!(
                "the topic {} has {partitions} partitions; ids need the one order of one partition",
                place.topic
            )));
        }
        let start = Start::Beginning;
        let reader = Reader::open(
            &place.kafka,
            &[&place.topic],
            &start,
            Stop::AtEnd,
            place.timeout,
        );
        Ok(Connection {
            reader: reader.map_err(of_made)?,
        })
    }

    /// Hands over all that was committed to the topic up to now and was not handed over before.
    pub(crate) fn follow(&mut self, mut take: impl FnMut(Entry)) -> log::Result<()> {
        self.reader.extend()?;
        self.reader.drain(|record| {
            let entry = Entry::read(
                record.key.as_deref().unwrap_or(&[]),
                record.value.as_deref(),
            );
            match entry {
                Ok(entry) => take(entry),
                // Confluent's registry passes such records too; no version rests on one.
                Err(error) => tracing::warn!(
                    topic = &*record.topic, offset = record.offset, %error,
                    "a record of the schemas' topic is in no form we know, and is passed over"
                ),
            }
            Ok::<(), log::Error>(())
        })
    }

    /// Whether everything before that offset was handed over.
    pub(crate) fn is_past(&self, offset: i64) -> bool {
        self.reader.position().values().all(|next| *next > offset)
    }
}

/// A deviation of a topic that was made sure of just now. That it is missing is said by a broker
/// which has not heard of it yet, and passes.
fn of_deviation(deviation: &Deviation) -> Error {
    match deviation.actual {
        None => Error::Unavailable(deviation.to_string()),
        Some(_) => Error::Store(deviation.to_string()),
    }
}

/// The error of a topic that was made sure of just now, likewise.
fn of_made(error: log::Error) -> Error {
    match error {
        log::Error::UnknownTopic(_) => Error::Unavailable(error.to_string()),
        other => of_log(other),
    }
}

/// The log's error, in the API's words.
pub(crate) fn of_log(error: log::Error) -> Error {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if error.is_passing() {
        Error::Unavailable(text)
    } else {
        Error::Store(text)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    use super::*;

    fn answered(code: RDKafkaErrorCode) -> u16 {
        let source = KafkaError::OffsetFetch(code);
        let error = log::Error::of("list the offsets".into(), "127.0.0.1:1", source);
        of_log(error).status().as_u16()
    }

    #[test]
    fn a_broker_that_restarts_is_no_fault_of_ours() {
        for code in [
            RDKafkaErrorCode::UnknownLeaderEpoch,
            RDKafkaErrorCode::FencedLeaderEpoch,
            RDKafkaErrorCode::NotLeaderForPartition,
            RDKafkaErrorCode::LeaderNotAvailable,
            RDKafkaErrorCode::BrokerTransportFailure,
        ] {
            assert_eq!(503, answered(code), "{code:?}");
        }
        assert_eq!(500, answered(RDKafkaErrorCode::TopicAuthorizationFailed));
    }

    #[test]
    fn a_topic_that_a_broker_has_not_heard_of_yet_is_waited_for() {
        let missing = |actual: Option<&str>| Deviation {
            topic: "_schemas".into(),
            what: "cleanup.policy".into(),
            expected: "compact".into(),
            actual: actual.map(str::to_owned),
            command: String::new(),
        };
        assert_eq!(50002, of_deviation(&missing(None)).code());
        assert_eq!(50001, of_deviation(&missing(Some("delete"))).code());
        assert_eq!(
            50002,
            of_made(log::Error::UnknownTopic("_schemas".into())).code()
        );
    }
}
