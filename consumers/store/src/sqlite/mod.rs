//! The embedded store: one SQLite file, one writer, many readers.

mod audit;
mod cache;
mod change;
mod checkpoint;
mod collected;
mod connection;
mod generations;
mod hold;
mod letters;
mod loading;
mod lookup;
mod ordered;
mod outbox;
mod past;
mod recount;
mod rewrite;
mod rows;
mod takeover;
mod tenants;
mod totals;
mod waiting;
mod writer;

pub use audit::SqliteAudit;
pub use connection::SqliteOptions;
pub use generations::SqliteGenerations;
pub use letters::SqliteLetters;
pub use lookup::SqliteLookup;
pub use writer::SqliteModel;
