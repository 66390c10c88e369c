//! What the group gives and takes.
//!
//! The callback does nothing but acknowledge: a partition that was given is not read until the
//! store's position for it is known, so that nobody waits for the store inside of librdkafka, and
//! none is ever read from anywhere else. It must not know positions.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use licenseflow_runtime::log::{ClientLog, TopicPartition};

/// What changed in the assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The group gave these.
    Given(Vec<TopicPartition>),
    /// The group took these.
    Taken(Vec<TopicPartition>),
}

/// The consumer's context: notes what the group gives and takes.
#[derive(Debug, Default)]
pub(crate) struct Assignment {
    changed: AtomicBool,
    changes: Mutex<Vec<Change>>,
    /// What librdkafka fetches; only this may be unassigned.
    fetched: Mutex<BTreeSet<TopicPartition>>,
}

impl Assignment {
    /// Whether there is anything to take.
    pub(crate) fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    /// What changed since the last call; one atomic load where nothing did.
    pub(crate) fn take_changes(&self) -> Vec<Change> {
        if !self.changed.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *held(&self.changes))
    }

    /// Notes that librdkafka fetches this partition from now on.
    pub(crate) fn is_fetched(&self, partition: TopicPartition) {
        held(&self.fetched).insert(partition);
    }

    /// Notes that it no longer does; false where it did not.
    pub(crate) fn is_left(&self, partition: &TopicPartition) -> bool {
        held(&self.fetched).remove(partition)
    }

    fn note(&self, change: Change) {
        held(&self.changes).push(change);
        self.changed.store(true, Ordering::Release);
    }
}

impl ClientContext for Assignment {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        ClientLog::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        ClientLog::trouble(&error, reason);
    }
}

impl ConsumerContext for Assignment {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let named = named(list);
        let (answer, change) = if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // An empty list acknowledges; the partitions are assigned when their positions are known.
            let nothing = TopicPartitionList::new();
            (consumer.incremental_assign(&nothing), Change::Given(named))
        } else {
            let mut taken = TopicPartitionList::new();
            for partition in named.iter().filter(|partition| self.is_left(partition)) {
                taken.add_partition(&partition.topic, partition.partition);
            }
            (consumer.incremental_unassign(&taken), Change::Taken(named))
        };
        if let Err(error) = answer {
            tracing::warn!(%error, ?change, "librdkafka did not take the answer to a rebalance");
        }
        self.note(change);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            // Committed offsets are a hint for other tools; the position is in the store.
            tracing::debug!(%error, "the lag hint was not committed");
        }
    }
}

fn named(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = list.elements();
    let each = elements.iter();
    each.map(|one| TopicPartition::new(one.topic(), one.partition()))
        .collect()
}

/// Nothing panics while it holds one of these locks, and what they guard is whole at any time.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
