//! How far generations are, for whoever asks.

use licenseflow_avro::{Lane, Offset, PartitionId, Position};

use crate::Error;
use crate::generations::{Generation, Generations, Made, Number};

/// Where a partition of a generation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// Where it began.
    pub begin: Offset,
    /// The next offset to read.
    pub next_offset: Offset,
    /// Its end, as far as any generation has seen it.
    pub end_offset: Option<Offset>,
}

/// A generation and where it stands.
#[derive(Debug, Clone)]
pub struct Progress {
    /// What the book says of it.
    pub generation: Generation,
    /// Whether readers see it.
    pub is_live: bool,
    /// Where it stands; none: nothing is stored of it yet.
    pub standing: Option<Standing>,
}

/// Where a generation stands.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Its position.
    pub position: Position,
    /// Each of its partitions.
    pub partitions: Vec<Partition>,
}

impl Standing {
    /// How many offsets it is behind the ends that are known.
    #[must_use]
    pub fn behind(&self) -> i64 {
        let each = self.partitions.iter();
        each.map(|it| (it.end_offset.unwrap_or(0) - it.next_offset).max(0))
            .sum()
    }

    /// How many offsets it has gone through since it began.
    #[must_use]
    pub fn done(&self) -> i64 {
        let each = self.partitions.iter();
        each.map(|it| (it.next_offset - it.begin).max(0)).sum()
    }
}

/// All generations, and where they stand; the live one first.
///
/// # Errors
/// [`Error::Away`] and [`Error::Broken`] where the book cannot be read.
pub fn replays(generations: &dyn Generations) -> Result<Vec<Progress>, Error> {
    let book = generations.book()?;
    let mut all: Vec<Progress> = book
        .generations
        .iter()
        .map(|generation| Progress {
            generation: generation.clone(),
            is_live: generation.number == book.live,
            // One that is only begun has no place yet.
            standing: standing(generations, generation.number, generation).ok(),
        })
        .collect();
    all.sort_by_key(|it| (!it.is_live, it.generation.number));
    Ok(all)
}

fn standing(
    generations: &dyn Generations,
    number: Number,
    generation: &Generation,
) -> Result<Standing, Error> {
    let freshness = generations.lookup(number, 1)?.freshness()?;
    let begin = |lane, partition| match &generation.of {
        Made::Whole => 0,
        Made::Part { begin } => begin.get(lane, partition).unwrap_or(0),
    };
    let partitions = freshness.partitions.iter().map(|it| Partition {
        lane: it.lane,
        partition: it.partition,
        begin: begin(it.lane, it.partition),
        next_offset: it.next_offset,
        end_offset: it.end_offset,
    });
    Ok(Standing {
        position: freshness.position(),
        partitions: partitions.collect(),
    })
}
