//! A letter to the dead-letter topic, by value: the original's key, value and headers, and why.
//!
//! It owns the names and forms of all headers that a letter adds: ours as text, Spring's in Spring's
//! own binary forms, so that a team with Spring reads our letters with the tools it has. It must not
//! know how letters are sent.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use licenseflow_avro::record::{Header, headers_size};
use licenseflow_avro::topics::MAX_RECORD_BYTES;
use licenseflow_avro::{Coordinates, RawRecord, Reason, Topics, headers};

use crate::Result;

/// A record that was given up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// As it lay in its lane; without its value where that is too large.
    pub record: RawRecord,
    /// Why.
    pub reason: Reason,
    /// In words, for `x-error`.
    pub error: String,
}

/// A record that waits for another try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// As it lay when it was tried last; its coordinates are those of the first try.
    pub record: RawRecord,
    /// Why it waits.
    pub reason: Reason,
    /// In words, for `x-error`.
    pub error: String,
    /// How often it was tried.
    pub attempt: u32,
    /// When it is tried again, in milliseconds UTC.
    pub due: i64,
    /// Where it goes.
    pub to: RetryTo,
}

/// Where a record that waits goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryTo {
    /// To the retry topic, as a copy for others to see.
    Topic,
    /// Back into its lane, as it is due.
    Lane,
}

/// What became of a letter that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// All brokers that must have it, have it.
    Acknowledged,
    /// The brokers do not take this letter, and do take others. Why, in words.
    Refused(String),
    /// Nothing is known of it: it may have been written. What is known, in words, holds for others too.
    Unanswered(String),
}

impl Delivery {
    /// A short stable word for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Delivery::Acknowledged => "acknowledged",
            Delivery::Refused(_) => "refused",
            Delivery::Unanswered(_) => "unanswered",
        }
    }
}

/// The originals of letters, as far as there was room for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Originals {
    /// What was read.
    pub found: HashMap<Coordinates, RawRecord>,
    /// What was not looked for, and is to be asked for again. What is in neither is gone.
    pub left: HashSet<Coordinates>,
}

/// Where letters go, and where the original of one is read that the store did not keep.
pub trait Letters: Send {
    /// The records at these coordinates, as far as they are still there, until they come to
    /// `bytes_max`: the record that reaches it is the last, and there is always one where there is any.
    /// Asked for together, because they lie near each other and each question of its own costs a round
    /// to the brokers.
    ///
    /// # Errors
    /// The brokers are away.
    fn originals(&mut self, at: &[Coordinates], bytes_max: usize) -> Result<Originals>;

    /// Sends letters and waits until the brokers have answered for all of them, `within` at most.
    /// Gives what became of each, in their order.
    ///
    /// # Errors
    /// None was sent.
    fn send(&mut self, letters: &[DeadLetter], within: Duration) -> Result<Vec<Delivery>>;

    /// The same for records that wait, each to where it goes.
    ///
    /// # Errors
    /// None was sent.
    fn retry(&mut self, retries: &[Retry], within: Duration) -> Result<Vec<Delivery>>;
}

/// More than these bytes of headers of the original's own would not fit the topic; they stay in the
/// lane, as the value of such a record does.
pub const KEPT_HEADERS_BYTES_MAX: usize = 3 << 20;

/// The lanes' timestamps are the brokers'.
const TIMESTAMP_TYPE: &str = "LogAppendTime";

/// A letter as a record of the dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterRecord<'a> {
    /// The original's key; none where it would not fit, too.
    pub key: Option<&'a [u8]>,
    /// The original's value.
    pub value: Option<&'a [u8]>,
    /// See [`letter_headers`].
    pub headers: Vec<Header>,
}

impl LetterRecord<'_> {
    /// Puts a letter together. A record that was compressed in its lane may be larger than the
    /// dead-letter topic takes: its key and value then stay in the lane.
    #[must_use]
    pub fn of<'a>(letter: &'a DeadLetter, topics: &Topics) -> LetterRecord<'a> {
        Self::with(&letter.record, letter_headers(letter, topics))
    }

    /// The copy of a record that waits.
    pub(crate) fn copy<'a>(retry: &'a Retry, topics: &Topics) -> LetterRecord<'a> {
        let said = Said {
            reason: retry.reason,
            error: &retry.error,
            attempt: retry.attempt,
            due: retry.due,
        };
        Self::with(&retry.record, said.headers(&retry.record, topics))
    }

    fn with(record: &RawRecord, headers: Vec<Header>) -> LetterRecord<'_> {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        if headers_size(&headers) + length(key) + length(value) > LETTER_BYTES_MAX {
            return LetterRecord {
                key: None,
                value: None,
                headers,
            };
        }
        LetterRecord {
            key,
            value,
            headers,
        }
    }
}

/// What the dead-letter topic takes, less what a record and its batch need for themselves.
const LETTER_BYTES_MAX: usize = 2 * MAX_RECORD_BYTES - (64 << 10);

/// All headers of a letter: the original's in their order without those that ours replace, then ours.
#[must_use]
pub fn letter_headers(letter: &DeadLetter, topics: &Topics) -> Vec<Header> {
    let said = Said {
        reason: letter.reason,
        error: &letter.error,
        // Which try failed: a record is tried once before it is given up on for its own fault, and once more
        // each time that it is retried or redriven.
        attempt: headers::attempt(&letter.record.headers).saturating_add(1),
        due: NEVER,
    };
    said.headers(&letter.record, topics)
}

/// It is not due again.
const NEVER: i64 = 0;

/// What a letter, or the copy of a record that waits, says of its record.
struct Said<'a> {
    reason: Reason,
    error: &'a str,
    attempt: u32,
    due: i64,
}

impl Said<'_> {
    fn headers(&self, record: &RawRecord, topics: &Topics) -> Vec<Header> {
        let ours = self.ours(&record.at, topics);
        let is_replaced = |header: &Header| ours.iter().any(|one| one.name == header.name);
        let mut all: Vec<Header> = Vec::with_capacity(record.headers.len() + ours.len());
        if headers_size(&record.headers) <= KEPT_HEADERS_BYTES_MAX {
            let kept = record.headers.iter();
            all.extend(kept.filter(|header| !is_replaced(header)).cloned());
        }
        all.extend(ours);
        all
    }

    fn ours(&self, at: &Coordinates, topics: &Topics) -> Vec<Header> {
        let topic = topics.lane(at.lane);
        let error = shortened(self.error, headers::MAX_ERROR_BYTES);
        let exception = format!("licenseflow.rejected.{}", self.reason);
        let group = topics.projector_group();
        let text = |name: &str, value: &str| bytes(name, value.as_bytes());
        let spring = |name: &str, value: &[u8]| bytes(&format!("kafka_dlt-{name}"), value);
        vec![
            text(headers::ORIGINAL_TOPIC, &topic),
            text(headers::ORIGINAL_PARTITION, &at.partition.to_string()),
            text(headers::ORIGINAL_OFFSET, &at.offset.to_string()),
            text(headers::ORIGINAL_TIMESTAMP, &at.timestamp.to_string()),
            text(headers::REASON, self.reason.name()),
            text(headers::ERROR, error),
            text(headers::ATTEMPT, &self.attempt.to_string()),
            text(headers::DUE, &self.due.to_string()),
            spring("original-topic", topic.as_bytes()),
            spring("original-partition", &at.partition.to_be_bytes()),
            spring("original-offset", &at.offset.to_be_bytes()),
            spring("original-timestamp", &at.timestamp.to_be_bytes()),
            spring("original-timestamp-type", TIMESTAMP_TYPE.as_bytes()),
            spring("original-consumer-group", group.as_bytes()),
            spring("exception-fqcn", exception.as_bytes()),
            spring("exception-message", error.as_bytes()),
        ]
    }
}

/// A header of bytes.
pub(crate) fn bytes(name: &str, value: &[u8]) -> Header {
    Header {
        name: name.to_owned(),
        value: Some(value.to_vec()),
    }
}

/// The first `bytes_max` bytes, or fewer where a character would be cut.
fn shortened(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::Lane;

    use super::*;

    fn header(name: &str, value: Option<&str>) -> Header {
        Header {
            name: name.to_owned(),
            value: value.map(|text| text.as_bytes().to_vec()),
        }
    }

    fn letter(kept: Vec<Header>, error: &str) -> DeadLetter {
        DeadLetter {
            record: RawRecord {
                at: Coordinates {
                    timestamp: 0x0102_0304_0506,
                    lane: Lane::Bulk,
                    partition: 258,
                    offset: 0x0a0b_0c0d,
                },
                key: None,
                value: Some(vec![9]),
                headers: kept,
            },
            reason: Reason::BadAvro,
            error: error.to_owned(),
        }
    }

    #[test]
    fn a_letter_says_where_it_comes_from_and_why_in_text_and_in_springs_forms() {
        let topics = Topics::new("p.");
        let found = letter_headers(&letter(vec![], "the union index is 77"), &topics);
        let found: Vec<(&str, &[u8])> = found
            .iter()
            .map(|one| (one.name.as_str(), one.value.as_deref().unwrap()))
            .collect();
        let expected: Vec<(&str, &[u8])> = vec![
            ("x-original-topic", b"p.license.events.bulk.v1"),
            ("x-original-partition", b"258"),
            ("x-original-offset", b"168496141"),
            ("x-original-timestamp", b"1108152157446"),
            ("x-reason", b"bad_avro"),
            ("x-error", b"the union index is 77"),
            ("x-attempt", b"1"),
            ("x-due", b"0"),
            ("kafka_dlt-original-topic", b"p.license.events.bulk.v1"),
            ("kafka_dlt-original-partition", &[0, 0, 1, 2]),
            ("kafka_dlt-original-offset", &[0, 0, 0, 0, 10, 11, 12, 13]),
            ("kafka_dlt-original-timestamp", &[0, 0, 1, 2, 3, 4, 5, 6]),
            ("kafka_dlt-original-timestamp-type", b"LogAppendTime"),
            (
                "kafka_dlt-original-consumer-group",
                b"p.licenseflow.projector",
            ),
            ("kafka_dlt-exception-fqcn", b"licenseflow.rejected.bad_avro"),
            ("kafka_dlt-exception-message", b"the union index is 77"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_originals_headers_stay_in_order_except_where_ours_replace_them() {
        let kept = vec![
            header("b", Some("1")),
            header("x-reason", Some("of an earlier letter")),
            header("a", None),
            header("b", Some("2")),
            header("kafka_dlt-original-offset", Some("text")),
        ];
        let found = letter_headers(&letter(kept, "why"), &Topics::new(""));
        let expected = [
            header("b", Some("1")),
            header("a", None),
            header("b", Some("2")),
        ];
        assert_eq!(found[..3], expected);
        let count = |name: &str| found.iter().filter(|one| one.name == name).count();
        assert_eq!(
            (count("x-reason"), count("kafka_dlt-original-offset")),
            (1, 1)
        );
    }

    #[test]
    fn words_end_on_a_character_within_a_kibibyte() {
        let found = letter_headers(&letter(vec![], &"é€".repeat(1000)), &Topics::new(""));
        let error = headers::text(&found, headers::ERROR).unwrap();
        assert!((1021..=1024).contains(&error.len()), "{}", error.len());
        assert!("é€".repeat(1000).starts_with(error));
    }

    #[test]
    fn headers_that_would_not_fit_the_topic_stay_in_the_lane() {
        let large = header("large", Some(&"x".repeat(KEPT_HEADERS_BYTES_MAX)));
        let found = letter_headers(&letter(vec![large], "why"), &Topics::new(""));
        assert_eq!(found[0].name, "x-original-topic");
    }

    #[test]
    fn what_the_dead_letter_topic_cannot_take_stays_in_the_lane() {
        let mut large = letter(vec![], "why");
        large.record.key = Some(vec![b'k'; 2 * MAX_RECORD_BYTES]);
        let found = LetterRecord::of(&large, &Topics::new(""));
        assert_eq!((found.key, found.value), (None, None));
        large.record.key = Some(vec![]);
        let found = LetterRecord::of(&large, &Topics::new(""));
        assert_eq!(
            (found.key, found.value),
            (Some([].as_slice()), Some([9].as_slice()))
        );
    }
}
