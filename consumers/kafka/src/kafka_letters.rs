//! Letters over Kafka: produced to the dead-letter topic, and originals read back from the lanes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use licenseflow_avro::{Coordinates, Topics};
use licenseflow_runtime::log::{Admin, KafkaSettings};

use crate::Result;
use crate::lane_reader::LaneReader;
use crate::lanes::headers_in_lane;
use crate::letter::{DeadLetter, Delivery, LetterRecord, Letters, Originals, Retry, RetryTo};
use crate::letter_producer::{Outgoing, Producing};

/// The bound of each question to the brokers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends letters with an idempotent producer of its own.
pub struct KafkaLetters {
    lanes: LaneReader,
    producing: Producing,
    admin: Admin,
    /// How many partitions the topics have that letters and copies go to, once it is known.
    partitions: HashMap<String, i32>,
}

impl KafkaLetters {
    /// Makes the clients; no broker is asked yet.
    ///
    /// # Errors
    /// The settings', or from librdkafka.
    pub fn new(settings: &KafkaSettings, topics: &Topics) -> Result<KafkaLetters> {
        let settings = settings.named(format!("{}-letters", settings.client_id));
        Ok(KafkaLetters {
            producing: Producing::start(&settings)?,
            admin: Admin::new(&settings, PATIENCE)?,
            lanes: LaneReader {
                settings,
                topics: topics.clone(),
            },
            partitions: HashMap::new(),
        })
    }

    fn partition_count(&mut self, topic: &str) -> Result<i32> {
        if let Some(count) = self.partitions.get(topic) {
            return Ok(*count);
        }
        let found = self.admin.partitions(topic)?.len();
        let count = i32::try_from(found).unwrap_or(i32::MAX).max(1);
        self.partitions.insert(topic.to_owned(), count);
        Ok(count)
    }

    /// Where something was not taken, the topics may have changed under us.
    fn looked_at(&mut self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        if deliveries.iter().any(|one| *one != Delivery::Acknowledged) {
            self.partitions.clear();
        }
        deliveries
    }
}

impl Letters for KafkaLetters {
    fn originals(&mut self, at: &[Coordinates], bytes_max: usize) -> Result<Originals> {
        self.lanes.originals(at, bytes_max)
    }

    fn send(&mut self, letters: &[DeadLetter], within: Duration) -> Result<Vec<Delivery>> {
        let until = Instant::now() + within;
        let dead_letters = self.lanes.topics.dead_letters();
        let partitions = self.partition_count(&dead_letters)?;
        let topics = &self.lanes.topics;
        let deliveries = self.producing.send(letters, until, |letter| {
            let content = LetterRecord::of(letter, topics);
            Outgoing {
                topic: dead_letters.clone(),
                partition: letter.record.at.partition.rem_euclid(partitions),
                key: content.key,
                value: content.value,
                headers: content.headers,
            }
        })?;
        Ok(self.looked_at(deliveries))
    }

    fn retry(&mut self, retries: &[Retry], within: Duration) -> Result<Vec<Delivery>> {
        let until = Instant::now() + within;
        let copies = self.lanes.topics.retry();
        let partitions = self.partition_count(&copies)?;
        let topics = &self.lanes.topics;
        let deliveries = self.producing.send(retries, until, |retry| {
            let Retry { record, to, .. } = retry;
            match to {
                RetryTo::Topic => {
                    let copy = LetterRecord::copy(retry, topics);
                    Outgoing {
                        topic: copies.clone(),
                        partition: record.at.partition.rem_euclid(partitions),
                        key: copy.key,
                        value: copy.value,
                        headers: copy.headers,
                    }
                }
                RetryTo::Lane => Outgoing {
                    topic: topics.lane(record.at.lane),
                    partition: record.at.partition,
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    headers: headers_in_lane(record, retry.reason, retry.attempt, topics),
                },
            }
        })?;
        Ok(self.looked_at(deliveries))
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::{Lane, RawRecord, Reason};
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
        letters.producing.settings.overrides.extend([gapless]);
        letters.producing.producer = None;
        let refuse = |times| {
            let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
            cluster.request_errors(RDKafkaApiKey::Produce, &vec![error; times]);
        };
        refuse(1);
        let found = letters.send(&[letter(0)], WITHIN).unwrap();
        assert_ne!(found, [Delivery::Acknowledged]);
        assert!(letters.producing.producer.is_none(), "it failed for good");
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
