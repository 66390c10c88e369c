//! Push: events as they are applied, over Server-Sent Events and WebSocket.
//!
//! One follower reads what was said since it last looked, once for all who listen, and only while
//! somebody does. Each stream has a seat with a small queue; a stream that resumes, or whose queue ran
//! over in a burst, reads by itself from the store until it has come to where the follower stands. The id
//! of an event is the position after it, so that a stream cut anywhere goes on without a gap.
//!
//! | what a reader does | what becomes of its stream |
//! |---|---|
//! | keeps up | events as they are applied |
//! | lets its queue run over | reads on from the store, a page at a time |
//! | takes nothing for a while, or does not come back to the others in time | is cut off, with the reason |
//! | does not even read that | goes with its connection, which is reset in its time |

mod audience;
mod filter;
mod follow;
mod frame;
mod hub;
mod limits;
mod route;
mod seat;
mod session;
mod socket;
mod sse;
mod walk;

pub use limits::StreamLimits;

pub(crate) use hub::Hub;
pub(crate) use route::{STREAM, route};
