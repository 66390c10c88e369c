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

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::offsets::{Asked, At};
use super::{ClientLog, Error, KafkaSettings, PartitionEof, Record, Result, TopicPartition};

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

/// After this long the answer to "where is the end" is asked again before an empty fetch is taken
/// for it: a new leader may for a moment show less than the old one had.
const END_IS_FRESH: Duration = Duration::from_secs(1);

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

    /// Starts a bounded reading, or starts it again after its ends moved.
    fn resume(&mut self) -> Result<()> {
        let mut topics: Vec<String> = Vec::new();
        for (partition, span) in &self.spans {
            if span.is_open() && topics.last() != Some(&partition.topic) {
                topics.push(partition.topic.clone());
            }
        }
        self.topics = topics.into();
        self.next_topic()
    }

    fn next_topic(&mut self) -> Result<()> {
        match self.topics.pop_front() {
            Some(topic) => self.assign(|partition| partition.topic == topic),
            None => Ok(()),
        }
    }

    /// Has librdkafka fetch the chosen partitions that are still open, from where they stand. A
    /// new assignment throws away what was fetched for the one before.
    fn assign(&mut self, chosen: impl Fn(&TopicPartition) -> bool) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, span) in &mut self.spans {
            span.active = span.is_open() && chosen(partition);
            if span.active {
                let next = Offset::Offset(span.next);
                list.add_partition_offset(&partition.topic, partition.partition, next)
                    .map_err(Error::client)?;
            }
        }
        let operation = || "assign partitions".to_owned();
        let failed = |source| Error::of(operation(), &self.servers, source);
        self.consumer.unassign().map_err(failed)?;
        self.consumer.assign(&list).map_err(failed)
    }

    /// One event of librdkafka: a record to hand over, or something to note.
    fn poll(&mut self, wait: Duration) -> Result<Option<Record>> {
        // A long wait is cut, so that the caller sees a standstill.
        let event = self.consumer.poll(wait.min(Duration::from_millis(200)));
        let record = match event {
            None => return Ok(None),
            Some(Ok(message)) => match self.names.get(message.topic()) {
                Some(topic) => Record::copied_from(topic, &message),
                None => return Ok(None),
            },
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.empty_fetch(partition)?;
                return Ok(None);
            }
            Some(Err(source)) => {
                let topics = self.open_topics();
                let error = Error::of(format!("read {topics}"), &self.servers, source);
                // librdkafka reconnects by itself; standing still too long is told by `step`.
                return if error.is_passing() {
                    Ok(None)
                } else {
                    Err(error)
                };
            }
        };
        self.moved = Instant::now();
        let partition = TopicPartition::new(&*record.topic, record.partition);
        let Some(span) = self.spans.get_mut(&partition) else {
            return Ok(None);
        };
        if !span.active || record.offset < span.next {
            return Ok(None);
        }
        let before_end = span.end.is_none_or(|end| record.offset < end);
        span.next = match span.end {
            Some(end) => (record.offset + 1).min(end),
            None => record.offset + 1,
        };
        if !span.is_open() {
            self.close(&partition)?;
        }
        Ok(before_end.then_some(record))
    }

    /// A fetch of that partition came back empty: it was read as far as its leader goes.
    fn empty_fetch(&mut self, partition: i32) -> Result<()> {
        let found = self
            .spans
            .iter()
            .find(|(one, span)| span.active && one.partition == partition && span.is_open());
        let Some((partition, span)) = found.map(|(one, span)| (one.clone(), span.clone())) else {
            return Ok(());
        };
        self.moved = Instant::now();
        if span.asked.elapsed() > END_IS_FRESH {
            return self.ask_again(&partition, &span);
        }
        if let (Some(span), Some(end)) = (self.spans.get_mut(&partition), span.end) {
            span.next = end;
        }
        self.close(&partition)
    }

    /// Asks for the end anew and fetches once more, so that the next empty fetch can be believed.
    fn ask_again(&mut self, partition: &TopicPartition, span: &Span) -> Result<()> {
        let ends = self
            .asked()
            .offsets(std::slice::from_ref(partition), At::End)?;
        let reached = ends
            .get(partition)
            .zip(span.end)
            .is_some_and(|(now, end)| *now >= end);
        let next = Offset::Offset(span.next);
        self.consumer
            .seek(&partition.topic, partition.partition, next, self.timeout)
            .map_err(|source| {
                Error::of(
                    format!("go back in {}", partition.topic),
                    &self.servers,
                    source,
                )
            })?;
        if let Some(span) = self.spans.get_mut(partition).filter(|_| reached) {
            span.asked = Instant::now();
        }
        Ok(())
    }

    /// Stops fetching a partition that was read to its end, and goes to the next topic after the
    /// last one.
    fn close(&mut self, partition: &TopicPartition) -> Result<()> {
        if let Some(span) = self.spans.get_mut(partition) {
            span.active = false;
        }
        if !self.spans.values().any(|span| span.active) {
            return self.next_topic();
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition);
        self.consumer
            .pause(&list)
            .map_err(|source| Error::of("pause a partition".into(), &self.servers, source))
    }
}

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
