//! The API as its description says it, asked of the binary by clients of other hands.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects by failing, and what it measured by printing"
)]

mod asked;
mod conform;
mod page;
mod surroundings;
