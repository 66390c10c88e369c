//! Read your writes: how fresh an answer must be, and who waits until it can be.

mod asked;
mod gate;
mod layer;

pub(crate) use asked::AskedFreshness;
pub(crate) use gate::Gate;
pub(crate) use layer::around;
