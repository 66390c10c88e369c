//! Who builds the read model: source → judge → batch → apply → letters.
//!
//! Two threads carry it. One polls and judges while the other writes; between them goes one batch at
//! a time, which grows for as long as the store is busy. So the head is fresh, and far behind the
//! batches are large, with the same code. A third thread sends letters, so that a broker that is away
//! never holds the fold up. This crate must not know SQL, nor librdkafka.

mod backlog;
mod backoff;
mod config;
mod ends;
mod error;
mod fate;
mod growing;
mod handle;
mod lag;
mod memory;
pub mod metrics;
mod narrowing;
mod outbox;
mod partitions;
mod pump;
pub mod replay;
mod retrying;
mod slowing;
mod status;
mod store_line;
mod store_thread;
mod suspicion;
pub mod verify;
mod waiting;
mod walk;
mod yielding;

pub use backlog::{AlertsAt, Marks};
pub use backoff::Backoff;
pub use config::{Clock, Settings, wall_clock};
pub use error::{Error, Result};
pub use fate::{of_failure, of_judgement, of_try};
pub use handle::{Handle, Parts, Projector};
pub use memory::Shares;
pub use retrying::Retries;
pub use slowing::LettersPace;
pub use status::{Halted, Status, Still};
pub use suspicion::SuspectsMax;
pub use yielding::Yields;
