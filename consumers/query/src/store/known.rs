//! Where this process knows the model to stand: the newest that any answer was read at, and whether
//! anything was committed since. What was read there is read there again the same, so it decides what may
//! be told without asking.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderValue;
use licenseflow_store::lookup::Freshness;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long something is kept where each commit is told of. Bounded, since a word may be lost.
const TOLD_MAX: Duration = Duration::from_secs(1);

/// The same where another process writes and says nothing: as long as an answer may be behind.
const UNTOLD_MAX: Duration = Duration::from_millis(100);

pub(super) struct Known {
    standing: Mutex<Standing>,
    /// Changes when something was committed.
    told: Option<watch::Receiver<u64>>,
}

struct Standing {
    freshness: Freshness,
    version: u64,
    changed_at: Instant,
    seen_at: Option<Instant>,
    /// The position as a header's value, once it was said.
    text: Option<HeaderValue>,
}

/// What is known at a moment: what was read at one is good as long as it is the same. The newer is the
/// greater; both numbers only ever grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    version: u64,
    told: u64,
}

impl Tag {
    /// Whether no commit was told of between them.
    pub(super) fn is_told_as(self, before: Tag) -> bool {
        self.told == before.told
    }

    /// Whether the same was read to be the newest.
    pub(super) fn is_read_as(self, before: Tag) -> bool {
        self.version == before.version
    }
}

/// How what was read stands to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Same,
    Newer,
    Older,
}

impl Known {
    pub(super) fn new(told: Option<watch::Receiver<u64>>, now: Instant) -> Self {
        let standing = Standing {
            freshness: Freshness::default(),
            version: 0,
            changed_at: now,
            seen_at: None,
            text: None,
        };
        Self {
            standing: Mutex::new(standing),
            told,
        }
    }

    /// What is known now, and where the model then stands.
    pub(super) fn now(&self) -> (Tag, Freshness) {
        // In this order: a commit that is told of between them is one too many, never one too few.
        let told = self.told();
        let standing = self.standing();
        let version = standing.version;
        (Tag { version, told }, standing.freshness.clone())
    }

    fn told(&self) -> u64 {
        self.told.as_ref().map_or(0, |told| *told.borrow())
    }

    /// How long what was read is kept.
    pub(super) fn keeps_for(&self) -> Duration {
        match &self.told {
            Some(told) if told.has_changed().is_ok() => TOLD_MAX,
            // One that told and has ended tells nothing either.
            Some(_) | None => UNTOLD_MAX,
        }
    }

    /// The newest that is known, and when it was last seen.
    pub(super) fn freshness(&self) -> Option<(Freshness, Instant)> {
        let standing = self.standing();
        let seen_at = standing.seen_at?;
        Some((standing.freshness.clone(), seen_at))
    }

    /// A position as a header's value: most answers are read at the newest, whose text is at hand.
    pub(super) fn position_text(&self, of: &Freshness) -> HeaderValue {
        let text = || {
            let text = HeaderValue::from_str(&of.position().to_string());
            // Letters, digits, colons and commas always are a header's value.
            text.unwrap_or_else(|_| HeaderValue::from_static(""))
        };
        let mut standing = self.standing();
        match stands(of, &standing.freshness) {
            Stands::Same => standing.text.get_or_insert_with(text).clone(),
            Stands::Newer | Stands::Older => text(),
        }
    }

    /// Learns from what was read by a question that was asked then. What is known now, where that was
    /// read at the newest that is known.
    pub(super) fn saw(&self, read: &Freshness, asked_at: Instant, now: Instant) -> Option<Tag> {
        let told = self.told();
        let mut standing = self.standing();
        match stands(read, &standing.freshness) {
            Stands::Same => {
                standing.seen_at = Some(now);
                note_ends(&mut standing.freshness, read);
            }
            // Asked after the newest was known, and still older: the store itself has gone back.
            Stands::Older if asked_at <= standing.changed_at => return None,
            Stands::Newer | Stands::Older => {
                *standing = Standing {
                    freshness: read.clone(),
                    version: standing.version + 1,
                    changed_at: now,
                    seen_at: Some(now),
                    text: None,
                };
            }
        }
        let version = standing.version;
        Some(Tag { version, told })
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // No change can end in the middle.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stands(read: &Freshness, known: &Freshness) -> Stands {
    if read.generation != known.generation {
        // None is switched to that is behind, neither there nor back.
        let is_further = read.position().covers(&known.position());
        return match is_further || read.generation > known.generation {
            true => Stands::Newer,
            false => Stands::Older,
        };
    }
    let both = || read.partitions.iter().zip(&known.partitions);
    let are_same = read.partitions.len() == known.partitions.len()
        && both().all(|(read, known)| (read.lane, read.partition) == (known.lane, known.partition));
    if !are_same {
        return match read.position().covers(&known.position()) {
            true => Stands::Newer,
            false => Stands::Older,
        };
    }
    if both().any(|(read, known)| read.next_offset < known.next_offset) {
        Stands::Older
    } else if both().any(|(read, known)| read.next_offset > known.next_offset) {
        Stands::Newer
    } else {
        Stands::Same
    }
}

/// Takes over when ends were seen last: that changes without a new position.
fn note_ends(known: &mut Freshness, read: &Freshness) {
    for (known, read) in known.partitions.iter_mut().zip(&read.partitions) {
        if read.caught_up_at > known.caught_up_at || read.end_offset > known.end_offset {
            *known = *read;
        }
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_core::contract::Lane;
    use licenseflow_store::lookup::PartitionFreshness;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(offsets: &[i64], caught_up_at: i64) -> Freshness {
        let partitions = (0..)
            .zip(offsets)
            .map(|(partition, next_offset)| PartitionFreshness {
                lane: Lane::Interactive,
                partition,
                next_offset: *next_offset,
                end_offset: None,
                caught_up_at: Some(caught_up_at),
                last_timestamp: None,
            });
        Freshness {
            generation: 1,
            partitions: partitions.collect(),
            ..Freshness::default()
        }
    }

    #[test]
    fn a_newer_position_a_new_partition_and_a_commit_each_end_what_was_known() {
        let start = Instant::now();
        let (commit, told) = watch::channel(0);
        let known = Known::new(Some(told), start);
        let mut tags = vec![known.now().0];
        for newer in [at(&[1, 1], 1), at(&[1, 2], 1), at(&[1, 2, 0], 1)] {
            assert!(known.saw(&newer, start, start).is_some());
            tags.push(known.now().0);
        }
        commit.send_replace(1);
        tags.push(known.now().0);
        for (place, tag) in tags.iter().enumerate() {
            assert!(!tags[..place].contains(tag), "{tags:?}");
        }
        let tag = known.now().0;
        assert!(
            known
                .saw(&at(&[1, 2, 0], 9), start, start + SECOND)
                .is_some()
        );
        assert_eq!(known.now().0, tag, "an end that was seen moves nothing");
        let (freshness, seen_at) = known.freshness().unwrap();
        assert_eq!(freshness, at(&[1, 2, 0], 9));
        assert_eq!(seen_at, start + SECOND);
    }

    #[test]
    fn what_was_asked_before_and_came_after_is_not_the_newest() {
        let start = Instant::now();
        let known = Known::new(None, start);
        assert!(known.saw(&at(&[2], 1), start, start + SECOND).is_some());
        let tag = known.now().0;
        assert_eq!(known.saw(&at(&[1], 1), start, start + 2 * SECOND), None);
        assert_eq!(known.now().0, tag);
        // But where a later question reads it, the store was put back.
        assert!(
            known
                .saw(&at(&[1], 1), start + 2 * SECOND, start + 3 * SECOND)
                .is_some()
        );
        assert_ne!(known.now().0, tag);
    }

    #[test]
    fn who_is_told_of_each_commit_keeps_longer() {
        let (commit, told) = watch::channel(0);
        let known = Known::new(Some(told), Instant::now());
        assert_eq!(known.keeps_for(), TOLD_MAX);
        commit.send_replace(1);
        assert_eq!(known.keeps_for(), TOLD_MAX);
        drop(commit);
        assert_eq!(known.keeps_for(), UNTOLD_MAX);
    }
}
