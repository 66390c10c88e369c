//! Writes records as they are: into their partition, with their time, each at the offset where it must lie.
//!
//! It is for whoever is the only one to write to a topic, and knows where each record must come to lie. What
//! is acknowledged elsewhere, or under another time, was written by two, or under other settings: that is an
//! error, and nothing more is written. What is in a partition is at any moment a beginning of what was given
//! for it, without a gap and without doubles: the producer is idempotent, and gives up rather than leave
//! something out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header as KafkaHeader, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Timestamp};

use super::{ClientLog, Error, Header, KafkaSettings, Record, Result, TopicPartition};

/// How long one look at the producer takes while it has no room, or is being waited for.
const LOOK: Duration = Duration::from_millis(50);

/// Writes records as they are.
pub struct Writer {
    producer: ThreadedProducer<Deliveries>,
    /// How long nothing may be acknowledged while something is on its way.
    patience: Duration,
}

impl Writer {
    /// Makes the client; no broker is asked yet.
    ///
    /// # Errors
    /// The settings', or from librdkafka.
    pub fn open(settings: &KafkaSettings, patience: Duration) -> Result<Writer> {
        let producer = settings
            .writer_config()?
            .create_with_context(Deliveries::default())
            .map_err(Error::client)?;
        Ok(Writer { producer, patience })
    }

    /// Gives a record to be written at that offset of a partition, behind all that were given for it before.
    /// Waits for room.
    ///
    /// # Errors
    /// What became of this record or of one before it; nothing more is written then.
    pub fn write(&self, to: &Arc<TopicPartition>, offset: i64, record: &Record) -> Result<()> {
        // librdkafka takes 0 for "now"; no broker gives a time before 1970.
        let timestamp_ms = record.timestamp_ms.unwrap_or(0).max(1);
        let place = Box::new(Place {
            partition: Arc::clone(to),
            offset,
            timestamp_ms,
        });
        let mut wanted = BaseRecord::<[u8], [u8], Box<Place>>::with_opaque_to(&to.topic, place)
            .partition(to.partition)
            .timestamp(timestamp_ms)
            .headers(owned(&record.headers));
        wanted.key = record.key.as_deref();
        wanted.payload = record.value.as_deref();
        loop {
            self.check(to)?;
            let Err((error, back)) = self.producer.send(wanted) else {
                return Ok(());
            };
            let is_full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            if !is_full || self.producer.in_flight_count() == 0 {
                return Err(back.delivery_opaque.unwritten(error));
            }
            wanted = back;
            self.producer.poll(LOOK);
        }
    }

    /// Waits until all that was given is acknowledged, where it was to lie.
    ///
    /// # Errors
    /// What became of one of them.
    pub fn flush(&self) -> Result<()> {
        let nowhere = TopicPartition::new("the log", 0);
        while self.producer.in_flight_count() > 0 {
            self.check(&nowhere)?;
            // That the time ran out is seen by what is still on its way.
            let _ = self.producer.flush(LOOK);
        }
        self.check(&nowhere)
    }

    fn check(&self, to: &TopicPartition) -> Result<()> {
        let is_waiting = self.producer.in_flight_count() > 0;
        let patience = self.patience;
        self.producer.context().with(|heard| {
            if let Some(error) = heard.failure.take() {
                heard.is_over = true;
                return Err(error);
            }
            if !is_waiting {
                heard.moved = Instant::now();
            }
            if heard.is_over || heard.moved.elapsed() > patience {
                return Err(Error::Unacknowledged {
                    topic: to.topic.clone(),
                    seconds: patience.as_secs(),
                });
            }
            Ok(())
        })
    }
}

fn owned(headers: &[Header]) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(empty, |all, header| {
        all.insert(KafkaHeader {
            key: &header.name,
            value: header.value.as_deref(),
        })
    })
}

/// Where a record is to lie, and under which time.
#[derive(Debug)]
struct Place {
    partition: Arc<TopicPartition>,
    offset: i64,
    timestamp_ms: i64,
}

impl Place {
    fn unwritten(&self, source: KafkaError) -> Error {
        Error::Unwritten {
            topic: self.partition.topic.clone(),
            partition: self.partition.partition,
            offset: self.offset,
            source: Box::new(source),
        }
    }

    /// The error of a record that was acknowledged as this one; none where it is as it was to be.
    fn fault(&self, offset: i64, timestamp: Timestamp) -> Option<Error> {
        let how = if offset != self.offset {
            format!("lies at {offset}: somebody else writes to this topic")
        } else if timestamp != Timestamp::CreateTime(self.timestamp_ms) {
            "has another time than it was given: the topic's message.timestamp.type is not CreateTime"
                .to_owned()
        } else {
            return None;
        };
        Some(Error::WrittenOtherwise {
            topic: self.partition.topic.clone(),
            partition: self.partition.partition,
            offset: self.offset,
            how,
        })
    }
}

/// What the brokers have said.
#[derive(Debug)]
struct Heard {
    /// The first failure: those after it follow from it.
    failure: Option<Error>,
    /// A failure was told.
    is_over: bool,
    /// When something was acknowledged last, or nothing was waited for.
    moved: Instant,
}

#[derive(Debug)]
struct Deliveries(Mutex<Heard>);

impl Default for Deliveries {
    fn default() -> Self {
        Self(Mutex::new(Heard {
            failure: None,
            is_over: false,
            moved: Instant::now(),
        }))
    }
}

impl Deliveries {
    fn with<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        // Nothing panics in between, and what was heard is whole at any time.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        ClientLog::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        ClientLog::trouble(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Place>;

    fn delivery(&self, result: &DeliveryResult<'_>, place: Box<Place>) {
        let failure = match result {
            Ok(message) => place.fault(message.offset(), message.timestamp()),
            Err((error, _)) => Some(place.unwritten(error.clone())),
        };
        self.with(|heard| {
            heard.moved = Instant::now();
            if !heard.is_over && heard.failure.is_none() {
                heard.failure = failure;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            partition: Arc::new(TopicPartition::new("t", 3)),
            offset: 7,
            timestamp_ms: 1000,
        }
    }

    #[test]
    fn what_lies_elsewhere_or_under_another_time_is_a_fault() {
        let given = Timestamp::CreateTime(1000);
        assert!(place().fault(7, given).is_none());
        let elsewhere = place().fault(9, given).unwrap().to_string();
        assert!(elsewhere.contains("t:3:7 lies at 9"), "{elsewhere}");
        for other in [
            Timestamp::LogAppendTime(1000),
            Timestamp::CreateTime(1001),
            Timestamp::NotAvailable,
        ] {
            let said = place().fault(7, other).unwrap().to_string();
            assert!(said.contains("message.timestamp.type"), "{said}");
        }
    }
}
