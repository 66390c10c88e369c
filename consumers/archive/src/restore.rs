//! The way back: what is in an archive becomes a log again, in topics that were empty.
//!
//! A restored partition is at any moment a beginning of what the archive has for it: record k of the archive lies
//! at offset k, as the writer sees to. So its end says how far an earlier restore came, and nothing else need be
//! kept. That it was a restore of this archive is seen by the first and the last record that are there.

use std::sync::Arc;

use licenseflow_core::crash;
use licenseflow_runtime::log::{Record, TopicPartition, Writer};
use tokio_util::sync::CancellationToken;

use crate::archive::Progress;
use crate::mapping::{PartitionMapping, mapping};
use crate::shelf::Shelf;
use crate::target::{PATIENCE, Target, Wanted};
use crate::{Error, Result};

/// What a restore has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Records that were published now.
    pub records: i64,
    /// Records that an earlier restore had published.
    pub known: i64,
    /// What offsets mean now.
    pub mapping: Vec<PartitionMapping>,
}

/// What a check has found to be whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files whose checksum fits, and whose content is what the manifest says.
    pub parts: u64,
    /// Records in them.
    pub records: i64,
    /// Their bytes, compressed.
    pub bytes: u64,
}

/// Reads every file of an archive and compares it with the manifest; nothing is restored. Blocks.
///
/// # Errors
/// The first file that is missing or damaged.
pub fn check(
    shelf: &Shelf,
    stop: &CancellationToken,
    show: &mut dyn FnMut(Progress),
) -> Result<Checked> {
    shelf.check_lengths()?;
    let mut checked = Checked::default();
    let total = shelf.manifest().parts.iter().map(|part| part.bytes).sum();
    for part in &shelf.manifest().parts {
        if stop.is_cancelled() {
            return Err(Error::Stopped);
        }
        let mut records = shelf.records(part)?;
        while records
            .next()
            .map_err(|it| shelf.damaged(part, &it))?
            .is_some()
        {
            checked.records += 1;
        }
        checked.parts += 1;
        checked.bytes += part.bytes;
        show(Progress {
            done: checked.bytes,
            total,
        });
    }
    Ok(checked)
}

/// Publishes what is in the archive into the cluster's empty topics, or goes on where an earlier restore of it
/// ended. Blocks. Progress is in records.
///
/// # Errors
/// What keeps it from going on. Whatever it is, the topics are set back as the platform wants them, and the same
/// call goes on from there.
pub fn restore(
    shelf: &Shelf,
    target: &Target,
    stop: &CancellationToken,
    show: &mut dyn FnMut(Progress),
) -> Result<Restored> {
    shelf.check_lengths()?;
    let wanted = target.wanted(shelf.manifest());
    let partitions = partitions(shelf, target, &wanted)?;
    for partition in &partitions {
        partition.prove(shelf, target)?;
    }
    let known = partitions.iter().map(|it| it.held).sum();
    let total: i64 = partitions.iter().map(|it| it.records).sum();
    let mut run = Run {
        shelf,
        stop,
        show,
        known,
        records: 0,
        total,
    };
    // Topics that have everything may be in use by now: nobody's time is touched then.
    let published = if known < total || known == 0 {
        let prepared = target.prepare(&wanted);
        prepared.and_then(|()| run.publish(target, &partitions))
    } else {
        Ok(0)
    };
    let set_back = target.set_back(&wanted);
    if let (Err(_), Err(error)) = (&published, &set_back) {
        tracing::error!("{error}");
    }
    let records = published?;
    set_back?;
    check_ends(target, &wanted, &partitions)?;
    Ok(Restored {
        records,
        known,
        mapping: mapping(shelf.manifest()),
    })
}

/// One partition to be restored.
struct Partition {
    archived: String,
    to: Arc<TopicPartition>,
    /// How many records the archive has for it.
    records: i64,
    /// How many of them are there.
    held: i64,
}

fn partitions(shelf: &Shelf, target: &Target, wanted: &[Wanted]) -> Result<Vec<Partition>> {
    let held = target.held(wanted)?;
    let each = wanted.iter().flat_map(|topic| {
        let held = &held;
        (0..).take(topic.partitions).map(move |partition| {
            let to = TopicPartition::new(&topic.name, partition);
            Partition {
                archived: topic.archived.clone(),
                records: shelf.manifest().records_of(&topic.archived, partition),
                held: held.get(&to).copied().unwrap_or(0),
                to: Arc::new(to),
            }
        })
    });
    Ok(each.collect())
}

impl Partition {
    /// Refuses what an earlier restore of this archive cannot have left there.
    fn prove(&self, shelf: &Shelf, target: &Target) -> Result<()> {
        if self.held == 0 {
            return Ok(());
        }
        if self.held > self.records {
            let (held, records) = (self.held, self.records);
            let found = format!("it ends at {held}, and the archive has {records} records for it");
            return Err(target.not_empty(&self.to, found));
        }
        for offset in [0, self.held - 1] {
            let found = target.record(&self.to, offset)?;
            if !is_same(&found, &self.archived(shelf, offset)?) {
                let found = format!("at {offset} lies another record than in the archive");
                return Err(target.not_empty(&self.to, found));
            }
        }
        Ok(())
    }

    /// The record of the archive that belongs at an offset.
    fn archived(&self, shelf: &Shelf, offset: i64) -> Result<Record> {
        let mut before = offset;
        for part in shelf.manifest().parts_of(&self.archived, self.to.partition) {
            if before >= part.records {
                before -= part.records;
                continue;
            }
            let mut records = shelf.records(part)?;
            while let Some(record) = records.next().map_err(|it| shelf.damaged(part, &it))? {
                if before == 0 {
                    return Ok(record);
                }
                before -= 1;
            }
        }
        let place = format!("{}:{}", self.archived, self.to.partition);
        Err(Error::NotWhole(format!("{place} has no record {offset}")))
    }
}

/// Whether a record is the one that was archived; where it lay is another matter.
fn is_same(found: &Record, archived: &Record) -> bool {
    let time = |record: &Record| record.timestamp_ms.unwrap_or(0).max(1);
    found.key == archived.key
        && found.value == archived.value
        && found.headers == archived.headers
        && time(found) == time(archived)
}

fn check_ends(target: &Target, wanted: &[Wanted], partitions: &[Partition]) -> Result<()> {
    let ends = target.ends(wanted)?;
    for partition in partitions {
        let found = ends.get(&*partition.to).copied().unwrap_or(0);
        if found != partition.records {
            return Err(Error::Length {
                topic: partition.to.topic.clone(),
                partition: partition.to.partition,
                found,
                expected: partition.records,
            });
        }
    }
    Ok(())
}

struct Run<'a> {
    shelf: &'a Shelf,
    stop: &'a CancellationToken,
    show: &'a mut dyn FnMut(Progress),
    known: i64,
    records: i64,
    total: i64,
}

impl Run<'_> {
    fn publish(&mut self, target: &Target, partitions: &[Partition]) -> Result<i64> {
        let writer = Writer::open(&target.settings, PATIENCE)?;
        self.shown();
        let outcome = partitions
            .iter()
            .try_for_each(|partition| self.partition(&writer, partition));
        // Whatever came of it: what is on its way must not arrive after the settings are set back.
        let flushed = writer.flush();
        outcome?;
        flushed?;
        Ok(self.records)
    }

    /// Publishes what is missing of a partition, part by part, each after its checksum was compared.
    fn partition(&mut self, writer: &Writer, of: &Partition) -> Result<()> {
        let shelf = self.shelf;
        let mut next = 0;
        for part in shelf.manifest().parts_of(&of.archived, of.to.partition) {
            if next + part.records <= of.held {
                next += part.records;
                continue;
            }
            let mut records = shelf.records(part)?;
            while let Some(record) = records.next().map_err(|it| shelf.damaged(part, &it))? {
                if next >= of.held {
                    if self.stop.is_cancelled() {
                        return Err(Error::Stopped);
                    }
                    writer.write(&of.to, next, &record)?;
                    self.records += 1;
                    crash::point(crash::WHILE_RESTORING);
                }
                next += 1;
            }
            // Once a part: what is shown as done is there, and a death costs no more than a part.
            writer.flush()?;
            self.shown();
        }
        Ok(())
    }

    fn shown(&mut self) {
        let count = |records: i64| u64::try_from(records).unwrap_or(0);
        (self.show)(Progress {
            done: count(self.known + self.records),
            total: count(self.total),
        });
    }
}
