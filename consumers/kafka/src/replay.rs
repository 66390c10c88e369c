//! Both lanes, read again from their beginning up to a position, in no group.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use licenseflow_avro::{Coordinates, Lane, Position, RawRecord, Topics};
use licenseflow_runtime::log::{KafkaSettings, Reader, Record, Step, TopicPartition, read_each};

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
        Self::between(settings, topics, &Position::default(), position, timeout)
    }

    /// Opens the reading of what lies from one position to another; a partition that the first leaves out is
    /// read from its beginning, and one that the second leaves out is not read.
    ///
    /// # Errors
    /// As [`LaneRecords::below`].
    pub fn between(
        settings: &KafkaSettings,
        topics: &Topics,
        from: &Position,
        to: &Position,
        timeout: Duration,
    ) -> Result<LaneRecords> {
        let spans = to.iter().map(|(lane, partition, next)| {
            let from = from.get(lane, partition).unwrap_or(0);
            let name = TopicPartition::new(topics.lane(lane), partition);
            (name, (from, next))
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
}

/// The records at these coordinates, as far as there are any, in any order; `timeout` bounds each question and
/// each standstill.
///
/// # Errors
/// The settings', or from the brokers.
pub fn lane_records_at(
    settings: &KafkaSettings,
    topics: &Topics,
    places: &[Coordinates],
    timeout: Duration,
) -> Result<Vec<RawRecord>> {
    let mut asked: BTreeMap<TopicPartition, BTreeSet<i64>> = BTreeMap::new();
    for at in places {
        let name = TopicPartition::new(topics.lane(at.lane), at.partition);
        asked.entry(name).or_default().insert(at.offset);
    }
    let mut found = Vec::with_capacity(places.len());
    read_each(settings, &asked, timeout, |record| {
        found.extend(raw(topics, record));
    })?;
    Ok(found)
}

fn raw(topics: &Topics, record: Record) -> Option<RawRecord> {
    let lane: Lane = topics.lane_of(&record.topic)?;
    let at = Coordinates {
        timestamp: record.timestamp_ms.unwrap_or(-1),
        lane,
        partition: record.partition,
        offset: record.offset,
    };
    Some(raw_record_at(at, record))
}

impl Iterator for LaneRecords {
    type Item = Result<RawRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.reader.step(Duration::from_millis(500)) {
                Ok(Step::Record(record)) => {
                    if let Some(raw) = raw(&self.topics, record) {
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
