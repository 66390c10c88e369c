//! Some records by their offsets, over one consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::{KafkaSettings, Record, Result, TopicPartition};
use super::{Reader, Stop};

/// Offsets no further apart than this are read in one go: to begin a fetch anew costs more than what lies
/// between them.
const GAP_MAX: i64 = 2_000;

/// What a fetch brings of one partition, in bytes, or one record where that is larger: little lies between the records that are asked for.
const FETCH_BYTES: &str = "524288";

/// Reads the records at these offsets, as far as there are any, partition by partition: `timeout` bounds each
/// question to the brokers and each standstill.
///
/// # Errors
/// The settings' errors, or from the brokers.
pub fn read_each(
    settings: &KafkaSettings,
    asked: &BTreeMap<TopicPartition, BTreeSet<i64>>,
    timeout: Duration,
    mut take: impl FnMut(Record),
) -> Result<()> {
    let mut settings = settings.clone();
    let bound = settings
        .overrides
        .entry("max.partition.fetch.bytes".to_owned());
    bound.or_insert_with(|| FETCH_BYTES.to_owned());
    let mut reader = Reader::new(&settings, Stop::AtEnd, timeout)?;
    let mut runs: BTreeMap<&TopicPartition, Vec<(i64, i64)>> = asked
        .iter()
        .map(|(partition, offsets)| (partition, runs_of(offsets)))
        .collect();
    loop {
        // One run of each partition at a time.
        reader.spans.clear();
        for (partition, runs) in &mut runs {
            if let Some((from, to)) = runs.pop() {
                reader.add((*partition).clone(), from, Some(to));
            }
        }
        if reader.spans.is_empty() {
            return Ok(());
        }
        reader.begin(Stop::AtEnd)?;
        reader.drain(|record| {
            let partition = TopicPartition::new(&*record.topic, record.partition);
            let is_asked = asked.get(&partition);
            if is_asked.is_some_and(|offsets| offsets.contains(&record.offset)) {
                take(record);
            }
            Ok::<(), super::super::Error>(())
        })?;
    }
}

/// Runs of offsets, `[from, to)` each, in which no gap is too wide; the last first.
fn runs_of(offsets: &BTreeSet<i64>) -> Vec<(i64, i64)> {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for offset in offsets {
        match runs.last_mut() {
            Some((_, to)) if offset - *to <= GAP_MAX => *to = offset + 1,
            Some(_) | None => runs.push((*offset, offset + 1)),
        }
    }
    runs.reverse();
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_near_one_another_are_read_in_one_go() {
        let offsets = BTreeSet::from([0, 3, 2_004, 4_006, 10_000]);
        let expected = [(10_000, 10_001), (4_006, 4_007), (0, 2_005)];
        assert_eq!(runs_of(&offsets), expected);
        assert!(runs_of(&BTreeSet::new()).is_empty());
    }
}
