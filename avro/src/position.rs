//! A position: for each topic and partition the next offset to read.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::topics::Lane;

/// An offset in a partition.
pub type Offset = i64;

/// The number of a partition.
pub type PartitionId = i32;

/// For each lane and partition the next offset to read, such as `e:0:1042,e:7:3,b:2:9`.
///
/// It counts offsets, not records: it passes transaction markers and aborted records. Partitions
/// that it leaves out are not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    next: BTreeMap<(Lane, PartitionId), Offset>,
}

impl Position {
    /// The next offset to read of one partition, if it is named.
    #[must_use]
    pub fn get(&self, lane: Lane, partition: PartitionId) -> Option<Offset> {
        self.next.get(&(lane, partition)).copied()
    }

    /// Sets the next offset to read of one partition.
    pub fn set(&mut self, lane: Lane, partition: PartitionId, next_offset: Offset) {
        self.next.insert((lane, partition), next_offset);
    }

    /// Raises one partition's next offset to at least `next_offset`.
    pub fn raise(&mut self, lane: Lane, partition: PartitionId, next_offset: Offset) {
        let known = self.next.entry((lane, partition)).or_insert(next_offset);
        *known = (*known).max(next_offset);
    }

    /// Raises every partition that `other` names to at least where that one stands.
    pub fn raise_to(&mut self, other: &Position) {
        for (lane, partition, next_offset) in other.iter() {
            self.raise(lane, partition, next_offset);
        }
    }

    /// Whether everything that `asked` names has been read here.
    #[must_use]
    pub fn covers(&self, asked: &Position) -> bool {
        asked.iter().all(|(lane, partition, next_offset)| {
            next_offset <= self.get(lane, partition).unwrap_or(0)
        })
    }

    /// Each partition that is named.
    pub fn iter(&self) -> impl Iterator<Item = (Lane, PartitionId, Offset)> + '_ {
        self.next
            .iter()
            .map(|((lane, partition), next_offset)| (*lane, *partition, *next_offset))
    }

    /// Whether no partition is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }
}

impl FromIterator<(Lane, PartitionId, Offset)> for Position {
    fn from_iter<I: IntoIterator<Item = (Lane, PartitionId, Offset)>>(items: I) -> Self {
        let mut position = Position::default();
        for (lane, partition, next_offset) in items {
            position.set(lane, partition, next_offset);
        }
        position
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for lane in [Lane::Interactive, Lane::Bulk] {
            for (_, partition, next_offset) in self.iter().filter(|(of, _, _)| *of == lane) {
                write!(f, "{separator}{}:{partition}:{next_offset}", lane.letter())?;
                separator = ",";
            }
        }
        Ok(())
    }
}

/// Why a text is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{part}` is not a position's part: expected topic-letter:partition:offset, such as e:0:1042"
)]
pub struct ParseError {
    /// The part that was not understood.
    pub part: String,
}

impl FromStr for Position {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut position = Position::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let parsed = parse_part(part).ok_or_else(|| ParseError {
                part: part.to_owned(),
            })?;
            position.raise(parsed.0, parsed.1, parsed.2);
        }
        Ok(position)
    }
}

fn parse_part(part: &str) -> Option<(Lane, PartitionId, Offset)> {
    let mut fields = part.split(':');
    let (letter, partition, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let mut letters = letter.chars();
    let lane = Lane::from_letter(letters.next()?)?;
    if letters.next().is_some() || fields.next().is_some() {
        return None;
    }
    let partition = partition.parse().ok().filter(|number: &i32| *number >= 0)?;
    let offset = offset.parse().ok().filter(|number: &i64| *number >= 0)?;
    Some((lane, partition, offset))
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_as_it_was_written() {
        let text = "e:0:1042,e:7:3,b:2:9";
        let position: Position = text.parse().unwrap();
        assert_eq!(position.to_string(), text);
        assert_eq!(position.get(Lane::Bulk, 2), Some(9));
    }

    #[test]
    fn it_is_raised_to_another_and_never_lowered() {
        let mut position: Position = "e:0:5,e:1:7".parse().unwrap();
        position.raise_to(&"e:0:9,e:1:2,b:3:1".parse().unwrap());
        assert_eq!(position.to_string(), "e:0:9,e:1:7,b:3:1");
    }

    #[test]
    fn partitions_left_out_are_not_asked_for() {
        let here: Position = "e:0:5,e:1:7".parse().unwrap();
        assert!(here.covers(&"e:0:5".parse().unwrap()));
        assert!(here.covers(&"b:3:0".parse().unwrap()));
        assert!(!here.covers(&"e:0:6".parse().unwrap()));
        assert!(!here.covers(&"b:3:1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_position_is_named() {
        for text in ["e", "e:0", "x:0:1", "e:-1:0", "e:0:1:2", "ee:0:1", "e:0:-1"] {
            assert_eq!(text.parse::<Position>().unwrap_err().part, text);
        }
    }
}
