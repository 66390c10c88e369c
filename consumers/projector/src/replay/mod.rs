//! Replay: other generations are built and advanced beside the live one, compared with it, and switched to.
//!
//! ```text
//!              ┌─ the book: what is wanted ─┐
//!   keeper ◀───┤                            ├───▶ LiveModel ◀─ the loops that write the live generation
//!     │        └────────────────────────────┘
//!     └─ for each other generation a loop of its own: in no group, and with nobody to send anything to
//! ```
//!
//! The same loop that writes the live generation writes the others; what it lacks there is taken from it by
//! type. Who keeps a generation is settled by a post in the store, so that a process that ends, however,
//! leaves it to the next.

mod beside;
mod building;
mod comparing;
mod gate;
mod keeper;
mod license;
mod live_model;
mod switching;

pub use beside::NoLetters;
pub use keeper::{Keeper, Means, sweep};
pub use license::{NotRebuilt, OneLicense, Rebuilt, rebuild_license};
pub use live_model::LiveModel;
