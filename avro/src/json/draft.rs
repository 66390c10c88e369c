//! An event as a client may send it over HTTP: some members may be left for the intake to set.

use uuid::Uuid;

use crate::event::{EventKind, LicenseEvent, Payload};
use crate::members::{self, Slots};
use crate::reason::Fault;

/// An event whose `event_id`, `occurred_at` and tenant may still be open. `occurred_at` is open only
/// where `event_id` is: an idempotency key without the content's time would make a retry a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// See [`LicenseEvent::event_id`].
    pub event_id: Option<Uuid>,
    /// See [`LicenseEvent::occurred_at`].
    pub occurred_at: Option<i64>,
    /// See [`LicenseEvent::tenant_id`].
    pub tenant_id: Option<String>,
    /// See [`LicenseEvent::license_id`].
    pub license_id: String,
    /// See [`LicenseEvent::source`].
    pub source: String,
    /// See [`LicenseEvent::actor`].
    pub actor: Option<String>,
    /// See [`LicenseEvent::payload`].
    pub payload: Payload,
}

impl Draft {
    pub(super) fn of(mut envelope: Slots, kind: EventKind, data: Slots) -> Result<Self, Fault> {
        let is_open = |envelope: &Slots, index| envelope.is_missing(index);
        let event_id = if is_open(&envelope, 0) {
            None
        } else {
            Some(envelope.uuid(0)?)
        };
        let license_id = envelope.text(1)?;
        let tenant_id = if is_open(&envelope, 2) {
            None
        } else {
            Some(envelope.text(2)?)
        };
        let occurred_at = match (is_open(&envelope, 3), event_id) {
            (true, None) => None,
            (true, Some(_)) => {
                let error = "is missing: it may be left out only together with event_id";
                return Err(Fault::invalid("/occurred_at", error));
            }
            (false, _) => Some(envelope.long(3)?),
        };
        Ok(Self {
            event_id,
            occurred_at,
            tenant_id,
            license_id,
            source: envelope.text(4)?,
            actor: envelope.nullable_text(5)?,
            payload: members::payload(kind, data)?,
        })
    }

    /// The event, with what was left open set to these. `tenant_id` is the request's.
    #[must_use]
    pub fn complete(self, event_id: Uuid, tenant_id: &str, occurred_at: i64) -> LicenseEvent {
        let tenant_id = self.tenant_id.unwrap_or_else(|| tenant_id.to_owned());
        LicenseEvent {
            event_id: self.event_id.unwrap_or(event_id),
            license_id: self.license_id,
            tenant_id,
            occurred_at: self.occurred_at.unwrap_or(occurred_at),
            source: self.source,
            actor: self.actor,
            payload: self.payload,
        }
    }
}
