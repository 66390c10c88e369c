//! The platform as a whole, on a real Kafka, with clients that this project did not write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test says what it expects by failing, what it measured by printing, and ends with its tasks"
)]

mod any_client;
mod archive;
mod bad_input;
mod broker_dies;
mod dead_letters;
mod evolution;
mod foreign_registry;
mod independent_fold;
mod kills;
mod later_schema;
mod on_postgres;
mod one_database;
mod processes;
mod replay;
mod replay_http;
mod replay_license;
mod replay_parts;
mod retries;
mod rolling;
mod secured;
mod send_and_tail;
mod several_processes;
mod stream;
mod tampering;
mod three_brokers;
mod verify;
mod well_behaved;
mod wrong_ground;
mod zombie;
