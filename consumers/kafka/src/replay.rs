//! Both lanes, read again from their beginning up to a position, in no group.

use std::time::Duration;

use licenseflow_avro::{Coordinates, Lane, Position, RawRecord, Topics};
use licenseflow_runtime::log::{KafkaSettings, Reader, Record, Step, TopicPartition};

use crate::Result;
use crate::message::raw_record_at;

/// The records below a position, each once.
pub struct LaneRecords {
    reader: Reader,
    topics: Topics,
}

impl LaneRecords {
    /// Opens the reading; `timeout` bounds each question and each standstill.
    ///
    /// # Errors
    /// The settings', or from the brokers.
    pub fn below(
        settings: &KafkaSettings,
        topics: &Topics,
        position: &Position,
        timeout: Duration,
    ) -> Result<LaneRecords> {
        let spans = position.iter().map(|(lane, partition, next)| {
            (TopicPartition::new(topics.lane(lane), partition), (0, next))
        });
        let reader = Reader::between(settings, &spans.collect(), timeout)?;
        Ok(LaneRecords {
            reader,
            topics: topics.clone(),
        })
    }

    /// Offsets that are still before the reading.
    #[must_use]
    pub fn remaining(&self) -> i64 {
        self.reader.remaining().unwrap_or(0)
    }

    fn raw(&self, record: Record) -> Option<RawRecord> {
        let lane: Lane = self.topics.lane_of(&record.topic)?;
        let at = Coordinates {
            timestamp: record.timestamp_ms.unwrap_or(-1),
            lane,
            partition: record.partition,
            offset: record.offset,
        };
        Some(raw_record_at(at, record))
    }
}

impl Iterator for LaneRecords {
    type Item = Result<RawRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.reader.step(Duration::from_millis(500)) {
                Ok(Step::Record(record)) => {
                    if let Some(raw) = self.raw(record) {
                        return Some(Ok(raw));
                    }
                }
                Ok(Step::Waiting) => {}
                Ok(Step::Done) => return None,
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}
