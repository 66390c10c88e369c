//! The topic behind the registry: the forms of its records, following it, and writing to it.

mod connection;
mod failure;
mod keeper;
pub(crate) mod record;
mod writer;

pub(crate) use connection::Where;
pub(crate) use keeper::{Keeper, Order, Shared};
