//! The Avro form of an event: bytes in any compatible writer's schema in, version 1 out.
//!
//! The bytes are read and written here rather than by a library: none tells a body cut short from one
//! that cannot be, and apache-avro's schema resolution picks a union's record by its fields rather than
//! its name, and so makes a suspension of a heartbeat. What an event is in bytes fits on a page; the
//! tests hold it against apache-avro, which still reads the schemas.
//! Knows no registry, no JSON and no limits.

mod body;
mod plan;
mod shape;
mod so_far;
mod wire;
mod write;

use std::sync::OnceLock;

pub use plan::Plan;
pub use write::{encode, encode_body, write_content};

pub(crate) use so_far::SoFar;
pub(crate) use wire::{PREFIX, Prefix, prefix};

use uuid::Uuid;

use crate::event::{LicenseEvent, LicenseKey};
use crate::reason::{Fault, Reason};
use crate::schema;

/// Why a schema is not one that we can read events with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a schema of LicenseEvents: {reason}")]
pub struct NotALicenseEvent {
    reason: String,
}

impl NotALicenseEvent {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// The event of a body that [`encode_body`] wrote.
///
/// # Errors
/// As [`Plan::decode`]: the bytes are something else.
pub fn decode_body(body: &[u8]) -> Result<LicenseEvent, Fault> {
    ours()?.decode(body)
}

/// The event of what [`write_content`] wrote, and of the ids that were kept apart.
///
/// # Errors
/// As [`Plan::decode`]: the bytes are something else.
pub fn decode_content(
    license: &LicenseKey,
    event_id: Uuid,
    content: &[u8],
) -> Result<LicenseEvent, Fault> {
    ours()?.decode_content(license, event_id, content)
}

fn ours() -> Result<&'static Plan, Fault> {
    static OURS: OnceLock<Result<Plan, NotALicenseEvent>> = OnceLock::new();
    let ours = OURS.get_or_init(|| Plan::new(schema::LICENSE_EVENT));
    // Our own schema is proved usable by every test here.
    ours.as_ref()
        .map_err(|error| Fault::new(Reason::UnknownSchema, error.to_string()))
}
