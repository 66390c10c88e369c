//! The contract: what clients, operators and every other crate may rely on.
//!
//! This crate names schemas, topics and headers, and turns bytes into [`LicenseEvent`]s and back.
//! It knows no database, no HTTP and no Kafka client.

pub mod causes;
pub mod codec;
pub mod event;
pub mod explained;
pub mod headers;
pub mod json;
pub mod judgement;
pub mod limits;
mod members;
pub mod position;
pub mod reason;
pub mod record;
pub mod registry_client;
pub mod schema;
pub mod time;
pub mod topics;

pub use event::{EventKind, LicenseEvent, LicenseKey, Payload};
pub use judgement::{Schemas, SchemasAway, Verdict, judge};
pub use position::{Offset, PartitionId, Position};
pub use reason::{Fault, Reason};
pub use record::{Coordinates, RawRecord};
pub use topics::{Lane, Topics};
