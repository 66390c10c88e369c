//! Whether a log is the one that was archived, and goes on from where the archive ends.

use std::collections::BTreeMap;

use licenseflow_runtime::log::TopicPartition;

use super::{Ends, next_of};
use crate::manifest::Holds;
use crate::shelf::Shelf;
use crate::source::Source;
use crate::{Error, Result};

/// Refuses a log that does not go on from where the archive ends.
///
/// A topic that was made anew may by now be longer than the archive. Every archived record is at most as late as
/// the latest of them, so in the same log none before the archive's end is later; in another, all are.
pub(super) fn prove_same_log(shelf: &Shelf, source: &dyn Source, all: &Ends) -> Result<()> {
    let mut latest = BTreeMap::new();
    for ((holds, name), ends) in all {
        if *holds == Holds::Schemas {
            continue;
        }
        let manifest = shelf.manifest();
        let archived = manifest.topics.iter().find(|topic| topic.name == *name);
        if let Some(archived) = archived.filter(|topic| topic.ends.len() > ends.len()) {
            return Err(Error::Partitions {
                topic: name.clone(),
                found: ends.len(),
                archived: archived.ends.len(),
            });
        }
        for (partition, of) in (0..).zip(ends) {
            let Some(next) = next_of(shelf, name, partition) else {
                continue;
            };
            let broken = |reason: String| Error::Broken {
                topic: name.clone(),
                partition,
                next,
                reason,
            };
            if of.start > next {
                let start = of.start;
                return Err(broken(format!("the records up to {start} are gone")));
            }
            if of.end < next {
                let end = of.end;
                return Err(broken(format!(
                    "it ends at {end}: the log was cut short, or the topic was made anew; name another place"
                )));
            }
            let times = manifest.parts_of(name, partition);
            if let Some(time) = times.filter_map(|part| part.last_timestamp_ms).max() {
                latest.insert(TopicPartition::new(name, partition), time);
            }
        }
    }
    for (of, found) in source.first_after(&latest)? {
        let next = next_of(shelf, &of.topic, of.partition).unwrap_or(0);
        if found < next {
            let latest = latest.get(&of).copied();
            prove_none_later(source, &of, (found, next), latest)?;
        }
    }
    Ok(())
}

/// What the brokers found there may be a transaction's marker, which has a time too and is no record.
fn prove_none_later(
    source: &dyn Source,
    of: &TopicPartition,
    span: (i64, i64),
    latest: Option<i64>,
) -> Result<()> {
    source.read(of, span, &mut |record| {
        if record.timestamp_ms <= latest {
            return Ok(());
        }
        let found = record.offset;
        Err(Error::Broken {
            topic: of.topic.clone(),
            partition: of.partition,
            next: span.1,
            reason: format!(
                "its record at {found} is later than all that were archived: it is not the log that was archived, \
                 but one that was made anew; name another place"
            ),
        })
    })
}
