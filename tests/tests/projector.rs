//! The projector: over a log in memory with everything that can go wrong in any order, and over a
//! real Kafka with everything that only a real one does.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects by failing"
)]

#[path = "projector/bench.rs"]
mod bench;
#[path = "projector/events.rs"]
mod events;
#[path = "projector/ground.rs"]
mod ground;
#[path = "projector/kafka.rs"]
mod kafka;
#[path = "projector/kafka_letters.rs"]
mod kafka_letters;
#[path = "projector/lanes.rs"]
mod lanes;
#[path = "projector/letters.rs"]
mod letters;
#[path = "projector/live_model.rs"]
mod live_model;
#[path = "projector/loops.rs"]
mod loops;
#[path = "projector/memory_log.rs"]
mod memory_log;
#[path = "projector/poison.rs"]
mod poison;
#[path = "projector/rebalances.rs"]
mod rebalances;
#[path = "projector/refusals.rs"]
mod refusals;
#[path = "projector/retries.rs"]
mod retries;
#[path = "projector/schedules.rs"]
mod schedules;
#[path = "projector/stand_ins.rs"]
mod stand_ins;
#[path = "projector/verified.rs"]
mod verified;
#[path = "projector/wrong_log.rs"]
mod wrong_log;
