//! Single records read back from the lanes, by their coordinates.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use licenseflow_avro::{Coordinates, Topics};
use licenseflow_runtime::log::{KafkaSettings, Reader, Step, TopicPartition};

use crate::Result;
use crate::letter::Originals;
use crate::message::raw_record_at;

/// The bound of each question to the brokers.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one look at the reading of originals takes, at most.
const STEP: Duration = Duration::from_millis(500);

/// What librdkafka may hold of originals, in KiB and in bytes: letters have a small share of memory.
const QUEUED_KBYTES: &str = "2048";
const FETCH_BYTES: &str = "4194304";

/// Reads originals, each time with a consumer of its own.
pub(crate) struct LaneReader {
    pub(crate) settings: KafkaSettings,
    pub(crate) topics: Topics,
}

impl LaneReader {
    /// The records at these coordinates; it ends once they come to so many bytes.
    ///
    /// # Errors
    /// The brokers are away.
    pub(crate) fn originals(&self, at: &[Coordinates], bytes_max: usize) -> Result<Originals> {
        let mut spans: BTreeMap<TopicPartition, (i64, i64)> = BTreeMap::new();
        let mut asked: HashMap<(Arc<str>, i32, i64), Coordinates> = HashMap::new();
        for at in at {
            let topic = self.topics.lane(at.lane);
            asked.insert((topic.as_str().into(), at.partition, at.offset), *at);
            let span = (at.offset, at.offset + 1);
            let known = spans
                .entry(TopicPartition::new(topic, at.partition))
                .or_insert(span);
            *known = (known.0.min(span.0), known.1.max(span.1));
        }
        let mut originals = Originals::default();
        if spans.is_empty() {
            return Ok(originals);
        }
        let mut reader = self.reader(&spans)?;
        let mut bytes = 0;
        loop {
            match reader.step(STEP)? {
                Step::Record(record) => {
                    let place = (record.topic.clone(), record.partition, record.offset);
                    if let Some(at) = asked.get(&place) {
                        let record = raw_record_at(*at, record);
                        bytes += record.size();
                        originals.found.insert(*at, record);
                    }
                    if bytes >= bytes_max {
                        break;
                    }
                }
                Step::Waiting => {}
                Step::Done => return Ok(originals),
            }
        }
        let read = reader.position();
        let is_read = |at: &Coordinates| {
            let name = TopicPartition::new(self.topics.lane(at.lane), at.partition);
            read.get(&name).is_some_and(|next| at.offset < *next)
        };
        originals.left = at.iter().filter(|at| !is_read(at)).copied().collect();
        Ok(originals)
    }

    /// A reading that holds little in memory.
    fn reader(&self, spans: &BTreeMap<TopicPartition, (i64, i64)>) -> Result<Reader> {
        let mut settings = self.settings.clone();
        for (key, value) in [
            ("queued.max.messages.kbytes", QUEUED_KBYTES),
            ("fetch.max.bytes", FETCH_BYTES),
        ] {
            let known = settings.overrides.entry(key.to_owned());
            known.or_insert_with(|| value.to_owned());
        }
        Ok(Reader::between(&settings, spans, PATIENCE)?)
    }
}
