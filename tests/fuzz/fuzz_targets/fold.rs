//! `fold` of `tests/src/fuzzing` under libFuzzer.
#![no_main]

#[allow(dead_code, reason = "each target runs one of what stands there")]
#[path = "../../src/chance.rs"]
mod chance;
#[allow(dead_code, reason = "each target runs one of what stands there")]
#[path = "../../src/fuzzing/mod.rs"]
mod fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::fold::fold(bytes));
