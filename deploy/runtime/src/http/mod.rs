//! HTTP as every role serves it: one set of limits, request ids, one form of
//! error and one way to stop. Rooms bring an axum `Router` with routes only;
//! they set no fallbacks, no timeouts and no layers for errors, since `harden`
//! does so for all of them alike.

pub mod deadline;
pub mod harden;
pub mod health;
pub mod lifeline;
pub mod limits;
pub mod openapi;
pub mod problem;
pub mod request_id;
pub mod serve;
pub mod tenant;

pub use deadline::Deadline;
pub use harden::harden;
pub use health::{Check, Health};
pub use limits::HttpLimits;
pub use problem::{FieldProblem, Problem};
pub use request_id::RequestId;
pub use serve::{Error, bind, serve};
pub use tenant::{GivenTenant, TenantId};
