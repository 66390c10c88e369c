//! Which partition's offset is out of range, and what an operator is told of it.
//!
//! librdkafka does not say of which partition the offset was, so the brokers are asked for the ends of
//! all, after the error came. This holds no client.

use std::collections::BTreeMap;

use licenseflow_avro::Offset;
use licenseflow_runtime::log::{TopicPartition, Watermarks};

use crate::source::LanePartition;

/// The question, from the error to the answer.
#[derive(Debug, Default)]
pub(crate) struct RangeQuestion {
    /// An offset was out of range: the next answer says of which partition.
    is_open: bool,
    /// The brokers were asked after the error came.
    is_asked: bool,
}

impl RangeQuestion {
    /// An offset was out of range.
    pub(crate) fn open(&mut self) {
        self.is_open = true;
    }

    /// The brokers are asked for all ends.
    pub(crate) fn ask(&mut self) {
        self.is_asked = self.is_open;
    }

    /// The brokers answered, or did not: whether that answers the question.
    pub(crate) fn is_answered(&mut self, is_whole: bool) -> bool {
        let is_answered = self.is_asked && is_whole;
        if is_answered {
            *self = RangeQuestion::default();
        }
        is_answered
    }
}

/// Those of the places that are out of range.
pub(crate) fn out_of_range(
    places: &BTreeMap<LanePartition, Offset>,
    spans: &BTreeMap<LanePartition, Watermarks>,
) -> Vec<LanePartition> {
    let is_out = |of: &LanePartition, next: Offset| {
        let span = spans.get(of);
        span.is_some_and(|span| next < span.start || next > span.end)
    };
    let each = places.iter();
    each.filter(|(of, next)| is_out(of, **next))
        .map(|(of, _)| *of)
        .collect()
}

/// What an operator reads at night.
pub(crate) fn reason(name: &TopicPartition, next: Offset, span: Watermarks) -> String {
    let TopicPartition { topic, partition } = name;
    let (start, end) = (span.start, span.end);
    let what = if next < start {
        format!("the records from {next} to {start} are gone")
    } else {
        format!("it ends at {end}, before {next}: the log was cut short or the topic was made anew")
    };
    format!(
        "{topic} partition {partition} cannot be read at {next}: {what}; bring the records back, or build a new read model \
         from what is left: licenseflow replay"
    )
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::Lane;

    use super::*;

    fn of(partition: i32) -> LanePartition {
        (Lane::Bulk, partition)
    }

    #[test]
    fn a_place_before_the_start_or_behind_the_end_is_out_of_range_and_the_end_itself_is_not() {
        let places = [(of(0), 4), (of(1), 5), (of(2), 9), (of(3), 10), (of(4), 0)].into();
        let span = Watermarks { start: 5, end: 9 };
        let spans = (0..4).map(|partition| (of(partition), span)).collect();
        assert_eq!(out_of_range(&places, &spans), [of(0), of(3)]);
    }

    #[test]
    fn only_an_answer_to_what_was_asked_after_the_error_counts() {
        let mut question = RangeQuestion::default();
        question.ask();
        question.open();
        assert!(!question.is_answered(true), "it was asked before");
        question.ask();
        assert!(!question.is_answered(false), "the brokers were away");
        question.ask();
        assert!(question.is_answered(true));
        question.ask();
        assert!(!question.is_answered(true));
    }
}
