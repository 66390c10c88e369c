//! The contract crate against its schema, against apache-avro and against what clients may send.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the tests' own helpers fail as tests do"
)]

mod avro;
mod bytes;
mod evolution;
mod json;
mod judging;
mod limits;
mod registry;
mod samples;
