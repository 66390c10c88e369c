//! What offsets mean after a restore.
//!
//! In a restored partition there are records alone, one after the other from 0. In the old one there may have
//! been gaps: markers of transactions, records of aborted ones, records that were deleted. Up to the first gap
//! an offset is what it was; behind it, it is less by the number of gaps before it.

use crate::manifest::{Holds, Manifest};

/// One partition, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMapping {
    /// What its topic is for.
    pub holds: Holds,
    /// The partition.
    pub partition: i32,
    /// The next offset to read, of the old partition, behind all that was archived.
    pub archived_next: i64,
    /// The same of the restored one: how many records it has.
    pub restored_next: i64,
    /// Below this, an offset is the same in both.
    pub same_below: i64,
}

/// All partitions of an archive in which anything is.
#[must_use]
pub fn mapping(manifest: &Manifest) -> Vec<PartitionMapping> {
    let mut all = Vec::new();
    for topic in &manifest.topics {
        for partition in (0..).take(topic.ends.len()) {
            let (mut archived_next, mut restored_next, mut same_below) = (0, 0, 0);
            for part in manifest.parts_of(&topic.name, partition) {
                if part.from == same_below {
                    same_below = part.unbroken_to;
                }
                archived_next = part.to;
                restored_next += part.records;
            }
            if archived_next > 0 {
                all.push(PartitionMapping {
                    holds: topic.holds,
                    partition,
                    archived_next,
                    restored_next,
                    same_below,
                });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{self, Part, Topic};

    fn part(from: i64, to: i64, records: i64, unbroken_to: i64) -> Part {
        Part {
            topic: "t".to_owned(),
            partition: 1,
            from,
            to,
            records,
            unbroken_to,
            bytes: 1,
            last_timestamp_ms: None,
            sha256: String::new(),
            file: manifest::name("t", 1, from, to),
        }
    }

    fn mapped(parts: &[Part]) -> Vec<(i64, i64, i64)> {
        let topic = Topic {
            name: "t".to_owned(),
            holds: Holds::Bulk,
            ends: vec![0, 9],
        };
        let manifest = Manifest {
            topics: vec![topic],
            parts: parts.to_vec(),
            ..Manifest::new("c", "")
        };
        let each = mapping(&manifest).into_iter();
        each.map(|it| (it.archived_next, it.restored_next, it.same_below))
            .collect()
    }

    #[test]
    fn offsets_are_the_same_up_to_the_first_gap() {
        let whole = [part(0, 5, 5, 5), part(5, 9, 4, 9)];
        assert_eq!(mapped(&whole), [(9, 9, 9)]);
        let gap_in_the_first = [part(0, 5, 4, 2), part(5, 9, 4, 9)];
        assert_eq!(mapped(&gap_in_the_first), [(9, 8, 2)]);
        let gap_in_the_second = [part(0, 5, 5, 5), part(5, 9, 3, 8)];
        assert_eq!(mapped(&gap_in_the_second), [(9, 8, 8)]);
        let begun_later = [part(3, 5, 2, 5)];
        assert_eq!(mapped(&begun_later), [(5, 2, 0)]);
        assert_eq!(mapped(&[]), []);
    }
}
