//! The lanes as the admin API knows them, over Kafka.

use licenseflow_avro::causes::chain;
use licenseflow_avro::{Coordinates, Lane, Position, Topics};
use licenseflow_kafka::{Delivery, KafkaLanes};
use licenseflow_query::{Lanes, LanesAway, Originals, PartitionSpan, Published, Redriven};
use licenseflow_runtime::log::{Admin, KafkaSettings, TopicPartition};
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the brokers may take for one answer about the lanes: an answer of the admin API takes a few of these.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

pub(crate) struct LanesOverKafka {
    /// One who reads or publishes at a time.
    lanes: Mutex<KafkaLanes>,
    kafka: KafkaSettings,
    topics: Topics,
}

impl LanesOverKafka {
    pub(crate) fn new(lanes: KafkaLanes, kafka: KafkaSettings, topics: Topics) -> Self {
        Self {
            lanes: Mutex::new(lanes),
            kafka,
            topics,
        }
    }

    fn lanes(&self) -> MutexGuard<'_, KafkaLanes> {
        // A producer that a panic left behind is asked anew.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is asked about the lanes. That is rare, so nobody is kept connected for it.
    fn asked(&self) -> Result<Admin, LanesAway> {
        Admin::new(&self.kafka, ANSWERED_WITHIN).map_err(away)
    }

    /// The partitions of a lane.
    fn partitions(&self, admin: &Admin, lane: Lane) -> Result<Vec<TopicPartition>, LanesAway> {
        admin.partitions(&self.topics.lane(lane)).map_err(away)
    }
}

impl Lanes for LanesOverKafka {
    fn originals(&self, at: &[Coordinates]) -> Result<Originals, LanesAway> {
        let read = self.lanes().originals(at).map_err(away)?;
        Ok((read.found, read.left))
    }

    fn publish(
        &self,
        records: Vec<Redriven>,
        within: Duration,
    ) -> Result<Vec<Published>, LanesAway> {
        let records = records
            .into_iter()
            .map(|redriven| licenseflow_kafka::Redriven {
                record: redriven.record,
                reason: redriven.reason,
                attempt: redriven.attempt,
            });
        let records: Vec<_> = records.collect();
        let deliveries = self.lanes().publish(&records, within).map_err(away)?;
        let each = deliveries.into_iter().map(|delivery| match delivery {
            Delivery::Acknowledged => Published::Acknowledged,
            Delivery::Refused(why) => Published::Refused(why),
            Delivery::Unanswered(why) => Published::Unanswered(why),
        });
        Ok(each.collect())
    }

    fn spans(&self) -> Result<Vec<PartitionSpan>, LanesAway> {
        let admin = self.asked()?;
        let mut spans = Vec::new();
        for lane in Lane::ALL {
            let partitions = self.partitions(&admin, lane)?;
            let found = admin.watermarks(&partitions).map_err(away)?;
            let each = found.into_iter().map(|(it, marks)| PartitionSpan {
                lane,
                partition: it.partition,
                begin: marks.start,
                end: marks.end,
            });
            spans.extend(each);
        }
        Ok(spans)
    }

    fn at_time(&self, time: i64) -> Result<Position, LanesAway> {
        let admin = self.asked()?;
        let mut position = Position::default();
        for lane in Lane::ALL {
            let partitions = self.partitions(&admin, lane)?;
            let found = admin.offsets_at(&partitions, time).map_err(away)?;
            for (it, offset) in found {
                position.set(lane, it.partition, offset);
            }
        }
        Ok(position)
    }
}

fn away(error: impl Error + 'static) -> LanesAway {
    LanesAway { why: chain(&error) }
}
