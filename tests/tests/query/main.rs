//! The query API as a client meets it: a store that the writer made, served on a port, asked over
//! HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects by failing, and what it measured by printing"
)]

mod admin;
mod batch;
mod customers;
mod fresh;
mod lists;
mod model;
mod moment;
mod next;
mod openapi;
mod problems;
mod push;
mod push_client;
mod push_idle;
mod push_resume;
mod push_slow;
mod push_stage;
mod replays;
mod served;
mod shapes;
mod sparse;
mod stats;
mod stress;
mod stress_brief;
mod stress_same;
mod stress_slow;
mod web;
