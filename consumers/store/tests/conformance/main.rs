//! What every store must do, and the theorem: rows are a function of the set of records.
//!
//! The model that stores are held against is `licenseflow_core::naive`, which shares no code with
//! the fold that they run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

mod audit;
mod crash;
mod dead_letters;
mod files;
mod generations;
mod golden;
mod interleavings;
mod loading;
mod model;
mod owners;
#[path = "../places/postgres.rs"]
mod postgres;
mod refused;
mod rewrite;
mod schedule;
mod server;
mod store;
mod totals;
mod waiting;
