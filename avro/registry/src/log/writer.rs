//! The one writer of the topic, over all instances.
//!
//! All instances use the same transactional id, so the brokers know one writer: whoever began last.
//! A commit that succeeds therefore proves that nobody else wrote since this writer began, and that
//! what was decided on the log up to then still holds. One that was fenced wrote nothing.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use licenseflow_runtime::log::ClientLog;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::connection::{Where, of_log};
use super::failure::Failure;
use super::record::Entry;
use crate::{Error, Result};

/// Remembers the last offset that was acknowledged.
struct Acknowledged {
    last: AtomicI64,
}

impl ClientContext for Acknowledged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        ClientLog::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        ClientLog::trouble(&error, reason);
    }
}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Ok(message) = result {
            self.last.fetch_max(message.offset(), Ordering::Relaxed);
        }
    }
}

/// A transactional producer that has fenced the one before it.
pub(crate) struct Writer {
    producer: BaseProducer<Acknowledged>,
    topic: String,
    timeout: Duration,
}

impl Writer {
    /// Begins; open transactions of earlier writers are aborted when this returns.
    pub(crate) fn begin(place: &Where) -> std::result::Result<Writer, Failure> {
        let config = place.kafka.transactional_config(&place.transactional_id);
        let config = config.map_err(|error| Failure::Final(of_log(error)))?;
        let producer: BaseProducer<Acknowledged> = config
            .create_with_context(Acknowledged {
                last: AtomicI64::new(-1),
            })
            .map_err(|error| Failure::Final(Error::Store(error.to_string())))?;
        producer.init_transactions(place.timeout).map_err(failure)?;
        Ok(Writer {
            producer,
            topic: place.topic.clone(),
            timeout: place.timeout,
        })
    }

    /// Writes all entries or none, and says the last one's offset.
    pub(crate) fn write(&self, entries: &[Entry]) -> std::result::Result<i64, Failure> {
        self.producer.begin_transaction().map_err(failure)?;
        for entry in entries {
            let (key, value) = bytes(entry).map_err(Failure::Final)?;
            let mut record = BaseRecord::to(&self.topic).partition(0).key(&key);
            if let Some(value) = &value {
                record = record.payload(value);
            }
            self.producer
                .send(record)
                .map_err(|(error, _)| failure(error))?;
        }
        self.producer.flush(self.timeout).map_err(failure)?;
        self.producer
            .commit_transaction(self.timeout)
            .map_err(failure)?;
        Ok(self.producer.context().last.load(Ordering::Relaxed))
    }
}

fn bytes(entry: &Entry) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    entry
        .bytes()
        .map_err(|error| Error::Store(error.to_string()))
}

/// Sorts librdkafka's error. What nobody may do stays forbidden; all else passes, for the next
/// writer starts from a clean state.
fn failure(error: KafkaError) -> Failure {
    use RDKafkaErrorCode as Code;
    let code = match &error {
        KafkaError::Transaction(inner) => Some(inner.code()),
        other => other.rdkafka_error_code(),
    };
    let text = error.to_string();
    match code {
        Some(
            Code::TransactionalIdAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::MessageSizeTooLarge
            | Code::PolicyViolation,
        ) => Failure::Final(Error::Store(text)),
        Some(
            Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::ConcurrentTransactions,
        ) => Failure::Again(Error::Contended(format!(
            "another instance was writing: {text}"
        ))),
        Some(_) | None => Failure::Again(Error::Unavailable(text)),
    }
}
