//! The settings of each component, with their types, defaults and names.

pub(super) mod http;
pub(super) mod intake;
pub(super) mod judgement;
pub(super) mod kafka;
pub(super) mod projector;
pub(super) mod query;
pub(super) mod store;
pub(super) mod telemetry;
