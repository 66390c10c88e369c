//! One run of archiving: what is behind the last stable offset and not in the archive yet is copied, and no more.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use licenseflow_runtime::log::{TopicPartition, Watermarks};
use tokio_util::sync::CancellationToken;

use crate::manifest::{Holds, Topic};
use crate::part::PartBuilder;
use crate::shelf::Shelf;
use crate::source::Source;
use crate::{Error, Result};

mod cutter;
mod same_log;

use cutter::Cutter;
use same_log::prove_same_log;

/// What is to be archived.
#[derive(Debug, Clone)]
pub struct Job {
    /// The topics, by what they are for.
    pub topics: Vec<(Holds, String)>,
    /// A part ends when its records take so many bytes, uncompressed.
    pub part_bytes: usize,
}

/// How far a run is, in offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// So many were dealt with.
    pub done: u64,
    /// Of so many.
    pub total: u64,
}

/// What a run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Archived {
    /// Parts that were written.
    pub parts: u64,
    /// Records in them.
    pub records: u64,
    /// Their bytes, compressed.
    pub bytes: u64,
    /// Records with a header whose name is no UTF-8: the client cannot read such a header, and it is kept with a
    /// name of ours and without its value.
    pub unreadable_headers: u64,
}

/// Copies what is new. Blocks.
///
/// The lanes' ends are asked for first, then the schemas are copied, then the lanes up to those ends: so each
/// record's schema is there before it is.
///
/// # Errors
/// What keeps it from going on; all that was copied before stays, and the next run goes on from there.
pub fn archive(
    shelf: &mut Shelf,
    source: &dyn Source,
    job: &Job,
    stop: &CancellationToken,
    show: &mut dyn FnMut(Progress),
) -> Result<Archived> {
    let mut all = BTreeMap::new();
    let mut order = job.topics.clone();
    order.sort_by_key(|(holds, _)| *holds);
    // The lanes first: whatever schema their records have was registered before.
    for (holds, name) in order.iter().rev() {
        all.insert((*holds, name.clone()), ends_of(source, *holds, name)?);
    }
    prove_same_log(shelf, source, &all)?;
    shelf.change(|manifest| {
        manifest.topics = all
            .iter()
            .map(|((holds, name), ends)| Topic {
                name: name.clone(),
                holds: *holds,
                ends: ends.iter().map(|of| of.end).collect(),
            })
            .collect();
    });
    let mut run = Run {
        progress: Progress {
            done: 0,
            total: new_offsets(shelf, &all),
        },
        shelf,
        source,
        part_bytes: job.part_bytes,
        stop,
        show,
        archived: Archived::default(),
    };
    (run.show)(run.progress);
    // Schemas come before the lanes in the order of `Holds`.
    for ((holds, name), ends) in &all {
        for (partition, ends) in (0..).zip(ends) {
            run.partition(*holds, name, partition, *ends)?;
        }
    }
    run.shelf.name()?;
    Ok(run.archived)
}

fn ends_of(source: &dyn Source, holds: Holds, name: &str) -> Result<Vec<Watermarks>> {
    let unknown = match holds {
        Holds::Schemas => Error::NoSchemas(name.to_owned()),
        Holds::Interactive | Holds::Bulk => {
            licenseflow_runtime::log::Error::UnknownTopic(name.to_owned()).into()
        }
    };
    source.ends(name)?.ok_or(unknown)
}

type Ends = BTreeMap<(Holds, String), Vec<Watermarks>>;

fn next_of(shelf: &Shelf, topic: &str, partition: i32) -> Option<i64> {
    let last = shelf.manifest().parts_of(topic, partition).next_back();
    last.map(|part| part.to)
}

fn new_offsets(shelf: &Shelf, all: &Ends) -> u64 {
    let each = all.iter().flat_map(|((holds, name), ends)| {
        (0..).zip(ends).map(|(partition, of)| {
            let next = next_of(shelf, name, partition);
            match holds {
                Holds::Schemas if next == Some(of.end) => 0,
                Holds::Schemas => of.end - of.start,
                Holds::Interactive | Holds::Bulk => of.end - next.unwrap_or(of.start),
            }
        })
    });
    each.map(|count| u64::try_from(count).unwrap_or(0)).sum()
}

struct Run<'a> {
    shelf: &'a mut Shelf,
    source: &'a dyn Source,
    part_bytes: usize,
    stop: &'a CancellationToken,
    show: &'a mut dyn FnMut(Progress),
    progress: Progress,
    archived: Archived,
}

impl Run<'_> {
    fn partition(
        &mut self,
        holds: Holds,
        topic: &str,
        partition: i32,
        ends: Watermarks,
    ) -> Result<()> {
        let next = next_of(self.shelf, topic, partition);
        let (from, part_bytes) = match holds {
            Holds::Schemas if next == Some(ends.end) => return Ok(()),
            // Compaction changes what lies behind: all of it is copied anew, into one part.
            Holds::Schemas => (ends.start, usize::MAX),
            Holds::Interactive | Holds::Bulk => (next.unwrap_or(ends.start), self.part_bytes),
        };
        if from >= ends.end {
            return Ok(());
        }
        let of = TopicPartition::new(topic, partition);
        let mut cutter = Cutter {
            topic: Arc::from(topic),
            partition,
            end: ends.end,
            part_bytes,
            // What a run that died has left is cut at the same places, and so lies over it.
            unnamed: match holds {
                Holds::Schemas => BTreeMap::new(),
                Holds::Interactive | Holds::Bulk => self.shelf.unnamed(topic, partition, from)?,
            },
            open: None,
            holds,
        };
        cutter.begin(from)?;
        let source = self.source;
        source.read(&of, (from, ends.end), &mut |record| {
            if self.stop.is_cancelled() {
                return Err(Error::Stopped);
            }
            cutter.take(self, &record)
        })?;
        cutter.finish(self)
    }

    fn store(&mut self, holds: Holds, builder: PartBuilder, to: i64) -> Result<()> {
        let (part, content) = builder.finish(to).map_err(compressing)?;
        self.archived.parts += 1;
        self.archived.records += u64::try_from(part.records).unwrap_or(0);
        self.archived.bytes += part.bytes;
        let offsets = u64::try_from(part.to - part.from).unwrap_or(0);
        match holds {
            Holds::Schemas => self.shelf.replace(part, content)?,
            Holds::Interactive | Holds::Bulk => self.shelf.add(part, content)?,
        }
        self.progress.done += offsets;
        (self.show)(self.progress);
        Ok(())
    }
}

/// Memory that cannot be had is all that can go wrong there.
fn compressing(error: io::Error) -> Error {
    Error::Compressing(error)
}

#[cfg(test)]
mod tests;
