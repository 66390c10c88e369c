//! The log, as far as a verification reads it.

use licenseflow_avro::{Coordinates, Position, RawRecord};

use crate::Result;

/// Records as they come.
pub type Records<'a> = Box<dyn Iterator<Item = licenseflow_kafka::Result<RawRecord>> + 'a>;

/// Both lanes. Calls block.
pub trait Lanes {
    /// The records from one position to another, each once, in any order. A partition that the first leaves
    /// out is read from its beginning; one that the second leaves out is not read.
    ///
    /// # Errors
    /// The brokers are away, or the settings are wrong.
    fn between(&self, from: &Position, to: &Position) -> Result<Records<'_>>;

    /// The records at these coordinates, as far as there are any, in any order.
    ///
    /// # Errors
    /// As above.
    fn at(&self, places: &[Coordinates]) -> Result<Vec<RawRecord>>;
}
