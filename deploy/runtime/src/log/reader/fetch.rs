//! What a reading has librdkafka fetch, and what comes of it: records, and the ends of partitions.

use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::offsets::At;
use super::super::{Error, Record, Result, TopicPartition};
use super::{Reader, Span};

/// After this long the answer to "where is the end" is asked again before an empty fetch is taken
/// for it: a new leader may for a moment show less than the old one had.
const END_IS_FRESH: Duration = Duration::from_secs(1);

impl Reader {
    /// Starts a bounded reading, or starts it again after its ends moved.
    pub(super) fn resume(&mut self) -> Result<()> {
        let mut topics: Vec<String> = Vec::new();
        for (partition, span) in &self.spans {
            if span.is_open() && topics.last() != Some(&partition.topic) {
                topics.push(partition.topic.clone());
            }
        }
        self.topics = topics.into();
        self.next_topic()
    }

    pub(super) fn next_topic(&mut self) -> Result<()> {
        match self.topics.pop_front() {
            Some(topic) => self.assign(|partition| partition.topic == topic),
            None => Ok(()),
        }
    }

    /// Has librdkafka fetch the chosen partitions that are still open, from where they stand. A
    /// new assignment throws away what was fetched for the one before.
    pub(super) fn assign(&mut self, chosen: impl Fn(&TopicPartition) -> bool) -> Result<()> {
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
    pub(super) fn poll(&mut self, wait: Duration) -> Result<Option<Record>> {
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

    /// A fetch of that partition came back empty: it was read as far as its leader goes. The end is
    /// believed where its leader shows it before the fetch, not long ago, and after it too.
    fn empty_fetch(&mut self, partition: i32) -> Result<()> {
        let found = self
            .spans
            .iter()
            .find(|(one, span)| span.active && one.partition == partition && span.is_open());
        let Some((partition, span)) = found.map(|(one, span)| (one.clone(), span.clone())) else {
            return Ok(());
        };
        self.moved = Instant::now();
        let is_fresh = span.asked.elapsed() <= END_IS_FRESH;
        let is_shown = self.is_end_shown(&partition, &span)?;
        if !is_fresh || !is_shown {
            return self.fetch_again(&partition, &span, is_shown);
        }
        if let (Some(span), Some(end)) = (self.spans.get_mut(&partition), span.end) {
            span.next = end;
        }
        self.close(&partition)
    }

    /// Whether the partition's leader shows the end now, or what lies behind it.
    fn is_end_shown(&self, partition: &TopicPartition, span: &Span) -> Result<bool> {
        let asked = self
            .asked()
            .offsets(std::slice::from_ref(partition), At::End);
        match asked {
            Ok(ends) => {
                let shown = ends.get(partition).zip(span.end);
                Ok(shown.is_some_and(|(now, end)| *now >= end))
            }
            // A leader that is away shows nothing.
            Err(error) if error.is_passing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Fetches once more, so that the next empty fetch can be believed.
    fn fetch_again(
        &mut self,
        partition: &TopicPartition,
        span: &Span,
        is_shown: bool,
    ) -> Result<()> {
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
        if let Some(span) = self.spans.get_mut(partition).filter(|_| is_shown) {
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
