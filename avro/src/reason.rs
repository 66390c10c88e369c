//! Why a record is rejected: the values of the header `x-reason`.

use std::fmt;

use crate::event::{LicenseEvent, LicenseKey, Said};
use crate::limits::valid_id;

/// Why a record is rejected, in the order in which a record is judged: the first that fits counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Over 2 MiB uncompressed, or over 64 KiB of headers.
    TooLarge,
    /// The value is null.
    Tombstone,
    /// The value has no bytes.
    Empty,
    /// The first byte is neither `0x00` nor `{`.
    UnknownFormat,
    /// The schema id is not in the registry, or is not a LicenseEvent.
    UnknownSchema,
    /// The bytes end before the event does.
    Truncated,
    /// A union index, a length or UTF-8 that cannot be.
    BadAvro,
    /// Bytes are left after the event.
    TrailingBytes,
    /// Not JSON.
    BadJson,
    /// A type of event that this release does not know.
    UnknownType,
    /// A limit of the contract is not kept; the field is in `x-error`.
    InvalidEvent,
    /// The record's key is not the event's `license_id`.
    KeyMismatch,
    /// `occurred_at` is further ahead of the record's timestamp than `max_future_skew`.
    OccurredAtInFuture,
    /// Another content under an `event_id` that is taken.
    EventConflict,
    /// The store refuses this one row.
    StoreRefused,
    /// Tried as often as is allowed.
    RetriesExhausted,
}

impl Reason {
    /// Every reason, in the order of judgement.
    pub const ALL: [Reason; 16] = [
        Reason::TooLarge,
        Reason::Tombstone,
        Reason::Empty,
        Reason::UnknownFormat,
        Reason::UnknownSchema,
        Reason::Truncated,
        Reason::BadAvro,
        Reason::TrailingBytes,
        Reason::BadJson,
        Reason::UnknownType,
        Reason::InvalidEvent,
        Reason::KeyMismatch,
        Reason::OccurredAtInFuture,
        Reason::EventConflict,
        Reason::StoreRefused,
        Reason::RetriesExhausted,
    ];

    /// The value of `x-reason`, and of the metric's label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::TooLarge => "too_large",
            Reason::Tombstone => "tombstone",
            Reason::Empty => "empty",
            Reason::UnknownFormat => "unknown_format",
            Reason::UnknownSchema => "unknown_schema",
            Reason::Truncated => "truncated",
            Reason::BadAvro => "bad_avro",
            Reason::TrailingBytes => "trailing_bytes",
            Reason::BadJson => "bad_json",
            Reason::UnknownType => "unknown_type",
            Reason::InvalidEvent => "invalid_event",
            Reason::KeyMismatch => "key_mismatch",
            Reason::OccurredAtInFuture => "occurred_at_in_future",
            Reason::EventConflict => "event_conflict",
            Reason::StoreRefused => "store_refused",
            Reason::RetriesExhausted => "retries_exhausted",
        }
    }

    /// The reason of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A record's own fault: why it is rejected, and the words for `x-error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The value of `x-reason`.
    pub reason: Reason,
    /// What is wrong and where, for the one who reads it at night; at most 1 KiB is kept.
    pub error: String,
    /// JSON pointer of the bad field, where one field is to blame.
    pub pointer: Option<String>,
    /// Whether it may be ours rather than the record's: a schema that the registry knows but we cannot
    /// use, or a type of event that stands in a registered schema.
    pub points_at_us: bool,
    /// Whether the same record may be accepted a moment later: its schema id is not in the registry yet.
    pub may_heal: bool,
    /// The event, where the record decodes far enough to say one: its request can be asked for within
    /// its tenant.
    pub said: Option<Box<Said>>,
    /// The license, where the record decodes far enough to name it and its tenant, though perhaps no event.
    pub names: Option<Box<LicenseKey>>,
}

impl Fault {
    /// A fault of the record as a whole.
    pub fn new(reason: Reason, error: impl Into<String>) -> Self {
        Self {
            reason,
            error: error.into(),
            pointer: None,
            points_at_us: false,
            may_heal: false,
            said: None,
            names: None,
        }
    }

    /// An `invalid_event` that one field is to blame for; `pointer` is a JSON pointer.
    pub fn invalid(pointer: impl Into<String>, error: impl Into<String>) -> Self {
        Self {
            reason: Reason::InvalidEvent,
            error: error.into(),
            pointer: Some(pointer.into()),
            points_at_us: false,
            may_heal: false,
            said: None,
            names: None,
        }
    }

    /// The same, of a record that says this event.
    #[must_use]
    pub fn of(self, event: &LicenseEvent) -> Self {
        Self {
            said: Some(Box::new(event.said())),
            ..self
        }
        .naming(Some(event.license_key()))
    }

    /// The same, of a record that names this license. What breaks the rule of identifiers names none.
    #[must_use]
    pub fn naming(self, license: Option<LicenseKey>) -> Self {
        let keeps_the_rule =
            |key: &LicenseKey| valid_id(&key.tenant_id) && valid_id(&key.license_id);
        Self {
            names: license.filter(keeps_the_rule).map(Box::new),
            ..self
        }
    }

    /// The same, but it may be none a moment later.
    #[must_use]
    pub fn that_may_heal(self) -> Self {
        Self {
            may_heal: true,
            ..self
        }
    }

    /// The same, but it may be ours.
    #[must_use]
    pub fn pointing_at_us(self) -> Self {
        Self {
            points_at_us: true,
            ..self
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pointer {
            Some(pointer) => write!(f, "{pointer}: {}", self.error),
            None => f.write_str(&self.error),
        }
    }
}
