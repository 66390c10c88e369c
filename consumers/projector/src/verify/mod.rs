//! Whether a read model is what the log says: what `licenseflow verify` and the gate of a replay stand on.

mod digests;

pub use digests::{Report, Stored, verify};
