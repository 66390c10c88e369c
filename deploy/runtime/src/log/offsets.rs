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
        let wanted = match at {
            At::Start => Offset::Beginning,
            At::End => Offset::End,
            At::Time(ms) => Offset::Offset(ms),
        };
        let mut found = BTreeMap::new();
        let mut after_the_last = Vec::new();
        for (partition, offset) in self.asked(partitions.iter().map(|it| (it, wanted)))? {
            match offset {
                Some(offset) => {
                    found.insert(partition, offset);
                }
                // No record is that late: its place is the end.
                None => after_the_last.push(partition),
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

    /// The first offset of each partition whose timestamp is at or after its time, in milliseconds; partitions
    /// that have none so late are left out.
    pub(crate) fn first_from(
        &self,
        times: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let wanted = times.iter().map(|(it, ms)| (it, Offset::Offset(*ms)));
        let answers = self.asked(wanted)?.into_iter();
        Ok(answers
            .filter_map(|(partition, offset)| Some((partition, offset?)))
            .collect())
    }

    /// One round of questions; none where the answer is no offset.
    fn asked<'a>(
        &self,
        wanted: impl Iterator<Item = (&'a TopicPartition, Offset)>,
    ) -> Result<Vec<(TopicPartition, Option<i64>)>> {
        let mut list = TopicPartitionList::new();
        for (TopicPartition { topic, partition }, offset) in wanted {
            list.add_partition_offset(topic, *partition, offset)
                .map_err(Error::client)?;
        }
        if list.count() == 0 {
            return Ok(Vec::new());
        }
        let operation = format!("list the offsets of {}", topics_of(&list));
        let failed = |source| Error::of(operation.clone(), self.servers, source);
        let answer = self.consumer.offsets_for_times(list, self.timeout);
        let answer = answer.map_err(failed)?;
        let elements = answer.elements();
        let each = elements.iter().map(|element| {
            element.error().map_err(failed)?;
            let partition = TopicPartition::new(element.topic(), element.partition());
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::Invalid
                | Offset::OffsetTail(_) => None,
            };
            Ok((partition, offset))
        });
        each.collect()
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

fn topics_of(list: &TopicPartitionList) -> String {
    let elements = list.elements();
    let mut names: Vec<&str> = elements.iter().map(|one| one.topic()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}
