//! The consumer of both lanes.
//!
//! It owns the consumer and knows which partitions are ours and which of them are read. What comes
//! out of it is in the order of each partition, starts where the store stands, and never mixes two
//! readings of a partition: taking a partition up anew unassigns it first, and librdkafka then throws
//! away what it had fetched. It must not know the store.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use licenseflow_avro::{Lane, Offset, Position, Topics};
use licenseflow_runtime::log::{
    ConsumerSettings, KafkaSettings, PartitionEof, TopicPartition, Watermarks,
};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset as ListOffset, TopicPartitionList};

use crate::assignment::{Assignment, Change};
use crate::message::raw_record;
use crate::probe::{Answer, Asked, Probe};
use crate::source::{LanePartition, Polled, Source, Start};
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

/// One partition that is ours.
#[derive(Debug, Clone, Default)]
struct Owned {
    /// Where it is read; none while it is not.
    next: Option<Offset>,
    /// Which reading this is.
    reading: u64,
    /// Where it stood when the ends were last asked for.
    stood: Option<Offset>,
    is_halted: bool,
}

/// The consumer of both lanes.
pub struct KafkaSource {
    consumer: BaseConsumer<Assignment>,
    topics: [(Lane, String); 2],
    owned: BTreeMap<LanePartition, Owned>,
    ready: VecDeque<Polled>,
    probe: Probe,
    ends_interval: Duration,
    probed: Instant,
    /// An offset was out of range: the next answer says of which partition.
    is_range_asked: bool,
    /// The brokers were asked for the ends after the error came.
    is_range_in_question: bool,
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
            is_range_asked: false,
            is_range_in_question: false,
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
        self.is_range_in_question = self.is_range_asked;
        // A halted partition is not read, whatever its end: it must not count as caught up.
        let each = self.owned.iter_mut().filter(|(_, owned)| !owned.is_halted);
        let about = each.map(|(of, owned)| {
            let is_quiet = owned.next.is_some() && owned.stood == owned.next;
            owned.stood = owned.next;
            Asked {
                of: *of,
                reading: owned.next.map(|next| (next, owned.reading)),
                is_quiet,
            }
        });
        let about = about.collect();
        self.probe.ask(about);
    }

    fn hear_the_probe(&mut self) -> Result<()> {
        let Some(answer) = self.probe.answer() else {
            return Ok(());
        };
        if self.is_range_in_question && answer.is_whole {
            self.is_range_in_question = false;
            self.is_range_asked = false;
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

    /// librdkafka does not say which partition's offset was out of range, so each is looked at. Where
    /// none is, the error came of a change of leaders, and all are taken up anew.
    fn halt_out_of_range(&mut self, answer: &Answer) -> Result<()> {
        let mut bad = Vec::new();
        for (of, span) in &answer.spans {
            // Where it stood when the brokers were asked: what is read goes on meanwhile.
            let next = self.owned.get(of).and_then(|owned| owned.stood);
            if let Some(next) = next.filter(|next| *next < span.start || *next > span.end) {
                bad.push((*of, reason(&self.name(*of), next, *span)));
            }
        }
        // librdkafka fetches the one that erred no more, whichever it is.
        let is_bad = |of: &LanePartition| bad.iter().any(|(other, _)| other == of);
        let read = self.owned.iter().filter(|(_, owned)| owned.next.is_some());
        let again = read.map(|(of, _)| *of).filter(|of| !is_bad(of)).collect();
        self.take_up_anew(again)?;
        for (of, reason) in bad {
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
        Ok(())
    }

    fn take_up_anew(&mut self, partitions: Vec<LanePartition>) -> Result<()> {
        self.unassign(&partitions)?;
        self.ready.push_back(Polled::Assigned(partitions));
        Ok(())
    }

    fn trouble(&mut self, error: KafkaError) -> Result<()> {
        match error {
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset) => {
                self.is_range_asked = true;
                Ok(())
            }
            // librdkafka goes on behind a batch that it could not read. Nothing behind the gap was taken
            // yet: what cannot be read is read again, and never passed.
            KafkaError::MessageConsumption(
                RDKafkaErrorCode::BadMessage
                | RDKafkaErrorCode::BadCompression
                | RDKafkaErrorCode::InvalidMessage
                | RDKafkaErrorCode::NotImplemented,
            ) => {
                tracing::error!(%error, "a batch of records cannot be read, and is read again; its partition stands still until it can");
                let read = self.owned.iter().filter(|(_, owned)| owned.next.is_some());
                let again = read.map(|(of, _)| *of).collect();
                self.take_up_anew(again)
            }
            KafkaError::MessageConsumptionFatal(_) => Err(Error::Fatal(Box::new(error))),
            // librdkafka connects again by itself, and takes up a topic when it appears.
            other => {
                tracing::warn!(error = %other, "the lanes cannot be read now");
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

/// Takes a record that is due; others are of an earlier reading.
fn due(
    owned: &mut BTreeMap<LanePartition, Owned>,
    lane: Option<Lane>,
    message: &BorrowedMessage<'_>,
) -> Option<Polled> {
    let lane = lane?;
    let owned = owned.get_mut(&(lane, message.partition()))?;
    let next = owned.next.as_mut()?;
    if message.offset() < *next {
        return None;
    }
    *next = message.offset() + 1;
    Some(Polled::Record(raw_record(lane, message)))
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

/// What an operator reads at night.
fn reason(name: &TopicPartition, next: Offset, span: Watermarks) -> String {
    let TopicPartition { topic, partition } = name;
    let (start, end) = (span.start, span.end);
    let what = if next < start {
        format!("the records from {next} to {start} are gone")
    } else {
        format!("it ends at {end}, before {next}: the log was cut short or the topic was made anew")
    };
    format!(
        "{topic} partition {partition} cannot be read at {next}: {what}; bring the records back, or build a new read model \
         from what is left: licenseflow replay"
    )
}
