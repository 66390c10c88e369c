//! The consumer of both lanes.
//!
//! It owns the consumer and knows which partitions are ours and which of them are read. What comes
//! out of it is in the order of each partition, starts where the store stands, and never mixes two
//! readings of a partition: taking a partition up anew unassigns it first, and librdkafka then throws
//! away what it had fetched. It must not know the store.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use licenseflow_avro::{Lane, Offset, Position, Topics};
use licenseflow_runtime::log::{ConsumerSettings, KafkaSettings, PartitionEof, TopicPartition};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset as ListOffset, TopicPartitionList};

use crate::assignment::{Assignment, Change};
use crate::owned::{Owned, asked, due};
use crate::probe::{Answer, Probe};
use crate::range::{RangeQuestion, out_of_range, reason};
use crate::source::{LanePartition, Polled, Source, Start};
use crate::trouble::Trouble;
use crate::{Error, Result};

/// How a source is made.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// The brokers.
    pub kafka: KafkaSettings,
    /// The topics and the group.
    pub topics: Topics,
    /// The static member's name; none for a dynamic member.
    pub group_instance: Option<String>,
    /// The ceiling of librdkafka's queues, in KiB.
    pub queued_kbytes_max: u32,
    /// The most that one fetch brings, in bytes.
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
    consumer: BaseConsumer<Assignment>,
    topics: [(Lane, String); 2],
    owned: BTreeMap<LanePartition, Owned>,
    ready: VecDeque<Polled>,
    probe: Probe,
    ends_interval: Duration,
    probed: Instant,
    range: RangeQuestion,
    hinted: Instant,
    records_since_turn: usize,
}

impl KafkaSource {
    /// Joins the group; partitions come with the first polls.
    ///
    /// # Errors
    /// The settings', or from librdkafka.
    pub fn start(settings: &SourceSettings) -> Result<KafkaSource> {
        let consumer_settings = ConsumerSettings {
            group: settings.topics.projector_group(),
            group_instance: settings.group_instance.clone(),
            queued_kbytes_max: settings.queued_kbytes_max,
            fetch_bytes_max: settings.fetch_bytes_max,
            partition_eof: PartitionEof::Silent,
            statistics_interval: None,
        };
        let config = settings.kafka.consumer_config(&consumer_settings)?;
        let consumer: BaseConsumer<Assignment> = config
            .create_with_context(Assignment::default())
            .map_err(licenseflow_runtime::log::Error::client)?;
        let topics = Lane::ALL.map(|lane| (lane, settings.topics.lane(lane)));
        let names: Vec<&str> = topics.iter().map(|(_, name)| name.as_str()).collect();
        consumer
            .subscribe(&names)
            .map_err(Error::refused("subscribe to the lanes"))?;
        Ok(KafkaSource {
            consumer,
            topics,
            owned: BTreeMap::new(),
            ready: VecDeque::new(),
            probe: Probe::start(
                &settings
                    .kafka
                    .named(format!("{}-ends", settings.kafka.client_id)),
                &settings.topics,
            )?,
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

    /// Puts what the group gave and took into `ready`.
    fn hear_the_group(&mut self) {
        for change in self.consumer.context().take_changes() {
            let (Change::Given(names) | Change::Taken(names)) = &change;
            let each = names.iter();
            let partitions: Vec<LanePartition> = each
                .filter_map(|name| Some((self.lane_of(&name.topic)?, name.partition)))
                .collect();
            self.ready.push_back(match change {
                Change::Given(_) => {
                    for partition in &partitions {
                        self.owned.insert(*partition, Owned::default());
                    }
                    Polled::Assigned(partitions)
                }
                Change::Taken(_) => {
                    for partition in &partitions {
                        self.owned.remove(partition);
                    }
                    Polled::Revoked(partitions)
                }
            });
        }
    }

    fn ask_for_ends(&mut self) {
        if !self.probe.is_free()
            || self.probed.elapsed() < self.ends_interval
            || self.owned.is_empty()
        {
            return;
        }
        self.probed = Instant::now();
        self.range.ask();
        let about = asked(&mut self.owned);
        self.probe.ask(about);
    }

    fn hear_the_probe(&mut self) -> Result<()> {
        let Some(answer) = self.probe.answer() else {
            return Ok(());
        };
        if self.range.is_answered(answer.is_whole) {
            self.halt_out_of_range(&answer)?;
        }
        for passed in answer.passed {
            let Some(owned) = self.owned.get_mut(&passed.of) else {
                continue;
            };
            if owned.reading != passed.reading || owned.next != Some(passed.from) {
                continue;
            }
            owned.next = Some(passed.to);
            let (lane, partition) = passed.of;
            self.ready.push_back(Polled::Passed {
                lane,
                partition,
                next_offset: passed.to,
            });
        }
        if !answer.ends.is_empty() {
            self.ready.push_back(Polled::Ends(answer.ends));
        }
        Ok(())
    }

    /// Halts what is out of range. Where nothing is, the error came of a change of leaders; librdkafka
    /// fetches the partition that erred no more, whichever it is, so all others are taken up anew.
    fn halt_out_of_range(&mut self, answer: &Answer) -> Result<()> {
        // Where each stood when the brokers were asked: what is read goes on meanwhile.
        let each = self.owned.iter();
        let places = each.filter_map(|(of, owned)| Some((*of, owned.stood?)));
        let places: BTreeMap<LanePartition, Offset> = places.collect();
        let bad = out_of_range(&places, &answer.spans);
        let mut again = self.read();
        again.retain(|of| !bad.contains(of));
        self.take_up_anew(again)?;
        for of in bad {
            if let (Some(next), Some(span)) = (places.get(&of), answer.spans.get(&of)) {
                let reason = reason(&self.name(of), *next, *span);
                if let Some(owned) = self.owned.get_mut(&of) {
                    owned.is_halted = true;
                }
                let (lane, partition) = of;
                self.ready.push_back(Polled::Halted {
                    lane,
                    partition,
                    reason,
                });
            }
        }
        Ok(())
    }

    fn take_up_anew(&mut self, partitions: Vec<LanePartition>) -> Result<()> {
        self.unassign(&partitions)?;
        self.ready.push_back(Polled::Assigned(partitions));
        Ok(())
    }

    /// The partitions that are read.
    fn read(&self) -> Vec<LanePartition> {
        let each = self.owned.iter();
        each.filter(|(_, owned)| owned.next.is_some())
            .map(|(of, _)| *of)
            .collect()
    }

    fn trouble(&mut self, error: KafkaError) -> Result<()> {
        match Trouble::of(&error) {
            Trouble::OutOfRange => {
                self.range.open();
                Ok(())
            }
            // Nothing behind the gap was taken yet: what cannot be read is read again, never passed.
            Trouble::Unreadable => {
                tracing::error!(%error, "a batch of records cannot be read, and is read again; its partition stands still until it can");
                self.take_up_anew(self.read())
            }
            Trouble::Fatal => Err(Error::Fatal(Box::new(error))),
            Trouble::Passing => {
                tracing::warn!(%error, "the lanes cannot be read now");
                Ok(())
            }
        }
    }

    fn unassign(&mut self, partitions: &[LanePartition]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for of in partitions {
            let name = self.name(*of);
            if let Some(owned) = self.owned.get_mut(of) {
                owned.next = None;
                owned.reading += 1;
            }
            // What was found out about the reading that ends here says nothing about the next one.
            self.ready.retain(|polled| !is_passed(polled, *of));
            if self.consumer.context().is_left(&name) {
                list.add_partition(&name.topic, name.partition);
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.consumer
            .incremental_unassign(&list)
            .map_err(Error::refused("leave partitions"))
    }
}

fn is_passed(polled: &Polled, of: LanePartition) -> bool {
    matches!(polled, Polled::Passed { lane, partition, .. } if (*lane, *partition) == of)
}

/// What a poll of librdkafka gave, free of its memory.
enum Got {
    Nothing,
    Record(Polled),
    Trouble(KafkaError),
}

impl Source for KafkaSource {
    fn poll(&mut self, timeout: Duration) -> Result<Polled> {
        if let Some(ready) = self.ready.pop_front() {
            return Ok(ready);
        }
        let got = match self.consumer.poll(timeout) {
            None => Got::Nothing,
            Some(Err(error)) => Got::Trouble(error),
            Some(Ok(message)) => {
                let topic = message.topic();
                let found = self.topics.iter().find(|(_, name)| name == topic);
                let lane = found.map(|(lane, _)| *lane);
                due(&mut self.owned, lane, &message).map_or(Got::Nothing, Got::Record)
            }
        };
        match got {
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
        let wanted: Vec<&Start> = starts
            .iter()
            .filter(|start| {
                let owned = self.owned.get(&(start.lane, start.partition));
                owned.is_some_and(|owned| !owned.is_halted)
            })
            .collect();
        let before: Vec<LanePartition> =
            wanted.iter().map(|one| (one.lane, one.partition)).collect();
        self.unassign(&before)?;
        let mut list = TopicPartitionList::with_capacity(wanted.len());
        for start in wanted {
            let name = self.name((start.lane, start.partition));
            list.add_partition_offset(
                &name.topic,
                name.partition,
                ListOffset::Offset(start.next_offset),
            )
            .map_err(Error::refused("name an offset"))?;
            if let Some(owned) = self.owned.get_mut(&(start.lane, start.partition)) {
                owned.next = Some(start.next_offset);
                owned.stood = None;
            }
            self.consumer.context().is_fetched(name);
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.consumer
            .incremental_assign(&list)
            .map_err(Error::refused("take up partitions"))
    }

    fn release(&mut self, partitions: &[LanePartition]) -> Result<()> {
        self.unassign(partitions)
    }

    fn applied(&mut self, position: &Position) {
        if self.hinted.elapsed() < HINT_INTERVAL {
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
            && let Err(error) = self.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "the lag hint was not committed");
        }
    }
}

impl KafkaSource {
    /// What is not a record: the group, and the ends.
    fn turn(&mut self) -> Result<()> {
        self.records_since_turn = 0;
        self.hear_the_group();
        self.hear_the_probe()?;
        self.ask_for_ends();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    const READ: LanePartition = (Lane::Interactive, 0);
    const LEFT: LanePartition = (Lane::Interactive, 1);

    /// A source whose broker is nowhere, with one partition that is read and one that is not.
    fn source() -> KafkaSource {
        let mut source = KafkaSource::start(&SourceSettings {
            kafka: KafkaSettings::new("127.0.0.1:1", "test"),
            topics: Topics::new(""),
            group_instance: None,
            queued_kbytes_max: 1024,
            fetch_bytes_max: 1 << 20,
            ends_interval: Duration::from_secs(60),
        })
        .unwrap();
        let read = Owned {
            next: Some(7),
            stood: Some(7),
            ..Owned::default()
        };
        source.owned = [(READ, read), (LEFT, Owned::default())].into();
        source
    }

    #[test]
    fn a_batch_that_cannot_be_read_is_read_again_from_where_it_stood_and_not_passed() {
        let mut source = source();
        let passed = Polled::Passed {
            lane: READ.0,
            partition: READ.1,
            next_offset: 9,
        };
        source.ready.push_back(passed);
        let error = KafkaError::MessageConsumption(RDKafkaErrorCode::BadMessage);
        source.trouble(error).unwrap();
        assert_eq!(source.ready, [Polled::Assigned(vec![READ])]);
        assert_eq!((source.owned[&READ].next, source.read()), (None, vec![]));
    }

    #[test]
    fn what_is_out_of_range_is_halted_and_all_others_are_taken_up_anew() {
        let mut source = source();
        let other = (Lane::Bulk, 4);
        let owned = source.owned[&READ].clone();
        source.owned.insert(other, owned);
        let span = |start, end| licenseflow_runtime::log::Watermarks { start, end };
        let answer = Answer {
            spans: [(READ, span(0, 9)), (other, span(8, 9))].into(),
            is_whole: true,
            ..Answer::default()
        };
        source.halt_out_of_range(&answer).unwrap();
        assert_eq!(source.ready.pop_front(), Some(Polled::Assigned(vec![READ])));
        assert!(
            matches!(&source.ready[0], Polled::Halted { lane: Lane::Bulk, partition: 4, reason } if reason.contains("licenseflow replay")),
            "{:?}",
            source.ready
        );
        // It is not asked about any more, so that nobody takes it for caught up.
        let about = asked(&mut source.owned);
        assert!(about.iter().all(|one| one.of != other) && about.len() == 2);
        // Nor is it read, whoever asks for it.
        let start = Start {
            lane: other.0,
            partition: other.1,
            next_offset: 7,
        };
        source.release(&[other]).unwrap();
        source.restart(&[start]).unwrap();
        assert_eq!(source.read(), []);
    }
}
