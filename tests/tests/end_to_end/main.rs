//! The platform as a whole, on a real Kafka, with clients that this project did not write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

mod any_client;
mod bad_input;
mod broker_dies;
mod evolution;
mod kills;
mod processes;
mod well_behaved;
