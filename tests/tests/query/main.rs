//! The query API as a client meets it: a store that the writer made, served on a port, asked over
//! HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

mod batch;
mod customers;
mod fresh;
mod lists;
mod model;
mod moment;
mod next;
mod openapi;
mod problems;
mod served;
mod shapes;
mod sparse;
mod stats;
mod web;
