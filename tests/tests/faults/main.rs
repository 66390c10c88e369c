//! Things go wrong by a schedule that follows from a seed, while events are sent: three brokers, two intakes,
//! the projectors and their store, and a network that delays, cuts, stalls and forgets. In the end no
//! acknowledged event is missing and none counts twice.
//!
//! A few faults are part of every run of the tests. `make faults FAULTS=n SEED=s` is for many of them.

mod book;
mod deeds;
mod events;
mod intake;
mod load;
mod making;
mod plan;
mod proof;
mod report;
mod run;
mod stage;

use licenseflow_tests::chance::chosen_seed;

use report::Report;

/// How many faults one cluster sees.
const RUN: usize = 25;

/// How many there are where nobody asks for more.
const BRIEF: usize = 7;

/// The brief run's schedule, on SQLite: a broker and the projector killed, a broker frozen, the disk full, a clock
/// set back, brokers that are no longer heard by the projector, nor by one another.
const SEED: u64 = 8414;

#[allow(
    clippy::panic,
    reason = "many faults that were asked for must not become a few"
)]
fn asked() -> Option<usize> {
    let asked = std::env::var("FAULTS").ok().filter(|it| !it.is_empty())?;
    Some(
        asked
            .parse()
            .unwrap_or_else(|error| panic!("FAULTS={asked}: {error}")),
    )
}

#[test]
fn whatever_fails_what_was_acknowledged_is_there_once() {
    let (faults, first) = (asked().unwrap_or(BRIEF), chosen_seed().unwrap_or(SEED));
    let (mut report, mut failed, mut left, mut seed) =
        (Report::default(), Vec::new(), faults, first);
    while left > 0 {
        let count = left.min(RUN);
        if let Err(error) = run::run(seed, count, &mut report) {
            println!("seed {seed} FAILED: {error:#}");
            failed.push(seed);
        }
        (left, seed) = (left - count, seed + 1);
    }
    println!("\n{report}");
    println!("{}", report.json());
    assert!(
        failed.is_empty(),
        "failed: {failed:?}; each again by make faults FAULTS={} SEED=…",
        faults.min(RUN)
    );
}
