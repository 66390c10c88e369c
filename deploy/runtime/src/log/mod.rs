//! What every room needs of Kafka besides consuming and producing events: client settings, topics
//! and their offsets, a plain reader of a topic, and a writer of records as they are.
//!
//! It owns librdkafka's keys (`settings`), so that no other room writes one. It must not know what
//! our topics are called or what is in their records: names and settings come as plain values.
//! Everything here blocks; async callers go through [`Admin::off_thread`] or a thread of their own.

mod admin;
mod client;
mod deviation;
mod error;
mod offsets;
mod overrides;
mod reader;
mod record;
mod settings;
mod topic;
mod writer;

pub use admin::{Admin, TopicOutcome};
pub use client::ClientLog;
pub use deviation::Deviation;
pub use error::{Error, Result};
pub use offsets::{TopicPartition, Watermarks};
pub use reader::{Reader, Start, Step, Stop, read_at, read_each};
pub use record::{Header, Record, TimestampType, headers_of};
pub use settings::{ConsumerSettings, GroupProtocol, KafkaSettings, PartitionEof};
pub use topic::{PartitionDescription, TopicDescription, TopicSpec};
pub use writer::Writer;
