//! A device of a license, and a metric's sum.

use licenseflow_avro::LicenseKey;
use licenseflow_avro::event::{DeviceActivated, LicenseEvent, Payload};

use crate::canonical::ObjectWriter;
use crate::digest::RowDigest;
use crate::order::{Decided, OrderKey, decide};

/// What is kept of a device.
///
/// The greatest heartbeat stands apart from the greatest event, since a void can take an event
/// away and heartbeats are in no timeline to count them from again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceState {
    /// Whether it is active, by the last of its Activated and Deactivated.
    pub active: Option<Decided<bool>>,
    /// What its last Activated said.
    pub activation: Option<Decided<Activation>>,
    /// The greatest `occurred_at` of its counting events.
    pub seen_in_event: Option<i64>,
    /// The greatest `occurred_at` of its heartbeats.
    pub seen_in_heartbeat: Option<i64>,
}

/// What an Activated says of its device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activation {
    /// What the device was recognised by.
    pub fingerprint: Option<String>,
    /// Such as linux.
    pub platform: Option<String>,
}

impl DeviceState {
    /// Counts an Activated.
    pub fn activate(&mut self, by: OrderKey, said: &DeviceActivated) {
        decide(&mut self.active, by, || true);
        decide(&mut self.activation, by, || Activation {
            fingerprint: said.fingerprint.clone(),
            platform: said.platform.clone(),
        });
        self.seen_in_event = self.seen_in_event.max(Some(by.occurred_at));
    }

    /// Counts a Deactivated.
    pub fn deactivate(&mut self, by: OrderKey) {
        decide(&mut self.active, by, || false);
        self.seen_in_event = self.seen_in_event.max(Some(by.occurred_at));
    }

    /// Counts a heartbeat.
    pub fn beat(&mut self, occurred_at: i64) {
        self.seen_in_heartbeat = self.seen_in_heartbeat.max(Some(occurred_at));
    }

    /// Whether it takes a seat.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active.as_ref().is_some_and(|decided| decided.value)
    }

    /// When it was last seen, in microseconds UTC.
    #[must_use]
    pub fn last_seen_at(&self) -> Option<i64> {
        self.seen_in_event.max(self.seen_in_heartbeat)
    }

    /// Whether anything at all is known of it.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.last_seen_at().is_some()
    }

    /// The row's canonical JSON.
    #[must_use]
    pub fn canonical(&self, license: &LicenseKey, device_id: &str) -> String {
        let mut out = String::with_capacity(256);
        let mut row = ObjectWriter::begin(&mut out);
        let activation = self.activation.as_ref();
        row.uuid("activated_by", activation.map(|it| it.by.event_id));
        row.boolean("active", self.is_active());
        row.uuid("decided_by", self.active.as_ref().map(|it| it.by.event_id));
        row.text("device_id", Some(device_id));
        row.text(
            "fingerprint",
            activation.and_then(|it| it.value.fingerprint.as_deref()),
        );
        row.integer("last_seen_at", self.last_seen_at());
        row.text("license_id", Some(&license.license_id));
        row.text(
            "platform",
            activation.and_then(|it| it.value.platform.as_deref()),
        );
        row.text("tenant_id", Some(&license.tenant_id));
        row.end();
        out
    }

    /// The row's digest; nothing for a device that does not exist.
    #[must_use]
    pub fn digest(&self, license: &LicenseKey, device_id: &str) -> RowDigest {
        if !self.exists() {
            return RowDigest::default();
        }
        RowDigest::of(&self.canonical(license, device_id))
    }
}

/// The greatest sum of a metric: beyond it, it stays there, whatever the order.
pub const MAX_USAGE: i64 = (1 << 53) - 1;

/// Adds to a metric's sum.
#[must_use]
pub fn add_usage(sum: i64, quantity: i64) -> i64 {
    sum.saturating_add(quantity).min(MAX_USAGE)
}

/// The canonical JSON of a metric's row.
#[must_use]
pub fn usage_canonical(license: &LicenseKey, metric: &str, quantity: i64) -> String {
    let mut out = String::with_capacity(128);
    let mut row = ObjectWriter::begin(&mut out);
    row.text("license_id", Some(&license.license_id));
    row.text("metric", Some(metric));
    row.integer("quantity", Some(quantity));
    row.text("tenant_id", Some(&license.tenant_id));
    row.end();
    out
}

/// The digest of a metric's row; nothing for a metric that does not exist.
#[must_use]
pub fn usage_digest(license: &LicenseKey, metric: &str, quantity: Option<i64>) -> RowDigest {
    quantity.map_or_else(RowDigest::default, |quantity| {
        RowDigest::of(&usage_canonical(license, metric, quantity))
    })
}

/// The device that an event speaks of, if it speaks of one.
#[must_use]
pub fn device_of(event: &LicenseEvent) -> Option<&str> {
    match &event.payload {
        Payload::DeviceActivated(it) => Some(&it.device_id),
        Payload::DeviceDeactivated(it) => Some(&it.device_id),
        Payload::DeviceHeartbeat(it) => Some(&it.device_id),
        Payload::LicenseIssued(_)
        | Payload::LicenseRenewed(_)
        | Payload::LicensePlanChanged(_)
        | Payload::LicenseTransferred(_)
        | Payload::LicenseSuspended(_)
        | Payload::LicenseReinstated(_)
        | Payload::LicenseRevoked(_)
        | Payload::UsageRecorded(_)
        | Payload::EventVoided(_) => None,
    }
}
