//! How records arrive, and how letters leave.
//!
//! It owns the consumer group's membership, where each partition is read from, and the records of
//! the dead-letter topic by value. It must not know what an event means, nor what a store is: the
//! position is told to it, and it never keeps one of its own.

mod assignment;
mod empty_spans;
pub mod error;
pub mod kafka_letters;
pub mod kafka_source;
mod lane_reader;
pub mod lanes;
pub mod letter;
mod letter_producer;
mod message;
mod owned;
mod probe;
mod proof;
mod range;
pub mod replay;
pub mod source;
mod trouble;

pub use error::{Error, Result};
pub use kafka_letters::KafkaLetters;
pub use kafka_source::{KafkaSource, SourceSettings};
pub use lanes::{KafkaLanes, Redriven};
pub use letter::{DeadLetter, Delivery, Letters, Originals, Retry, RetryTo};
pub use replay::{LaneRecords, lane_records_at};
pub use source::{LanePartition, Lanes, PartitionEnd, Polled, Source, Start};
