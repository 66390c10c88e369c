//! The house stands as designed: who may depend on whom, what lies where, and a real Kafka in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

mod edges;
mod local_kafka;
mod names;
mod outlived;
