//! The query API: what is known of licenses, how fresh it is, and which request caused it.
//!
//! Routes turn a request into a question to a [`Lookup`](licenseflow_store::Lookup) and its answer
//! into JSON. What every answer has alike (read your writes, position and lag, `ETag`) is laid around
//! all of them in one place. This crate knows no SQL and no Kafka; what it needs of the log reaches it
//! through [`Readiness`] and a signal that the projector gives.

mod admin;
mod answer;
mod body;
mod changes;
mod clock;
mod compress;
mod cors;
mod cursor;
mod fields;
mod fresh;
mod links;
mod list;
mod metrics;
mod openapi;
mod params;
mod partitions;
mod push;
mod readiness;
mod routes;
mod shapes;
mod state;
mod store;

pub use admin::{
    AdminOptions, Lanes, LanesAway, Originals, PartitionSpan, Published, Redriven,
    document as admin_document, routes as admin_routes,
};
pub use clock::{Clock, system_clock};
pub use partitions::PartitionCount;
pub use push::StreamLimits;
pub use readiness::{Check, Readiness};
pub use routes::{document, health_router, router, routes};
pub use state::{QueryOptions, QueryState};
