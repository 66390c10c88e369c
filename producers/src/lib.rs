//! The write side: events come in over HTTP, from files and from the generator, and go to the lanes.
//!
//! [`publish`] is the producer library that all the rest stands on; [`accept`] is the HTTP intake;
//! [`generate`], [`send`] and [`tail`] are what the command line's `events` does. Nothing here decides
//! what an event does, and nothing here reads the environment.

pub mod accept;
mod clock;
pub mod generate;
pub mod metrics;
pub mod publish;
pub mod send;
pub mod tail;
