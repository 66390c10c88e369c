//! What a fuzzer runs over bytes of its own making, and `cargo test` over those that it has kept.
//!
//! Each target turns any bytes into something that the platform may meet, and asserts what is promised of
//! it. It must know no fuzzer: `tests/fuzz` wraps each in one line, in a workspace of its own, and takes this
//! folder by its path. So nothing in here may need a broker, a store on disk, or the harness.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target says what it has found by failing"
)]

pub mod decoder;
mod draw;
pub mod fold;
mod memory;
