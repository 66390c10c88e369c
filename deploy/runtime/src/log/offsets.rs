//! Offsets asked of the brokers, for many partitions in one round.
//!
//! They are asked as `read_committed`, so an end offset is the last stable offset: what is before
//! it is decided, and a reader gets there without waiting for an open transaction. It counts
//! offsets, not records: transaction markers and aborted records have offsets too.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{ClientLog, Error, Result};

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    pub fn new(topic: impl Into<String>, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}

/// The two ends of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset that is still there.
    pub start: i64,
    /// The last stable offset: the next one that a `read_committed` reader may come to.
    pub end: i64,
}

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// The first that is still there.
    Start,
    /// The last stable one.
    End,
    /// The first whose timestamp is at or after this, in milliseconds; the end if there is none.
    Time(i64),
}

/// A client, its addresses and its patience, to ask with.
pub(crate) struct Asked<'a, C: ConsumerContext + 'static = ClientLog> {
    pub(crate) consumer: &'a BaseConsumer<C>,
    pub(crate) servers: &'a str,
    pub(crate) timeout: Duration,
}

impl<C: ConsumerContext + 'static> Asked<'_, C> {
    /// The offset of each partition.
    pub(crate) fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: At,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let operation = || format!("list the offsets of {}", topics_of(partitions));
        let wanted = match at {
            At::Start => Offset::Beginning,
            At::End => Offset::End,
            At::Time(ms) => Offset::Offset(ms),
        };
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for TopicPartition { topic, partition } in partitions {
            list.add_partition_offset(topic, *partition, wanted)
                .map_err(Error::client)?;
        }
        let answer = self
            .consumer
            .offsets_for_times(list, self.timeout)
            .map_err(|source| Error::of(operation(), self.servers, source))?;
        let mut found = BTreeMap::new();
        let mut after_the_last = Vec::new();
        for element in answer.elements() {
            element
                .error()
                .map_err(|source| Error::of(operation(), self.servers, source))?;
            let partition = TopicPartition::new(element.topic(), element.partition());
            match element.offset() {
                Offset::Offset(offset) => {
                    found.insert(partition, offset);
                }
                // No record is that late: its place is the end.
                Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::Invalid
                | Offset::OffsetTail(_) => after_the_last.push(partition),
            }
        }
        match at {
            At::Time(_) => found.extend(self.offsets(&after_the_last, At::End)?),
            At::Start | At::End => {
                if let Some(TopicPartition { topic, partition }) = after_the_last.pop() {
                    return Err(Error::UnknownPartition { topic, partition });
                }
            }
        }
        Ok(found)
    }

    /// The partitions of a topic, by number.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Vec<TopicPartition>> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(topic), self.timeout)
            .map_err(|source| Error::of(format!("describe {topic}"), self.servers, source))?;
        let unknown = || Error::UnknownTopic(topic.to_owned());
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.ok_or_else(unknown)?;
        let mut ids: Vec<i32> = found
            .partitions()
            .iter()
            .map(|partition| partition.id())
            .collect();
        if ids.is_empty() {
            return Err(unknown());
        }
        ids.sort_unstable();
        Ok(ids
            .into_iter()
            .map(|id| TopicPartition::new(topic, id))
            .collect())
    }
}

fn topics_of(partitions: &[TopicPartition]) -> String {
    let mut names: Vec<&str> = partitions.iter().map(|one| one.topic.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}
