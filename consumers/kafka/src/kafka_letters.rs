//! Letters over Kafka: produced to the dead-letter topic, and originals read back from the lanes.
//!
//! It owns the producer's lives: one that failed for good is replaced with the next attempt.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use licenseflow_avro::record::headers_size;
use licenseflow_avro::{Coordinates, RawRecord, Topics};
use licenseflow_runtime::log::{Admin, KafkaSettings, Reader, Step, TopicPartition};

use crate::Result;
use crate::letter::{DeadLetter, Delivery, LetterRecord, Letters, Originals};
use crate::letter_producer::{LetterProducer, Outgoing};
use crate::message::raw_record_at;

/// The bound of each question to the brokers.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one look at the reading of originals takes, at most.
const STEP: Duration = Duration::from_millis(500);

/// What librdkafka may hold of originals, in KiB and in bytes: letters have a small share of memory.
const QUEUED_KBYTES: &str = "2048";
const FETCH_BYTES: &str = "4194304";

/// Sends letters with an idempotent producer of its own.
pub struct KafkaLetters {
    settings: KafkaSettings,
    topics: Topics,
    /// None before the first round and after a fatal error.
    producer: Option<LetterProducer>,
    admin: Admin,
    /// How many partitions the dead-letter topic has, once it is known.
    partitions: Option<i32>,
}

impl KafkaLetters {
    /// Makes the clients; no broker is asked yet.
    ///
    /// # Errors
    /// The settings', or from librdkafka.
    pub fn new(settings: &KafkaSettings, topics: &Topics) -> Result<KafkaLetters> {
        let settings = settings.named(format!("{}-letters", settings.client_id));
        Ok(KafkaLetters {
            producer: Some(LetterProducer::start(&settings)?),
            admin: Admin::new(&settings, PATIENCE)?,
            settings,
            topics: topics.clone(),
            partitions: None,
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

    /// Sends letters once. A producer that failed for good is left behind.
    fn attempt(
        &mut self,
        letters: &[DeadLetter],
        partitions: i32,
        until: Instant,
    ) -> Result<Vec<Delivery>> {
        let mut producer = match self.producer.take() {
            Some(producer) => producer,
            None => LetterProducer::start(&self.settings)?,
        };
        let topic = self.topics.dead_letters();
        producer.begin(letters.len());
        for (number, letter) in letters.iter().enumerate() {
            let content = LetterRecord::of(letter, &self.topics);
            let outgoing = Outgoing {
                partition: letter.record.at.partition.rem_euclid(partitions),
                key: content.key,
                value: content.value,
                headers: &content.headers,
            };
            producer.give(&topic, number, &outgoing, until);
        }
        let deliveries = producer.end(until);
        match producer.fatal() {
            Some(why) => {
                tracing::error!("the producer of letters failed for good, and is made anew: {why}");
            }
            None => self.producer = Some(producer),
        }
        Ok(deliveries)
    }

    /// A broker takes or refuses a batch as a whole. So letters that were refused, or that went down
    /// with their producer, are tried once more, each alone: then only those at fault are left.
    fn each_alone(
        &mut self,
        letters: &[DeadLetter],
        deliveries: &mut [Delivery],
        partitions: i32,
        until: Instant,
    ) -> Result<()> {
        let is_producer_lost = self.producer.is_none();
        for (letter, delivery) in letters.iter().zip(deliveries) {
            let is_due = match delivery {
                Delivery::Acknowledged => false,
                Delivery::Refused(_) => true,
                Delivery::Unanswered(_) => is_producer_lost,
            };
            if is_due && Instant::now() < until {
                let alone = self.attempt(std::slice::from_ref(letter), partitions, until)?;
                *delivery = alone.into_iter().next().unwrap_or_else(|| delivery.clone());
            }
        }
        Ok(())
    }

    /// A reading that holds little in memory.
    fn reader(&self, spans: &BTreeMap<TopicPartition, (i64, i64)>) -> Result<Reader> {
        let mut settings = self.settings.clone();
        for (key, value) in [
            ("queued.max.messages.kbytes", QUEUED_KBYTES),
            ("fetch.max.bytes", FETCH_BYTES),
        ] {
            let known = settings.overrides.entry(key.to_owned());
            known.or_insert_with(|| value.to_owned());
        }
        Ok(Reader::between(&settings, spans, PATIENCE)?)
    }
}

impl Letters for KafkaLetters {
    fn originals(&mut self, at: &[Coordinates], bytes_max: usize) -> Result<Originals> {
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
        let mut originals = Originals::default();
        if spans.is_empty() {
            return Ok(originals);
        }
        let mut reader = self.reader(&spans)?;
        let mut bytes = 0;
        loop {
            match reader.step(STEP)? {
                Step::Record(record) => {
                    let place = (record.topic.clone(), record.partition, record.offset);
                    if let Some(at) = asked.get(&place) {
                        let record = raw_record_at(*at, record);
                        bytes += bytes_of(&record);
                        originals.found.insert(*at, record);
                    }
                    if bytes >= bytes_max {
                        break;
                    }
                }
                Step::Waiting => {}
                Step::Done => return Ok(originals),
            }
        }
        let read = reader.position();
        let is_read = |at: &Coordinates| {
            let name = TopicPartition::new(self.topics.lane(at.lane), at.partition);
            read.get(&name).is_some_and(|next| at.offset < *next)
        };
        originals.left = at.iter().filter(|at| !is_read(at)).copied().collect();
        Ok(originals)
    }

    fn send(&mut self, letters: &[DeadLetter], within: Duration) -> Result<Vec<Delivery>> {
        let until = Instant::now() + within;
        let partitions = self.partition_count()?;
        let mut deliveries = self.attempt(letters, partitions, until)?;
        if letters.len() > 1
            && let Err(error) = self.each_alone(letters, &mut deliveries, partitions, until)
        {
            // What was acknowledged stays so.
            tracing::warn!(%error, "letters are not tried again now");
        }
        if deliveries.iter().any(|one| *one != Delivery::Acknowledged) {
            // The topic may have changed under us.
            self.partitions = None;
        }
        Ok(deliveries)
    }
}

fn bytes_of(record: &RawRecord) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    length(&record.key) + length(&record.value) + headers_size(&record.headers)
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::{Lane, Reason};
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(20);

    fn letter(offset: i64) -> DeadLetter {
        let at = Coordinates {
            timestamp: 1,
            lane: Lane::Bulk,
            partition: 0,
            offset,
        };
        DeadLetter {
            record: RawRecord {
                at,
                key: None,
                value: Some(b"{".to_vec()),
                headers: vec![],
            },
            reason: Reason::BadJson,
            error: "of a test".into(),
        }
    }

    #[test]
    fn after_a_fatal_error_letters_go_on_with_a_new_producer() {
        let cluster = MockCluster::new(1).unwrap();
        let topics = Topics::new("");
        cluster.create_topic(&topics.dead_letters(), 1, 1).unwrap();
        let settings = KafkaSettings::new(cluster.bootstrap_servers(), "test");
        let mut letters = KafkaLetters::new(&settings, &topics).unwrap();
        // librdkafka then gives up for good over any record that fails.
        let gapless = ("enable.gapless.guarantee".to_owned(), "true".to_owned());
        letters.settings.overrides.extend([gapless]);
        letters.producer = None;
        let refuse = |times| {
            let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
            cluster.request_errors(RDKafkaApiKey::Produce, &vec![error; times]);
        };
        refuse(1);
        let found = letters.send(&[letter(0)], WITHIN).unwrap();
        assert_ne!(found, [Delivery::Acknowledged]);
        assert!(letters.producer.is_none(), "it failed for good");
        let found = letters.send(&[letter(0), letter(1)], WITHIN).unwrap();
        assert_eq!(found, vec![Delivery::Acknowledged; 2]);
        // What goes down with its producer is sent by the next one at once, but for the one at fault.
        refuse(2);
        let found = letters.send(&[letter(2), letter(3), letter(4)], WITHIN);
        let found = found.unwrap();
        assert_ne!(found[0], Delivery::Acknowledged);
        assert_eq!(found[1..], vec![Delivery::Acknowledged; 2]);
    }
}
