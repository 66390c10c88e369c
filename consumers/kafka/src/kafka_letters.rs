//! Letters over Kafka: produced to the dead-letter topic, and originals read back from the lanes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, RawRecord, Topics};
use licenseflow_runtime::log::{Admin, ClientLog, KafkaSettings, Reader, TopicPartition};
use licenseflow_runtime::log::{Error as LogError, Record};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::letter::{DeadLetter, LetterRecord, Letters};
use crate::{Error, Result};

/// The bound of each question to the brokers.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for room in the producer's queue, at a time.
const ROOM: Duration = Duration::from_millis(20);

/// Sends letters with an idempotent producer of its own.
pub struct KafkaLetters {
    settings: KafkaSettings,
    topics: Topics,
    producer: ThreadedProducer<Acknowledgements>,
    admin: Admin,
    /// How many partitions the dead-letter topic has, once it is known.
    partitions: Option<i32>,
    round: usize,
}

impl KafkaLetters {
    /// Makes the clients; no broker is asked yet.
    ///
    /// # Errors
    /// The settings', or from librdkafka.
    pub fn new(settings: &KafkaSettings, topics: &Topics) -> Result<KafkaLetters> {
        let settings = settings.named(format!("{}-letters", settings.client_id));
        let producer = settings
            .producer_config()?
            .create_with_context(Acknowledgements::default())
            .map_err(LogError::client)?;
        Ok(KafkaLetters {
            producer,
            admin: Admin::new(&settings, PATIENCE)?,
            settings,
            topics: topics.clone(),
            partitions: None,
            round: 0,
        })
    }

    fn partition_count(&mut self) -> Result<i32> {
        if let Some(count) = self.partitions {
            return Ok(count);
        }
        let found = self.admin.partitions(&self.topics.dead_letters())?.len();
        let count = i32::try_from(found).unwrap_or(i32::MAX).max(1);
        self.partitions = Some(count);
        Ok(count)
    }

    fn produce(&self, letter: &DeadLetter, partitions: i32, until: Instant) -> Result<()> {
        let content = LetterRecord::of(letter, &self.topics);
        let topic = self.topics.dead_letters();
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&topic, self.round)
            .partition(letter.record.at.partition.rem_euclid(partitions))
            .headers(owned(&content.headers));
        record.key = content.key;
        record.payload = content.value;
        loop {
            let Err((error, back)) = self.producer.send(record) else {
                return Ok(());
            };
            let is_full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            if !is_full || Instant::now() >= until {
                return Err(self.not_acknowledged(1, error.to_string()));
            }
            record = back;
            self.producer.poll(ROOM);
        }
    }

    fn not_acknowledged(&self, count: usize, reason: String) -> Error {
        Error::NotAcknowledged { count, reason }
    }
}

impl Letters for KafkaLetters {
    fn originals(&mut self, at: &[Coordinates]) -> Result<HashMap<Coordinates, RawRecord>> {
        let mut spans: BTreeMap<TopicPartition, (i64, i64)> = BTreeMap::new();
        let mut asked: HashMap<(Arc<str>, i32, i64), Coordinates> = HashMap::new();
        for at in at {
            let topic = self.topics.lane(at.lane);
            asked.insert((topic.as_str().into(), at.partition, at.offset), *at);
            let span = (at.offset, at.offset + 1);
            let known = spans
                .entry(TopicPartition::new(topic, at.partition))
                .or_insert(span);
            *known = (known.0.min(span.0), known.1.max(span.1));
        }
        let mut found = HashMap::with_capacity(at.len());
        if spans.is_empty() {
            return Ok(found);
        }
        let mut reader = Reader::between(&self.settings, &spans, PATIENCE)?;
        reader.drain(|record: Record| {
            let place = (record.topic.clone(), record.partition, record.offset);
            if let Some(at) = asked.get(&place) {
                found.insert(*at, raw(*at, record));
            }
            Ok::<(), LogError>(())
        })?;
        Ok(found)
    }

    fn send(&mut self, letters: &[DeadLetter], within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        let partitions = self.partition_count()?;
        self.round += 1;
        self.producer.context().begin(self.round, letters.len());
        for letter in letters {
            self.produce(letter, partitions, until)?;
        }
        // Flushing is the waiting; what was said of each letter came to the context meanwhile.
        let flushed = self
            .producer
            .flush(until.saturating_duration_since(Instant::now()));
        match self.producer.context().end() {
            (0, _) => Ok(()),
            (count, reason) => {
                // The topic may have changed under us.
                self.partitions = None;
                let silent = || {
                    flushed
                        .err()
                        .map_or_else(|| "no answer".to_owned(), |error| error.to_string())
                };
                Err(self.not_acknowledged(count, reason.unwrap_or_else(silent)))
            }
        }
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

fn raw(at: Coordinates, record: Record) -> RawRecord {
    let headers = record.headers.into_iter();
    RawRecord {
        at,
        key: record.key,
        value: record.value,
        headers: headers
            .map(|header| Header {
                name: header.name,
                value: header.value,
            })
            .collect(),
    }
}

/// What the brokers said of the letters of one round; answers to earlier rounds do not count.
#[derive(Debug, Default)]
struct Acknowledgements(Mutex<Round>);

#[derive(Debug, Default)]
struct Round {
    number: usize,
    open: usize,
    first_error: Option<String>,
}

impl Acknowledgements {
    fn begin(&self, number: usize, open: usize) {
        self.with(|round| {
            *round = Round {
                number,
                open,
                first_error: None,
            }
        });
    }

    /// How many were not acknowledged, and what the first of them said.
    fn end(&self) -> (usize, Option<String>) {
        self.with(|round| (round.open, round.first_error.take()))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Round) -> T) -> T {
        // Nothing panics in between, and a round is whole at any time.
        look(
            &mut self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}

impl ClientContext for Acknowledgements {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        ClientLog::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        ClientLog::trouble(&error, reason);
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, of: Self::DeliveryOpaque) {
        self.with(|round| {
            if round.number != of {
                return;
            }
            match result {
                Ok(_) => round.open = round.open.saturating_sub(1),
                Err((error, _)) => {
                    round.first_error.get_or_insert_with(|| error.to_string());
                }
            }
        });
    }
}
