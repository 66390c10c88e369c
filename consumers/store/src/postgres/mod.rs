//! The store of many processes: one schema of a PostgreSQL database for each generation, several
//! writers at once, each with its own partitions, and many readers.
//!
//! Every statement on a license's rows names its tenant, by which they are distributed where the
//! database is (`schema.sql` says which tables).

mod applier;
mod apply;
mod audit;
mod change;
mod connection;
mod error;
mod generations;
mod letters;
mod license;
mod loading;
mod lookup;
mod migrate;
mod ordered;
mod outbox;
mod past;
mod position;
mod recount;
mod rejected;
mod rewrite;
mod rows;
mod session;
mod takeover;
mod tls;
mod totals;
mod waiting;
mod writer;

pub use audit::PostgresAudit;
pub use connection::{PostgresOptions, check_address};
pub use generations::PostgresGenerations;
pub use letters::PostgresLetters;
pub use lookup::PostgresLookup;
pub use writer::PostgresModel;
