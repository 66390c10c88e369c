//! The embedded schema registry on a real Kafka: Confluent's API and errors, several instances,
//! restarts, a broker that goes away, and clients of other hands.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

mod api;
mod clients;
mod garbage;
mod instances;
mod served;
mod trouble;
