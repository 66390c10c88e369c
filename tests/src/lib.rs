//! The proof: what the tests of the whole platform share.
//!
//! Owns the harness (a real Kafka, processes, ports) and chance that can be repeated. It must not know what an
//! event does: the model that the platform is compared with is written apart from it, from the contract.

pub mod chance;
pub mod harness;
