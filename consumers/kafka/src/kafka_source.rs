//! The consumer of both lanes.
//!
//! It owns the consumers and knows which partitions are ours and which of them are read. What comes
//! out of it is in the order of each partition, starts where the store stands, and never mixes two
//! readings of a partition: taking a partition up anew unassigns it first, and librdkafka then throws
//! away what it had fetched. It must not know the store.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use licenseflow_avro::{Lane, Position, Topics};
use licenseflow_runtime::log::{KafkaSettings, TopicPartition};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset as ListOffset, TopicPartitionList};

use crate::owned::Owned;
use crate::probe::Probe;
use crate::proof::Proofs;
use crate::range::RangeQuestion;
use crate::source::{LanePartition, Lanes, Polled, Source, Start};
use crate::{Error, Result};

mod readers;
mod turn;

use readers::{Got, Lists, Readers};

/// How a source is made.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// The brokers.
    pub kafka: KafkaSettings,
    /// The topics and the group.
    pub topics: Topics,
    /// The static member's name; none for a dynamic member.
    pub group_instance: Option<String>,
    /// The ceiling of librdkafka's queues, both lanes' together, in KiB.
    pub queued_kbytes_max: u32,
    /// The most that one fetch of each lane brings, both together, in bytes.
    pub fetch_bytes_max: u32,
    /// How often partitions are asked for their ends.
    pub ends_interval: Duration,
}

/// How often the applied position is committed, for Kafka's own tools.
const HINT_INTERVAL: Duration = Duration::from_secs(1);

/// After so many records in a row, the group and the ends are heard all the same.
const RECORDS_A_TURN: usize = 256;

/// The consumer of both lanes.
pub struct KafkaSource {
    readers: Readers,
    topics: [(Lane, String); 2],
    owned: BTreeMap<LanePartition, Owned>,
    ready: VecDeque<Polled>,
    probe: Probe,
    proofs: Proofs,
    ends_interval: Duration,
    probed: Instant,
    range: RangeQuestion,
    hinted: Instant,
    records_since_turn: usize,
    membership: Membership,
}

/// Who says which partitions are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Membership {
    /// The group.
    Member,
    /// Whoever made the source: it is in no group, and no tool of Kafka's sees how far it is.
    Alone,
}

impl KafkaSource {
    /// Joins the group; partitions come with the first polls.
    ///
    /// # Errors
    /// The settings', or from librdkafka.
    pub fn start(settings: &SourceSettings) -> Result<KafkaSource> {
        KafkaSource::with(settings, Membership::Member)
    }

    /// Reads these partitions beside the group, which hears nothing of it.
    ///
    /// # Errors
    /// The settings', or from librdkafka.
    pub fn alone(settings: &SourceSettings, partitions: Vec<LanePartition>) -> Result<KafkaSource> {
        let mut source = KafkaSource::with(settings, Membership::Alone)?;
        let each = partitions.iter();
        source.owned = each.map(|of| (*of, Owned::default())).collect();
        source.ready.push_back(Polled::Assigned(partitions));
        Ok(source)
    }

    fn with(settings: &SourceSettings, membership: Membership) -> Result<KafkaSource> {
        Ok(KafkaSource {
            readers: Readers::start(settings, membership)?,
            membership,
            topics: Lane::ALL.map(|lane| (lane, settings.topics.lane(lane))),
            owned: BTreeMap::new(),
            ready: VecDeque::new(),
            probe: Probe::start(
                &settings
                    .kafka
                    .named(format!("{}-ends", settings.kafka.client_id)),
                &settings.topics,
            )?,
            proofs: Proofs::default(),
            ends_interval: settings.ends_interval,
            probed: Instant::now(),
            range: RangeQuestion::default(),
            hinted: Instant::now(),
            records_since_turn: 0,
        })
    }

    fn lane_of(&self, topic: &str) -> Option<Lane> {
        let found = self.topics.iter().find(|(_, name)| name == topic);
        found.map(|(lane, _)| *lane)
    }

    fn topic(&self, lane: Lane) -> &str {
        match lane {
            Lane::Bulk => &self.topics[0].1,
            Lane::Interactive => &self.topics[1].1,
        }
    }

    fn name(&self, (lane, partition): LanePartition) -> TopicPartition {
        TopicPartition::new(self.topic(lane), partition)
    }

    fn unassign(&mut self, partitions: &[LanePartition]) -> Result<()> {
        let mut lists = Lists::default();
        for of in partitions {
            let name = self.name(*of);
            if let Some(owned) = self.owned.get_mut(of) {
                owned.next = None;
                owned.reading += 1;
            }
            self.proofs.leave(of);
            // What was found out about the reading that ends here says nothing about the next one.
            self.ready.retain(|polled| !is_passed(polled, *of));
            if self.readers.of(of.0).context().is_left(&name) {
                lists.of(of.0).add_partition(&name.topic, name.partition);
            }
        }
        self.readers.leave(&lists)
    }

    /// Has partitions fetched that are known to be the log that was read.
    fn take_up(&mut self, starts: &[Start]) -> Result<()> {
        let mut lists = Lists::default();
        for start in starts {
            let name = self.name((start.lane, start.partition));
            let next = ListOffset::Offset(start.next_offset);
            lists
                .of(start.lane)
                .add_partition_offset(&name.topic, name.partition, next)
                .map_err(Error::refused("name an offset"))?;
            if let Some(owned) = self.owned.get_mut(&(start.lane, start.partition)) {
                owned.next = Some(start.next_offset);
                owned.stood = None;
            }
            self.readers.of(start.lane).context().is_fetched(name);
        }
        self.readers.take_up(&lists)
    }
}

fn is_passed(polled: &Polled, of: LanePartition) -> bool {
    matches!(polled, Polled::Passed { lane, partition, .. } if (*lane, *partition) == of)
}

impl Source for KafkaSource {
    fn poll(&mut self, lanes: Lanes, timeout: Duration) -> Result<Polled> {
        if let Some(ready) = self.ready.pop_front() {
            return Ok(ready);
        }
        match self.next(lanes, timeout) {
            Got::Record(record) => {
                self.records_since_turn += 1;
                if self.records_since_turn >= RECORDS_A_TURN {
                    self.turn()?;
                }
                return Ok(record);
            }
            Got::Trouble(error) => self.trouble(error)?,
            Got::Nothing => {}
        }
        self.turn()?;
        Ok(self.ready.pop_front().unwrap_or(Polled::Idle))
    }

    fn restart(&mut self, starts: &[Start]) -> Result<()> {
        let can_be_read = |start: &&Start| {
            let owned = self.owned.get(&(start.lane, start.partition));
            owned.is_some_and(|owned| !owned.is_halted)
        };
        let wanted: Vec<Start> = starts.iter().filter(can_be_read).copied().collect();
        let before: Vec<LanePartition> =
            wanted.iter().map(|one| (one.lane, one.partition)).collect();
        self.unassign(&before)?;
        let proven = self.proofs.sorted(wanted);
        self.ask_for_proofs();
        self.take_up(&proven)
    }

    fn release(&mut self, partitions: &[LanePartition]) -> Result<()> {
        self.unassign(partitions)
    }

    fn applied(&mut self, position: &Position) {
        if self.membership == Membership::Alone || self.hinted.elapsed() < HINT_INTERVAL {
            return;
        }
        self.hinted = Instant::now();
        let mut list = TopicPartitionList::new();
        let ours = position
            .iter()
            .filter(|(lane, partition, _)| self.owned.contains_key(&(*lane, *partition)));
        for (lane, partition, next) in ours {
            // An offset that cannot be named cannot be hinted at either.
            let _ =
                list.add_partition_offset(self.topic(lane), partition, ListOffset::Offset(next));
        }
        if list.count() > 0
            && let Err(error) = self.readers.group.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "the lag hint was not committed");
        }
    }
}
