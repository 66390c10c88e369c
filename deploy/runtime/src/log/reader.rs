//! A plain reader of topics: no group, no commits, its own place in each partition.
//!
//! "At the end" counts offsets, not records: the last offsets of a partition may be transaction
//! markers or aborted records, which never come out of a consumer. So the end is reached when a
//! record before it says so, or when a fetch made after the end was asked for comes back empty.
//! Bounded readings take one topic after the other, because librdkafka's word for an empty fetch
//! names the partition alone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;

use super::offsets::{Asked, At};
use super::{ClientLog, Error, KafkaSettings, PartitionEof, Record, Result, TopicPartition};

mod each;
mod fetch;
mod one;

pub use each::read_each;
pub use one::read_at;

/// Where a reading starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record that is still there.
    Beginning,
    /// After the last record there is now.
    End,
    /// At the first record at or after that time, in milliseconds since 1970.
    Time(i64),
    /// At these next offsets; partitions left out start at the beginning.
    Offsets(BTreeMap<TopicPartition, i64>),
}

/// Where a reading stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At the end offsets that the partitions have when the reading is opened.
    AtEnd,
    /// Never: it waits for more.
    Never,
}

/// What came of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next record.
    Record(Record),
    /// Nothing came in the time given.
    Waiting,
    /// All partitions were read to their ends; a reading that never stops does not say this.
    Done,
}

/// One partition's part of the reading.
#[derive(Clone, Debug)]
struct Span {
    next: i64,
    /// None where the reading never stops.
    end: Option<i64>,
    /// When the end was asked for.
    asked: Instant,
    /// Whether librdkafka has the partition and fetches it.
    active: bool,
}

impl Span {
    fn is_open(&self) -> bool {
        self.end.is_none_or(|end| self.next < end)
    }
}

/// A reading of some partitions.
pub struct Reader {
    consumer: BaseConsumer<ClientLog>,
    servers: String,
    /// The longest that a bounded reading may stand still, and the bound of each question.
    timeout: Duration,
    spans: BTreeMap<TopicPartition, Span>,
    names: BTreeMap<String, Arc<str>>,
    /// Topics of a bounded reading that are still to be assigned.
    topics: VecDeque<String>,
    moved: Instant,
}

impl Reader {
    /// Opens a reading of whole topics. `timeout` bounds each question to the brokers, and how
    /// long a bounded reading may stand still.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], the settings' errors, or from the brokers.
    pub fn open(
        settings: &KafkaSettings,
        topics: &[&str],
        start: &Start,
        stop: Stop,
        timeout: Duration,
    ) -> Result<Reader> {
        let mut reader = Reader::new(settings, stop, timeout)?;
        let mut partitions = Vec::new();
        for topic in topics {
            partitions.extend(reader.asked().partitions(topic)?);
        }
        let ends = match stop {
            Stop::AtEnd => Some(reader.asked().offsets(&partitions, At::End)?),
            Stop::Never => None,
        };
        for (partition, next) in reader.starts(&partitions, start)? {
            let end = ends.as_ref().and_then(|ends| ends.get(&partition).copied());
            reader.add(partition, next, end);
        }
        reader.begin(stop)?;
        Ok(reader)
    }

    /// Opens a reading of the offsets `[from, to)` of some partitions.
    ///
    /// # Errors
    /// The settings' errors, or from the brokers.
    pub fn between(
        settings: &KafkaSettings,
        spans: &BTreeMap<TopicPartition, (i64, i64)>,
        timeout: Duration,
    ) -> Result<Reader> {
        let mut reader = Reader::new(settings, Stop::AtEnd, timeout)?;
        for (partition, (from, to)) in spans {
            reader.add(partition.clone(), *from, Some(*to));
        }
        reader.begin(Stop::AtEnd)?;
        Ok(reader)
    }

    /// The next record, or what there is instead within `wait`.
    ///
    /// # Errors
    /// [`Error::Stalled`] where a bounded reading stood still too long, or from the brokers.
    /// After an error that is passing, the reading can go on.
    pub fn step(&mut self, wait: Duration) -> Result<Step> {
        let deadline = Instant::now() + wait;
        loop {
            if self.is_done() {
                return Ok(Step::Done);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(record) = self.poll(left)? {
                return Ok(Step::Record(record));
            }
            if self.is_bounded() && self.moved.elapsed() > self.timeout {
                self.moved = Instant::now();
                return Err(Error::Stalled {
                    topic: self.open_topics(),
                    seconds: self.timeout.as_secs(),
                });
            }
            if Instant::now() >= deadline && !self.is_done() {
                return Ok(Step::Waiting);
            }
        }
    }

    /// Hands every record of a bounded reading over, until it is done.
    ///
    /// # Errors
    /// As [`Reader::step`], and whatever `take` returns.
    pub fn drain<E: From<Error>>(
        &mut self,
        mut take: impl FnMut(Record) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        loop {
            match self.step(Duration::from_millis(500))? {
                Step::Record(record) => take(record)?,
                Step::Waiting => {}
                Step::Done => return Ok(()),
            }
        }
    }

    /// Moves the ends of a bounded reading to where the partitions end now, so that it goes on
    /// from where it was done.
    ///
    /// # Errors
    /// [`Error::CutShort`], or from the brokers; the reading stays as it was.
    pub fn extend(&mut self) -> Result<()> {
        let partitions: Vec<TopicPartition> = self.spans.keys().cloned().collect();
        let ends = self.asked().offsets(&partitions, At::End)?;
        for (partition, end) in &ends {
            if let Some(span) = self.spans.get(partition).filter(|span| span.next > *end) {
                let TopicPartition { topic, partition } = partition.clone();
                let (end, next) = (*end, span.next);
                return Err(Error::CutShort {
                    topic,
                    partition,
                    end,
                    next,
                });
            }
        }
        for (partition, end) in ends {
            if let Some(span) = self.spans.get_mut(&partition) {
                span.end = Some(end);
                span.asked = Instant::now();
            }
        }
        self.moved = Instant::now();
        self.resume()
    }

    /// The next offset of each partition: everything before it was handed over, or is a
    /// transaction marker or an aborted record.
    pub fn position(&self) -> BTreeMap<TopicPartition, i64> {
        self.spans
            .iter()
            .map(|(partition, span)| (partition.clone(), span.next))
            .collect()
    }

    /// Offsets that are still before the reading; none where it never stops.
    pub fn remaining(&self) -> Option<i64> {
        self.spans
            .values()
            .map(|span| span.end.map(|end| (end - span.next).max(0)))
            .sum()
    }

    fn new(settings: &KafkaSettings, stop: Stop, timeout: Duration) -> Result<Reader> {
        let eof = match stop {
            Stop::AtEnd => PartitionEof::Reported,
            Stop::Never => PartitionEof::Silent,
        };
        let consumer = settings
            .reader_config(eof)?
            .create_with_context(ClientLog)
            .map_err(Error::client)?;
        Ok(Reader {
            consumer,
            servers: settings.bootstrap_servers.clone(),
            timeout,
            spans: BTreeMap::new(),
            names: BTreeMap::new(),
            topics: VecDeque::new(),
            moved: Instant::now(),
        })
    }

    fn add(&mut self, partition: TopicPartition, next: i64, end: Option<i64>) {
        let name = &partition.topic;
        if !self.names.contains_key(name) {
            self.names.insert(name.clone(), Arc::from(name.as_str()));
        }
        let span = Span {
            next,
            end,
            asked: Instant::now(),
            active: false,
        };
        self.spans.insert(partition, span);
    }

    fn begin(&mut self, stop: Stop) -> Result<()> {
        match stop {
            Stop::AtEnd => self.resume(),
            Stop::Never => self.assign(|_| true),
        }
    }

    fn starts(
        &self,
        partitions: &[TopicPartition],
        start: &Start,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        match start {
            Start::Beginning => self.asked().offsets(partitions, At::Start),
            Start::End => self.asked().offsets(partitions, At::End),
            Start::Time(ms) => self.asked().offsets(partitions, At::Time(*ms)),
            Start::Offsets(given) => {
                let mut starts = self.asked().offsets(partitions, At::Start)?;
                for (partition, next) in &mut starts {
                    *next = given.get(partition).copied().unwrap_or(*next);
                }
                Ok(starts)
            }
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            consumer: &self.consumer,
            servers: &self.servers,
            timeout: self.timeout,
        }
    }

    fn is_bounded(&self) -> bool {
        self.spans.values().all(|span| span.end.is_some())
    }

    fn is_done(&self) -> bool {
        self.spans.values().all(|span| !span.is_open())
    }

    fn open_topics(&self) -> String {
        let open = self.spans.iter().filter(|(_, span)| span.is_open());
        let mut names: Vec<&str> = open
            .map(|(partition, _)| partition.topic.as_str())
            .collect();
        names.dedup();
        names.join(", ")
    }
}
