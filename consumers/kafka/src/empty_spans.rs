//! When a span in which nothing was found is believed to be empty.
//!
//! Just after a change of leader, the new one may for a moment show less than the old one had: its
//! high watermark lags until its followers fetch. A reading then finds the span empty, though records
//! lie in it. So it takes two readings, with time between them for followers to fetch, and between
//! which neither the place nor the end has moved. This holds no client, and is given the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use licenseflow_avro::Offset;

use crate::source::LanePartition;

/// Followers fetch twice a second or more often.
const APART: Duration = Duration::from_secs(1);

/// Offsets of which none gives a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) of: LanePartition,
    pub(crate) reading: u64,
    pub(crate) from: Offset,
    pub(crate) to: Offset,
}

/// The spans that one reading found empty, and when that reading was over.
#[derive(Debug, Default)]
pub(crate) struct EmptySpans {
    once: BTreeMap<LanePartition, (Passed, Instant)>,
}

impl EmptySpans {
    /// Keeps what still is as it was found: any other place, reading or end is another question.
    pub(crate) fn keep<'a>(&mut self, asked: impl Iterator<Item = &'a Passed>) {
        let asked: BTreeMap<LanePartition, &Passed> = asked.map(|span| (span.of, span)).collect();
        self.once
            .retain(|of, (span, _)| asked.get(of).is_some_and(|now| *now == span));
    }

    /// A reading found a record there.
    pub(crate) fn forget(&mut self, of: &LanePartition) {
        self.once.remove(of);
    }

    /// Whether a reading that begins now would say anything new.
    pub(crate) fn is_due(&self, span: &Passed, now: Instant) -> bool {
        let known = self.once.get(&span.of).filter(|(known, _)| known == span);
        known.is_none_or(|(_, over)| now.saturating_duration_since(*over) >= APART)
    }

    /// A reading from `begun` to `over` found the span empty: whether that is the second one.
    pub(crate) fn is_empty_again(&mut self, span: Passed, begun: Instant, over: Instant) -> bool {
        let known = self.once.get(&span.of).filter(|(known, _)| *known == span);
        match known {
            Some((_, before)) if begun.saturating_duration_since(*before) >= APART => {
                self.once.remove(&span.of);
                true
            }
            Some(_) => false,
            None => {
                self.once.insert(span.of, (span, over));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::Lane;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SPAN: Passed = Passed {
        of: (Lane::Bulk, 2),
        reading: 5,
        from: 10,
        to: 12,
    };

    #[test]
    fn a_span_is_passed_when_a_second_reading_a_second_later_finds_it_empty_too() {
        let (begun, mut empty) = (Instant::now(), EmptySpans::default());
        assert!(empty.is_due(&SPAN, begun));
        let over = begun + 50 * MS;
        assert!(!empty.is_empty_again(SPAN, begun, over));
        assert!(!empty.is_due(&SPAN, over + 999 * MS));
        assert!(!empty.is_empty_again(SPAN, over + 999 * MS, over + 1500 * MS));
        let later = over + APART;
        assert!(empty.is_due(&SPAN, later));
        assert!(empty.is_empty_again(SPAN, later, later + 50 * MS));
        // What was passed is no longer known: the next one begins anew.
        assert!(!empty.is_empty_again(SPAN, later + APART, later + APART));
    }

    #[test]
    fn another_place_reading_or_end_is_another_question() {
        let others = [
            Passed { reading: 6, ..SPAN },
            Passed { from: 11, ..SPAN },
            Passed { to: 13, ..SPAN },
        ];
        for other in others {
            let (begun, mut empty) = (Instant::now(), EmptySpans::default());
            assert!(!empty.is_empty_again(SPAN, begun, begun));
            assert!(empty.is_due(&other, begun));
            assert!(
                !empty.is_empty_again(other, begun + APART, begun + APART),
                "{other:?}"
            );
            assert!(empty.is_empty_again(other, begun + 2 * APART, begun + 2 * APART));
        }
    }

    #[test]
    fn a_record_in_between_or_a_question_left_out_begins_anew() {
        let (begun, mut empty) = (Instant::now(), EmptySpans::default());
        assert!(!empty.is_empty_again(SPAN, begun, begun));
        empty.keep([SPAN].iter());
        assert!(empty.is_empty_again(SPAN, begun + APART, begun + APART));
        assert!(!empty.is_empty_again(SPAN, begun, begun));
        empty.keep([Passed { to: 13, ..SPAN }].iter());
        assert!(!empty.is_empty_again(SPAN, begun + APART, begun + APART));
        empty.keep([].iter());
        assert!(!empty.is_empty_again(SPAN, begun + 3 * APART, begun + 3 * APART));
        empty.forget(&SPAN.of);
        assert!(!empty.is_empty_again(SPAN, begun + 5 * APART, begun + 5 * APART));
    }
}
