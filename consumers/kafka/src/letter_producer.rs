//! One idempotent producer of letters, and what the brokers said of each letter of a round.
//!
//! It lives until librdkafka gives it up: after a fatal error it sends nothing more, and whoever holds
//! it makes another. It must not know what a letter is, nor when one is tried again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use licenseflow_avro::record::Header;
use licenseflow_runtime::log::{ClientLog, Error as LogError, KafkaSettings};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::Result;
use crate::letter::Delivery;

/// How long to wait for room in the producer's queue, at a time.
const ROOM: Duration = Duration::from_millis(20);

/// A record that is to be produced.
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Vec<Header>,
}

/// Producers, one after the other: one that failed for good is left behind, and the next attempt makes another.
pub(crate) struct Producing {
    pub(crate) settings: KafkaSettings,
    /// None after a fatal error.
    pub(crate) producer: Option<LetterProducer>,
}

impl Producing {
    /// Makes the first client; no broker is asked yet.
    ///
    /// # Errors
    /// The settings', or from librdkafka.
    pub(crate) fn start(settings: &KafkaSettings) -> Result<Self> {
        Ok(Self {
            producer: Some(LetterProducer::start(settings)?),
            settings: settings.clone(),
        })
    }

    /// Sends each, and gives what became of it, in order.
    ///
    /// A broker takes or refuses a batch as a whole. So those that were refused, or that went down with their
    /// producer, are tried once more, each alone: then only those at fault are left.
    ///
    /// # Errors
    /// None was sent.
    pub(crate) fn send<'a, T>(
        &mut self,
        all: &'a [T],
        until: Instant,
        outgoing: impl Fn(&'a T) -> Outgoing<'a>,
    ) -> Result<Vec<Delivery>> {
        let mut deliveries = self.attempt(all, until, &outgoing)?;
        let is_producer_lost = self.producer.is_none();
        for (one, delivery) in all.iter().zip(&mut deliveries) {
            let is_due = match delivery {
                Delivery::Acknowledged => false,
                Delivery::Refused(_) => true,
                Delivery::Unanswered(_) => is_producer_lost,
            };
            if is_due && all.len() > 1 && Instant::now() < until {
                match self.attempt(std::slice::from_ref(one), until, &outgoing) {
                    Ok(alone) => *delivery = alone.into_iter().next().unwrap_or(delivery.clone()),
                    Err(error) => {
                        // What was acknowledged stays so.
                        tracing::warn!(%error, "records are not tried again now");
                        break;
                    }
                }
            }
        }
        Ok(deliveries)
    }

    fn attempt<'a, T>(
        &mut self,
        all: &'a [T],
        until: Instant,
        outgoing: &impl Fn(&'a T) -> Outgoing<'a>,
    ) -> Result<Vec<Delivery>> {
        let mut producer = match self.producer.take() {
            Some(producer) => producer,
            None => LetterProducer::start(&self.settings)?,
        };
        producer.begin(all.len());
        for (number, one) in all.iter().enumerate() {
            producer.give(number, &outgoing(one), until);
        }
        let deliveries = producer.end(until);
        match producer.fatal() {
            Some(why) => tracing::error!("a producer failed for good, and is made anew: {why}"),
            None => self.producer = Some(producer),
        }
        Ok(deliveries)
    }
}

/// A producer, until it fails for good.
pub(crate) struct LetterProducer {
    producer: ThreadedProducer<Answers>,
    round: usize,
}

impl LetterProducer {
    /// Makes the client; no broker is asked yet.
    fn start(settings: &KafkaSettings) -> Result<LetterProducer> {
        let producer = settings
            .producer_config()?
            .create_with_context(Answers::default())
            .map_err(LogError::client)?;
        Ok(LetterProducer { producer, round: 0 })
    }

    /// Begins a round of that many records.
    fn begin(&mut self, count: usize) {
        self.round += 1;
        self.producer.context().begin(self.round, count);
    }

    /// Gives the record with that number of the round to librdkafka. What it says at once is noted like
    /// what the brokers say later.
    fn give(&self, number: usize, outgoing: &Outgoing<'_>, until: Instant) {
        let place = Box::new(Place {
            round: self.round,
            number,
        });
        let mut record =
            BaseRecord::<[u8], [u8], Box<Place>>::with_opaque_to(&outgoing.topic, place)
                .partition(outgoing.partition)
                .headers(owned(&outgoing.headers));
        record.key = outgoing.key;
        record.payload = outgoing.value;
        while let Err((error, back)) = self.producer.send(record) {
            let is_full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            if !is_full || Instant::now() >= until {
                self.producer.context().note(*back.delivery_opaque, &error);
                return;
            }
            record = back;
            self.producer.poll(ROOM);
        }
    }

    /// Waits for the brokers' answers, and gives what became of each record of the round, in order.
    fn end(&self, until: Instant) -> Vec<Delivery> {
        // Flushing is the waiting; what was said of each record came to the context meanwhile.
        let flushed = self
            .producer
            .flush(until.saturating_duration_since(Instant::now()));
        if let Err(error) = flushed {
            tracing::debug!(%error, "not all letters were answered");
        }
        self.producer.context().end()
    }

    /// Why it sends nothing more, where that is so.
    fn fatal(&self) -> Option<String> {
        let (code, reason) = self.producer.client().fatal_error()?;
        Some(format!("{code}: {reason}"))
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

/// Which record of which round.
#[derive(Debug, Clone, Copy)]
struct Place {
    round: usize,
    number: usize,
}

/// What the brokers said of the records of one round; answers to earlier rounds do not count.
#[derive(Debug, Default)]
struct Answers(Mutex<Round>);

#[derive(Debug, Default)]
struct Round {
    number: usize,
    deliveries: Vec<Delivery>,
}

impl Answers {
    fn begin(&self, number: usize, count: usize) {
        let silence = Delivery::Unanswered("no answer".to_owned());
        self.with(|round| {
            *round = Round {
                number,
                deliveries: vec![silence; count],
            }
        });
    }

    fn end(&self) -> Vec<Delivery> {
        self.with(|round| std::mem::take(&mut round.deliveries))
    }

    fn note(&self, of: Place, error: &KafkaError) {
        self.answer(of, of_error(error));
    }

    fn answer(&self, of: Place, delivery: Delivery) {
        self.with(|round| {
            let is_due = round.number == of.round;
            if let Some(known) = round.deliveries.get_mut(of.number).filter(|_| is_due) {
                *known = delivery;
            }
        });
    }

    fn with<T>(&self, look: impl FnOnce(&mut Round) -> T) -> T {
        // Nothing panics in between, and a round is whole at any time.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What an error says of a record.
///
/// | error | the record |
/// |---|---|
/// | it is too large, or the broker finds it invalid or against its policy | is refused: others pass |
/// | any other: no broker, no leader, no right to the topic, the producer is dead | is unanswered |
fn of_error(error: &KafkaError) -> Delivery {
    use RDKafkaErrorCode as Code;
    let is_its_own = error.rdkafka_error_code().is_some_and(|code| {
        matches!(
            code,
            Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::InvalidRecord
                | Code::InvalidTimestamp
                | Code::PolicyViolation
                | Code::UnsupportedForMessageFormat
        )
    });
    if is_its_own {
        Delivery::Refused(error.to_string())
    } else {
        Delivery::Unanswered(error.to_string())
    }
}

impl ClientContext for Answers {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        ClientLog::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        ClientLog::trouble(&error, reason);
    }
}

impl ProducerContext for Answers {
    type DeliveryOpaque = Box<Place>;

    fn delivery(&self, result: &DeliveryResult<'_>, of: Self::DeliveryOpaque) {
        match result {
            Ok(_) => self.answer(*of, Delivery::Acknowledged),
            Err((error, _)) => self.note(*of, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: RDKafkaErrorCode) -> Delivery {
        of_error(&KafkaError::MessageProduction(code))
    }

    #[test]
    fn a_fault_of_the_records_own_is_a_refusal_and_what_holds_for_all_is_none() {
        for code in [
            RDKafkaErrorCode::MessageSizeTooLarge,
            RDKafkaErrorCode::InvalidRecord,
        ] {
            assert!(matches!(said(code), Delivery::Refused(_)), "{code}");
        }
        for code in [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::NotEnoughReplicas,
            RDKafkaErrorCode::PurgeQueue,
            RDKafkaErrorCode::Fatal,
        ] {
            assert!(matches!(said(code), Delivery::Unanswered(_)), "{code}");
        }
    }

    #[test]
    fn each_record_has_its_own_answer_and_those_of_earlier_rounds_do_not_count() {
        let answers = Answers::default();
        answers.begin(1, 1);
        answers.begin(2, 3);
        let at = |round, number| Place { round, number };
        answers.answer(at(1, 0), Delivery::Acknowledged);
        answers.answer(at(2, 1), Delivery::Acknowledged);
        answers.note(
            at(2, 2),
            &KafkaError::MessageProduction(RDKafkaErrorCode::InvalidRecord),
        );
        let found = answers.end();
        assert!(matches!(found[0], Delivery::Unanswered(_)), "{found:?}");
        assert_eq!(found[1], Delivery::Acknowledged);
        assert!(matches!(found[2], Delivery::Refused(_)), "{found:?}");
    }
}
