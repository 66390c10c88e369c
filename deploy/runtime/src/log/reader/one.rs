//! One record by its offset.

use std::time::Duration;

use super::super::offsets::At;
use super::super::{Error, KafkaSettings, Record, Result, TopicPartition};
use super::{Reader, Stop};

/// Reads the one record at an offset.
///
/// # Errors
/// [`Error::NoRecord`] where there is none, [`Error::UnknownTopic`], [`Error::UnknownPartition`],
/// or from the brokers.
pub fn read_at(
    settings: &KafkaSettings,
    partition: &TopicPartition,
    offset: i64,
    timeout: Duration,
) -> Result<Record> {
    let no_record = |reason| Error::NoRecord {
        topic: partition.topic.clone(),
        partition: partition.partition,
        offset,
        reason,
    };
    let mut reader = Reader::new(settings, Stop::AtEnd, timeout)?;
    if !reader
        .asked()
        .partitions(&partition.topic)?
        .contains(partition)
    {
        let TopicPartition { topic, partition } = partition.clone();
        return Err(Error::UnknownPartition { topic, partition });
    }
    let asked = [partition.clone()];
    let end = reader
        .asked()
        .offsets(&asked, At::End)?
        .get(partition)
        .copied();
    if end.is_none_or(|end| offset >= end) {
        return Err(no_record("the partition ends before it"));
    }
    let start = reader
        .asked()
        .offsets(&asked, At::Start)?
        .get(partition)
        .copied();
    if start.is_none_or(|start| offset < start) {
        return Err(no_record("the partition starts after it"));
    }
    reader.add(partition.clone(), offset, Some(offset + 1));
    reader.begin(Stop::AtEnd)?;
    let mut found = None;
    reader.drain(|record| {
        found = Some(record);
        Ok::<(), Error>(())
    })?;
    found.ok_or_else(|| no_record("it is a transaction marker, or of an aborted transaction"))
}
