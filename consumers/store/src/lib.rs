//! Where the read models rest.
//!
//! The write side ([`ReadModel`], [`Outbox`]) and the read side ([`Lookup`]) are separate traits.
//! Every store passes one conformance suite, and gives bit for bit the same digest. This crate
//! knows SQL; it knows no Kafka and no HTTP, and what an event means it asks of the core.

pub mod audit;
mod batch;
mod columns;
pub mod dead_letters;
pub mod error;
pub mod generations;
mod ground;
mod head;
mod journey;
mod live;
pub mod loading;
pub mod lookup;
mod narrow;
mod page;
mod patience;
pub mod postgres;
pub mod progress;
pub mod read_model;
mod request;
pub mod rewrite;
mod said;
pub mod sqlite;
mod standing;
mod timeline;
mod totals;
mod waiting;

pub use audit::{Audit, Audited};
pub use dead_letters::{DeadLetters, LetterQuery, LetterRow, LetterState, OpenLetter};
pub use error::{Error, Kind};
pub use generations::Generations;
pub use ground::Ground;
pub use live::{Live, LiveLetters, LiveLookup};
pub use lookup::Lookup;
pub use patience::{Asker, Patience};
pub use postgres::{
    PostgresAudit, PostgresGenerations, PostgresLetters, PostgresLookup, PostgresModel,
};
pub use read_model::{
    Applied, LETTERS_BYTES, Letter, LetterContent, Outbox, PartitionEnd, PartitionState, ReadModel,
};
pub use sqlite::{SqliteAudit, SqliteGenerations, SqliteLetters, SqliteLookup, SqliteModel};
pub use totals::KeptTotals;
pub use waiting::{Done, Due, Step, WaitingRecord};
