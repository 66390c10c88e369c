//! The embedded store: one SQLite file, one writer, many readers.

mod lookup;
mod writer;

pub use lookup::SqliteLookup;
pub use writer::SqliteModel;
