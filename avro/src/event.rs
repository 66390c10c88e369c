//! A license event: something that happened to a license, as `schemas/license_event.avsc` says it.
//!
//! The Rust types stand beside the schema; a test proves them equal to it. Times are integer
//! microseconds since 1970 in UTC throughout.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Entitlements or metadata: names to values. Sorted, so that equal content has equal bytes.
pub type TextMap = BTreeMap<String, String>;

/// Whose license: two tenants may use the same `license_id` and never meet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LicenseKey {
    /// The tenant.
    pub tenant_id: String,
    /// The license, within its tenant.
    pub license_id: String,
}

/// Something that happened to a license.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LicenseEvent {
    /// Chosen by the client; the same id for the same license counts once.
    #[serde(with = "uuid_text")]
    pub event_id: Uuid,
    /// The license, within its tenant; also the record's key.
    pub license_id: String,
    /// Whose world this is.
    pub tenant_id: String,
    /// When it happened, in microseconds UTC.
    pub occurred_at: i64,
    /// The service that says it.
    pub source: String,
    /// On whose behalf.
    pub actor: Option<String>,
    /// What happened.
    pub payload: Payload,
}

impl LicenseEvent {
    /// Which event this is, without its content.
    #[must_use]
    pub fn said(&self) -> Said {
        Said {
            license: Arc::new(self.license_key()),
            event_id: self.event_id,
            kind: self.payload.kind(),
        }
    }

    /// The license that this event is of.
    #[must_use]
    pub fn license_key(&self) -> LicenseKey {
        LicenseKey {
            tenant_id: self.tenant_id.clone(),
            license_id: self.license_id.clone(),
        }
    }
}

/// Which event a record says, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The license.
    pub license: Arc<LicenseKey>,
    /// The event.
    pub event_id: Uuid,
    /// Its type.
    pub kind: EventKind,
}

/// What happened. The variants stand in the order of the schema's union.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Payload {
    /// A license came into being, or was issued anew; sets every field it carries.
    LicenseIssued(LicenseIssued),
    /// Its end was moved.
    LicenseRenewed(LicenseRenewed),
    /// It was moved to another plan; sets the three together.
    LicensePlanChanged(LicensePlanChanged),
    /// Another customer holds it now.
    LicenseTransferred(LicenseTransferred),
    /// It does not count until reinstated.
    LicenseSuspended(LicenseSuspended),
    /// A suspension ended.
    LicenseReinstated(LicenseReinstated),
    /// It never counts again, whatever follows.
    LicenseRevoked(LicenseRevoked),
    /// A device took a seat.
    DeviceActivated(DeviceActivated),
    /// A device gave its seat back.
    DeviceDeactivated(DeviceDeactivated),
    /// A device was seen.
    DeviceHeartbeat(DeviceHeartbeat),
    /// Something metered was used.
    UsageRecorded(UsageRecorded),
    /// An event of this license was said in error and does not count.
    EventVoided(EventVoided),
}

/// The type of an event, without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum EventKind {
    LicenseIssued,
    LicenseRenewed,
    LicensePlanChanged,
    LicenseTransferred,
    LicenseSuspended,
    LicenseReinstated,
    LicenseRevoked,
    DeviceActivated,
    DeviceDeactivated,
    DeviceHeartbeat,
    UsageRecorded,
    EventVoided,
}

impl EventKind {
    /// Every type, in the order of the schema's union: `ALL[k as usize] == k`.
    pub const ALL: [EventKind; 12] = [
        EventKind::LicenseIssued,
        EventKind::LicenseRenewed,
        EventKind::LicensePlanChanged,
        EventKind::LicenseTransferred,
        EventKind::LicenseSuspended,
        EventKind::LicenseReinstated,
        EventKind::LicenseRevoked,
        EventKind::DeviceActivated,
        EventKind::DeviceDeactivated,
        EventKind::DeviceHeartbeat,
        EventKind::UsageRecorded,
        EventKind::EventVoided,
    ];

    /// The name that the schema and the JSON form give it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            EventKind::LicenseIssued => "LicenseIssued",
            EventKind::LicenseRenewed => "LicenseRenewed",
            EventKind::LicensePlanChanged => "LicensePlanChanged",
            EventKind::LicenseTransferred => "LicenseTransferred",
            EventKind::LicenseSuspended => "LicenseSuspended",
            EventKind::LicenseReinstated => "LicenseReinstated",
            EventKind::LicenseRevoked => "LicenseRevoked",
            EventKind::DeviceActivated => "DeviceActivated",
            EventKind::DeviceDeactivated => "DeviceDeactivated",
            EventKind::DeviceHeartbeat => "DeviceHeartbeat",
            EventKind::UsageRecorded => "UsageRecorded",
            EventKind::EventVoided => "EventVoided",
        }
    }

    /// The type of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Payload {
    /// The type of this payload.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Payload::LicenseIssued(_) => EventKind::LicenseIssued,
            Payload::LicenseRenewed(_) => EventKind::LicenseRenewed,
            Payload::LicensePlanChanged(_) => EventKind::LicensePlanChanged,
            Payload::LicenseTransferred(_) => EventKind::LicenseTransferred,
            Payload::LicenseSuspended(_) => EventKind::LicenseSuspended,
            Payload::LicenseReinstated(_) => EventKind::LicenseReinstated,
            Payload::LicenseRevoked(_) => EventKind::LicenseRevoked,
            Payload::DeviceActivated(_) => EventKind::DeviceActivated,
            Payload::DeviceDeactivated(_) => EventKind::DeviceDeactivated,
            Payload::DeviceHeartbeat(_) => EventKind::DeviceHeartbeat,
            Payload::UsageRecorded(_) => EventKind::UsageRecorded,
            Payload::EventVoided(_) => EventKind::EventVoided,
        }
    }
}

/// See [`Payload::LicenseIssued`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LicenseIssued {
    /// Who holds it.
    pub customer_id: String,
    /// What it is for.
    pub product_id: String,
    /// The plan, such as trial or team.
    pub plan: String,
    /// How many devices may be active at once, 0 to 10⁹.
    pub seats: i32,
    /// It counts from here on, in microseconds UTC.
    pub valid_from: i64,
    /// It counts until here, in microseconds UTC; none: for ever.
    pub expires_at: Option<i64>,
    /// What it allows, by name.
    pub entitlements: TextMap,
    /// Whatever the issuer wants to keep with it.
    pub metadata: TextMap,
}

/// See [`Payload::LicenseRenewed`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LicenseRenewed {
    /// The new end, in microseconds UTC; none: for ever.
    pub expires_at: Option<i64>,
}

/// See [`Payload::LicensePlanChanged`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LicensePlanChanged {
    /// The new plan.
    pub plan: String,
    /// The new number of seats.
    pub seats: i32,
    /// The new entitlements, whole.
    pub entitlements: TextMap,
}

/// See [`Payload::LicenseTransferred`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LicenseTransferred {
    /// The new holder.
    pub customer_id: String,
}

/// See [`Payload::LicenseSuspended`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LicenseSuspended {
    /// Why.
    pub reason: String,
}

/// See [`Payload::LicenseReinstated`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LicenseReinstated {
    /// Why.
    pub reason: String,
}

/// See [`Payload::LicenseRevoked`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LicenseRevoked {
    /// Why.
    pub reason: String,
}

/// See [`Payload::DeviceActivated`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceActivated {
    /// The device, within its license.
    pub device_id: String,
    /// What the device was recognised by.
    pub fingerprint: Option<String>,
    /// Such as linux.
    pub platform: Option<String>,
}

/// See [`Payload::DeviceDeactivated`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceDeactivated {
    /// The device.
    pub device_id: String,
    /// Why.
    pub reason: String,
}

/// See [`Payload::DeviceHeartbeat`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceHeartbeat {
    /// The device.
    pub device_id: String,
}

/// See [`Payload::UsageRecorded`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UsageRecorded {
    /// What is counted.
    pub metric: String,
    /// How much was added, 0 to 10¹².
    pub quantity: i64,
}

/// See [`Payload::EventVoided`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventVoided {
    /// The event that does not count; it may arrive later.
    #[serde(with = "uuid_text")]
    pub voided_event_id: Uuid,
    /// Why.
    pub reason: String,
}

/// A uuid as the schema's string: the hyphenated form only, either case; written in lower case.
mod uuid_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, to: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
        to.serialize_str(id.hyphenated().encode_lower(&mut buffer))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Uuid, D::Error> {
        let text = String::deserialize(from)?;
        super::parse_uuid(&text).ok_or_else(|| D::Error::custom(super::NOT_A_UUID))
    }
}

/// What an error says where a uuid should have stood.
pub const NOT_A_UUID: &str = "not a uuid in its hyphenated form";

/// A uuid in its hyphenated form, either case; nothing else that the `uuid` crate would take.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return None;
    }
    Uuid::try_parse(text).ok()
}
