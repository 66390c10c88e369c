//! The embedded schema registry: Confluent's HTTP API over a compacted topic.
//!
//! It exists so that a newcomer needs no second server, and so that any client of a Confluent
//! registry works against the platform. It owns the topic `_schemas` and the rules by which ids,
//! versions and compatibility are decided. It must not know what a license is.
//!
//! The log is the only truth: each instance keeps what it read of the topic in memory, and all
//! instances write through one transactional id, so that the newest writer fences the one before
//! and ids are never given twice.

mod api;
mod compatibility;
mod decide;
mod error;
mod log;
mod names;
mod query;
mod registry;
mod schema;
mod state;

pub use compatibility::Level;
pub use error::{Error, Result};
pub use names::{Mode, Reference, Subject, VersionId};
pub use registry::{Registry, RegistrySettings};
