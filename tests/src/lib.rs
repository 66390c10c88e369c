//! The proof: what the tests of the whole platform share.
//!
//! Owns the harness (a real Kafka, processes, ports), chance that can be repeated, what fuzzers run, and how
//! far a store has come. It must not know what an event does: the model that the platform is compared with is
//! written apart from it, from the contract.

pub mod chance;
pub mod fuzzing;
pub mod harness;
pub mod standing;
