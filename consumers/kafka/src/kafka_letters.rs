//! Letters over Kafka: produced to the dead-letter topic, and originals read back from the lanes.

use std::time::{Duration, Instant};

use licenseflow_avro::{Coordinates, Topics};
use licenseflow_runtime::log::{Admin, KafkaSettings};

use crate::Result;
use crate::lane_reader::LaneReader;
use crate::letter::{DeadLetter, Delivery, LetterRecord, Letters, Originals};
use crate::letter_producer::{Outgoing, Producing};

/// The bound of each question to the brokers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends letters with an idempotent producer of its own.
pub struct KafkaLetters {
    lanes: LaneReader,
    producing: Producing,
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
            producing: Producing::start(&settings)?,
            admin: Admin::new(&settings, PATIENCE)?,
            lanes: LaneReader {
                settings,
                topics: topics.clone(),
            },
            partitions: None,
        })
    }

    fn partition_count(&mut self) -> Result<i32> {
        if let Some(count) = self.partitions {
            return Ok(count);
        }
        let found = self
            .admin
            .partitions(&self.lanes.topics.dead_letters())?
            .len();
        let count = i32::try_from(found).unwrap_or(i32::MAX).max(1);
        self.partitions = Some(count);
        Ok(count)
    }
}

impl Letters for KafkaLetters {
    fn originals(&mut self, at: &[Coordinates], bytes_max: usize) -> Result<Originals> {
        self.lanes.originals(at, bytes_max)
    }

    fn send(&mut self, letters: &[DeadLetter], within: Duration) -> Result<Vec<Delivery>> {
        let until = Instant::now() + within;
        let partitions = self.partition_count()?;
        let topics = &self.lanes.topics;
        let deliveries = self.producing.send(letters, until, |letter| {
            let content = LetterRecord::of(letter, topics);
            Outgoing {
                topic: topics.dead_letters(),
                partition: letter.record.at.partition.rem_euclid(partitions),
                key: content.key,
                value: content.value,
                headers: content.headers,
            }
        })?;
        if deliveries.iter().any(|one| *one != Delivery::Acknowledged) {
            // The topic may have changed under us.
            self.partitions = None;
        }
        Ok(deliveries)
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
