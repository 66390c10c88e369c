//! The order of a license's events: `(occurred_at, rank, event_id)`. Log order decides nothing.

use licenseflow_avro::{EventKind, LicenseEvent};
use uuid::Uuid;

/// Where an event stands among its license's events.
///
/// The rank lets an issue precede, and a suspension or deactivation follow, what clients with
/// whole-second clocks say happened at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey {
    /// Microseconds UTC.
    pub occurred_at: i64,
    /// 0 for Issued, 2 for Suspended and DeviceDeactivated, 1 for all others.
    pub rank: u8,
    /// Compared by its 16 bytes.
    pub event_id: Uuid,
}

impl OrderKey {
    /// Where this event stands.
    #[must_use]
    pub fn of(event: &LicenseEvent) -> Self {
        Self {
            occurred_at: event.occurred_at,
            rank: rank(event.payload.kind()),
            event_id: event.event_id,
        }
    }
}

/// The rank of a type of event.
#[must_use]
pub fn rank(kind: EventKind) -> u8 {
    match kind {
        EventKind::LicenseIssued => 0,
        EventKind::LicenseSuspended | EventKind::DeviceDeactivated => 2,
        EventKind::LicenseRenewed
        | EventKind::LicensePlanChanged
        | EventKind::LicenseTransferred
        | EventKind::LicenseReinstated
        | EventKind::LicenseRevoked
        | EventKind::DeviceActivated
        | EventKind::DeviceHeartbeat
        | EventKind::UsageRecorded
        | EventKind::EventVoided => 1,
    }
}

/// A value, and the event that decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided<T> {
    /// The event that decided it.
    pub by: OrderKey,
    /// The value.
    pub value: T,
}

/// Lets an event decide a value if it stands later than the one that decided it so far.
///
/// The value is made only where it is needed, since late events are common in a catch-up.
pub fn decide<T>(slot: &mut Option<Decided<T>>, by: OrderKey, value: impl FnOnce() -> T) {
    if slot.as_ref().is_none_or(|decided| decided.by < by) {
        *slot = Some(Decided { by, value: value() });
    }
}
