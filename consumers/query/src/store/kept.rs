//! What was read a moment ago, within a bound of bytes, for as long as it would be read again the same.
//!
//! All of it was read at one position, so a newer one empties it at once; within a position, what is the
//! oldest goes first.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::known::Tag;
use crate::metrics;

/// What a kept answer takes beside itself and its key, in bytes, about.
const ENTRY_BYTES: usize = 256;

/// The part of the whole that one answer may have.
const PART_MAX: usize = 8;

/// As many old places may stand in the order beside two for each answer.
const PLACES_SPARE: usize = 16;

/// A question, of whichever kind, with everything that its answer depends on but time and position.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) of: String,
}

/// An answer of any type.
pub(super) type Value = Arc<dyn Any + Send + Sync>;

/// Whether an answer may be told again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It may change by itself, and it does not show when.
    No,
    /// As long as the position stays; so many bytes.
    ThisPosition(usize),
    /// In this time too, in microseconds UTC: outside of it, it is another.
    During(Range<i64>, usize),
}

impl Keep {
    /// Whether it holds at this time, in microseconds UTC.
    pub(super) fn holds_at(&self, at: i64) -> bool {
        match self {
            Keep::No => false,
            Keep::ThisPosition(_) => true,
            Keep::During(times, _) => times.contains(&at),
        }
    }

    fn bytes(&self) -> Option<usize> {
        match self {
            Keep::No => None,
            Keep::ThisPosition(bytes) | Keep::During(_, bytes) => Some(*bytes),
        }
    }
}

pub(super) struct Kept {
    bytes_max: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    tag: Option<Tag>,
    answers: HashMap<Arc<Key>, Entry>,
    /// The oldest first; an answer that was replaced stands there under its old number too.
    order: VecDeque<(Arc<Key>, u64)>,
    number: u64,
    bytes: usize,
}

struct Entry {
    value: Value,
    keep: Keep,
    bytes: usize,
    read_at: Instant,
    number: u64,
}

impl Kept {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            shelf: Mutex::default(),
        }
    }

    /// What was read of this question no longer ago than `age_max` and holds at this time.
    pub(super) fn get(
        &self,
        key: &Key,
        tag: Tag,
        age_max: Duration,
        (now, at): (Instant, i64),
    ) -> Option<Value> {
        let shelf = self.shelf();
        let entry = shelf.answers.get(key).filter(|_| shelf.tag == Some(tag))?;
        let is_young = now.saturating_duration_since(entry.read_at) < age_max;
        (is_young && entry.keep.holds_at(at)).then(|| Arc::clone(&entry.value))
    }

    /// Keeps what was read at this tag. What is older than what is kept came too late for that.
    pub(super) fn put(&self, key: Arc<Key>, value: Value, keep: Keep, (tag, now): (Tag, Instant)) {
        let Some(bytes) = keep.bytes() else { return };
        let bytes = bytes + key.of.len() + ENTRY_BYTES;
        if bytes > self.bytes_max / PART_MAX {
            return;
        }
        let mut shelf = self.shelf();
        if shelf.tag > Some(tag) {
            return;
        }
        let mut before = None;
        if shelf.tag != Some(tag) {
            let emptied = Shelf {
                tag: Some(tag),
                ..Shelf::default()
            };
            before = Some(std::mem::replace(&mut *shelf, emptied));
        }
        while shelf.bytes + bytes > self.bytes_max && shelf.drop_oldest() {}
        shelf.number += 1;
        let number = shelf.number;
        shelf.order.push_back((Arc::clone(&key), number));
        let entry = Entry {
            value,
            keep,
            bytes,
            read_at: now,
            number,
        };
        shelf.bytes += bytes;
        if let Some(replaced) = shelf.answers.insert(key, entry) {
            shelf.bytes -= replaced.bytes;
            shelf.tidy();
        }
        metrics::kept(shelf.bytes);
        drop(shelf);
        // Much may be given back here, and nobody should wait for that.
        drop(before);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // No change can end in the middle.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// False where there is nothing left.
    fn drop_oldest(&mut self) -> bool {
        let Some((key, number)) = self.order.pop_front() else {
            return false;
        };
        if self.answers.get(&key).is_some_and(|it| it.number == number)
            && let Some(dropped) = self.answers.remove(&key)
        {
            self.bytes -= dropped.bytes;
        }
        true
    }

    /// Forgets the old places of answers that were replaced, when there are so many that it pays.
    fn tidy(&mut self) {
        if self.order.len() <= 2 * self.answers.len() + PLACES_SPARE {
            return;
        }
        let answers = &self.answers;
        self.order
            .retain(|(key, number)| answers.get(key).is_some_and(|it| it.number == *number));
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_store::lookup::Freshness;

    use super::super::known::Known;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(of: &str) -> Arc<Key> {
        Arc::new(Key {
            name: "license",
            of: of.to_owned(),
        })
    }

    fn tags() -> [Tag; 2] {
        let now = Instant::now();
        let known = Known::new(None, now);
        let before = known.now().0;
        let freshness = Freshness {
            generation: 1,
            ..Freshness::default()
        };
        [before, known.saw(&freshness, now, now).unwrap()]
    }

    fn is_there(kept: &Kept, of: &str, tag: Tag, when: (Instant, i64)) -> bool {
        kept.get(&key(of), tag, SECOND, when).is_some()
    }

    #[test]
    fn an_answer_is_told_again_at_its_position_within_its_time_and_while_it_is_young() {
        let ([tag, newer], now) = (tags(), Instant::now());
        let kept = Kept::new(1 << 20);
        kept.put(key("a"), Arc::new(1), Keep::ThisPosition(9), (tag, now));
        kept.put(key("b"), Arc::new(2), Keep::During(5..10, 9), (tag, now));
        kept.put(key("c"), Arc::new(3), Keep::No, (tag, now));
        for (of, at, expected) in [
            ("a", 0, true),
            ("a", 99, true),
            ("b", 4, false),
            ("b", 5, true),
            ("b", 9, true),
            ("b", 10, false),
            ("c", 5, false),
            ("d", 5, false),
        ] {
            assert_eq!(is_there(&kept, of, tag, (now, at)), expected, "{of} {at}");
        }
        assert!(!is_there(&kept, "a", tag, (now + SECOND, 0)));
        assert!(!is_there(&kept, "a", newer, (now, 0)));
        kept.put(key("d"), Arc::new(4), Keep::ThisPosition(9), (newer, now));
        assert!(
            !is_there(&kept, "a", tag, (now, 0)),
            "it went with its position"
        );
        assert!(is_there(&kept, "d", newer, (now, 0)));
    }

    #[test]
    fn what_was_read_before_and_came_after_leaves_the_newer_ones_alone() {
        let ([before, newer], now) = (tags(), Instant::now());
        let kept = Kept::new(1 << 20);
        kept.put(key("a"), Arc::new(1), Keep::ThisPosition(9), (newer, now));
        kept.put(key("b"), Arc::new(2), Keep::ThisPosition(9), (before, now));
        assert!(is_there(&kept, "a", newer, (now, 0)), "it was emptied");
        assert!(!is_there(&kept, "b", newer, (now, 0)));
        assert!(!is_there(&kept, "b", before, (now, 0)));
    }

    #[test]
    fn one_that_is_read_again_and_again_leaves_nothing_behind() {
        let ([tag, _], now) = (tags(), Instant::now());
        let kept = Kept::new(1 << 20);
        for number in 0..100_000 {
            let of = ["a", "b", "c"][number % 3];
            kept.put(key(of), Arc::new(number), Keep::ThisPosition(9), (tag, now));
        }
        let shelf = kept.shelf();
        assert_eq!(shelf.answers.len(), 3);
        let most = 2 * shelf.answers.len() + PLACES_SPARE;
        assert!(shelf.order.len() <= most, "{}", shelf.order.len());
    }

    #[test]
    fn the_bytes_are_bounded_and_the_oldest_goes_first() {
        let ([tag, _], now) = (tags(), Instant::now());
        let room = 10 * (1000 + 1 + ENTRY_BYTES);
        let kept = Kept::new(room);
        let put = |of: &str, bytes: usize| {
            kept.put(key(of), Arc::new(0), Keep::ThisPosition(bytes), (tag, now));
        };
        for of in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] {
            put(of, 1000);
        }
        put("0", 1000);
        assert!(kept.shelf().bytes <= room);
        assert!(is_there(&kept, "0", tag, (now, 0)), "it was read again");
        put("x", 1000);
        assert!(!is_there(&kept, "1", tag, (now, 0)), "the oldest made room");
        for number in 0..10_000 {
            put(&format!("{}", number % 37), 100 + number % 900);
            assert!(kept.shelf().bytes <= room);
        }
        let shelf = kept.shelf();
        let sum: usize = shelf.answers.values().map(|it| it.bytes).sum();
        assert_eq!(sum, shelf.bytes);
        assert!(shelf.order.len() < 200, "{}", shelf.order.len());
        drop(shelf);
        put("large", room / PART_MAX);
        assert!(!is_there(&kept, "large", tag, (now, 0)), "one is not all");
    }
}
