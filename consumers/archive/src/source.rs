//! The log that is archived, as the archive sees it: where each partition begins and ends, and its records.

use std::collections::BTreeMap;
use std::time::Duration;

use licenseflow_runtime::log::{
    Admin, Error as LogError, KafkaSettings, Reader, Record, Step, TopicPartition, Watermarks,
};

use crate::Result;

/// How long the brokers may stand still.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one look at a reading takes, at most.
const STEP: Duration = Duration::from_millis(500);

/// What librdkafka may hold while a partition is read, in KiB, and what one fetch brings, in bytes.
const QUEUED_KBYTES: &str = "16384";
const FETCH_BYTES: &str = "8388608";

/// A log to be archived. Whoever implements it gives committed records alone.
pub trait Source {
    /// Both ends of each partition of a topic, by number; none where there is no such topic.
    ///
    /// # Errors
    /// From the brokers.
    fn ends(&self, topic: &str) -> Result<Option<Vec<Watermarks>>>;

    /// The first offset of each of these partitions whose record is later than a time, in milliseconds.
    ///
    /// # Errors
    /// From the brokers.
    fn first_after(
        &self,
        times: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, i64>>;

    /// Hands over the records of a partition whose offsets are in `[from, to)`, in order.
    ///
    /// # Errors
    /// From the brokers, and whatever `take` returns.
    fn read(
        &self,
        of: &TopicPartition,
        span: (i64, i64),
        take: &mut dyn FnMut(Record) -> Result<()>,
    ) -> Result<()>;
}

/// The log in Kafka.
pub struct LogSource {
    settings: KafkaSettings,
    admin: Admin,
}

impl LogSource {
    /// Reads by these settings; `admin` is asked for the ends.
    #[must_use]
    pub fn new(settings: &KafkaSettings, admin: Admin) -> LogSource {
        let mut settings = settings.clone();
        for (key, value) in [
            ("queued.max.messages.kbytes", QUEUED_KBYTES),
            ("fetch.max.bytes", FETCH_BYTES),
        ] {
            let known = settings.overrides.entry(key.to_owned());
            known.or_insert_with(|| value.to_owned());
        }
        LogSource { settings, admin }
    }
}

impl Source for LogSource {
    fn ends(&self, topic: &str) -> Result<Option<Vec<Watermarks>>> {
        let partitions = match self.admin.partitions(topic) {
            Ok(partitions) => partitions,
            Err(LogError::UnknownTopic(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // By number, as the partitions are.
        let ends = self.admin.watermarks(&partitions)?;
        Ok(Some(ends.into_values().collect()))
    }

    fn first_after(
        &self,
        times: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let later = times.iter().map(|(of, time)| (of.clone(), time + 1));
        Ok(self.admin.first_from(&later.collect())?)
    }

    fn read(
        &self,
        of: &TopicPartition,
        span: (i64, i64),
        take: &mut dyn FnMut(Record) -> Result<()>,
    ) -> Result<()> {
        let spans = BTreeMap::from([(of.clone(), span)]);
        let mut reader = Reader::between(&self.settings, &spans, PATIENCE)?;
        loop {
            match reader.step(STEP)? {
                Step::Record(record) => take(record)?,
                Step::Waiting => {}
                Step::Done => return Ok(()),
            }
        }
    }
}
