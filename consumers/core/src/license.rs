//! The state of a license: each field group with the event that decided it.
//!
//! Every group is last-writer-wins by the order key, so events may be folded in any order; only
//! counts and sums need each event exactly once, which the event set sees to.

use std::collections::BTreeMap;
use std::sync::Arc;

use licenseflow_avro::event::{LicenseEvent, LicenseIssued, LicensePlanChanged, Payload};
use licenseflow_avro::{EventKind, LicenseKey};
use uuid::Uuid;

use crate::canonical::{CanonicalMap, ObjectWriter};
use crate::digest::RowDigest;
use crate::fold_version;
use crate::order::{Decided, OrderKey, decide};
use crate::status::Lifecycle;

/// What is kept of a license, apart from its devices and metrics.
///
/// Texts are shared, since most events leave them as they are and states are copied for each batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LicenseState {
    /// `customer_id`: last of Issued, Transferred.
    pub customer: Option<Decided<Arc<str>>>,
    /// `plan`, `seats`, `entitlements`: last of Issued, PlanChanged.
    pub plan: Option<Decided<Arc<PlanTerms>>>,
    /// `expires_at`: last of Issued, Renewed; none inside is for ever.
    pub expiry: Option<Decided<Option<i64>>>,
    /// `product_id`, `valid_from`, `metadata`: last Issued.
    pub issue: Option<Decided<Arc<IssueTerms>>>,
    /// Whether it is suspended: last of Issued, Suspended, Reinstated.
    pub suspended: Option<Decided<bool>>,
    /// The first Revoked in order.
    pub revoked: Option<OrderKey>,
    /// The first event in order that counts.
    pub first: Option<OrderKey>,
    /// The last event in order that counts.
    pub last: Option<OrderKey>,
    /// How many events count.
    pub event_count: i64,
    /// XXH3-128 over event ids, summed modulo 2¹²⁸, voided ones too.
    pub events: u128,
    /// How many of its devices are active.
    pub seats_used: i64,
    /// Ids that an EventVoided names, each with the first such EventVoided in order. They are at
    /// hand because a void may come before its event.
    pub voids: BTreeMap<Uuid, OrderKey>,
}

/// What a plan gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanTerms {
    /// The plan.
    pub plan: String,
    /// How many devices may be active at once.
    pub seats: i32,
    /// What it allows, by name.
    pub entitlements: CanonicalMap,
}

/// What only an issue says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueTerms {
    /// What it is for.
    pub product_id: String,
    /// It counts from here on, in microseconds UTC.
    pub valid_from: i64,
    /// Whatever the issuer wants to keep with it.
    pub metadata: CanonicalMap,
}

/// What a void takes: two ids, the time of one, and its place in a tree.
const VOID_BYTES: usize = 96;

impl LicenseState {
    /// About how many bytes it holds beside its own size: a license may carry half a megabyte of texts, and
    /// any number of voids.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let customer = self.customer.as_ref().map(|it| it.value.len());
        let plan = self.plan.as_ref().map(|it| &it.value);
        let plan = plan.map(|it| it.plan.len() + it.entitlements.as_str().len());
        let issue = self.issue.as_ref().map(|it| &it.value);
        let issue = issue.map(|it| it.product_id.len() + it.metadata.as_str().len());
        let texts = [customer, plan, issue].into_iter().flatten();
        texts.sum::<usize>() + self.voids.len() * VOID_BYTES
    }

    /// Takes the event into the set's hash, whether it counts or is voided.
    pub fn remember(&mut self, event_id: Uuid) {
        let hash = xxhash_rust::xxh3::xxh3_128(event_id.as_bytes());
        self.events = self.events.wrapping_add(hash);
    }

    /// Notes which event an EventVoided names; of several the first in order is shown.
    pub fn note_void(&mut self, by: OrderKey, voided: Uuid) {
        let first = self.voids.entry(voided).or_insert(by);
        *first = (*first).min(by);
    }

    /// Whether an EventVoided names this event; an EventVoided itself cannot be voided.
    #[must_use]
    pub fn voids(&self, event: &LicenseEvent) -> bool {
        event.payload.kind() != EventKind::EventVoided && self.voids.contains_key(&event.event_id)
    }

    /// Counts an event that is not voided; devices and metrics are folded beside.
    pub fn count(&mut self, event: &LicenseEvent) {
        let by = OrderKey::of(event);
        self.event_count += 1;
        if fold_version::is_changed() && matches!(event.payload, Payload::LicenseRenewed(_)) {
            self.event_count += 1;
        }
        self.first = Some(self.first.map_or(by, |first| first.min(by)));
        self.last = self.last.max(Some(by));
        match &event.payload {
            Payload::LicenseIssued(said) => self.issue(by, said),
            Payload::LicenseRenewed(said) => decide(&mut self.expiry, by, || said.expires_at),
            Payload::LicensePlanChanged(said) => {
                decide(&mut self.plan, by, || Arc::new(PlanTerms::changed(said)));
            }
            Payload::LicenseTransferred(said) => {
                decide(&mut self.customer, by, || said.customer_id.as_str().into());
            }
            Payload::LicenseSuspended(_) => decide(&mut self.suspended, by, || true),
            Payload::LicenseReinstated(_) => decide(&mut self.suspended, by, || false),
            Payload::LicenseRevoked(_) => {
                self.revoked = Some(self.revoked.map_or(by, |first| first.min(by)));
            }
            Payload::DeviceActivated(_)
            | Payload::DeviceDeactivated(_)
            | Payload::DeviceHeartbeat(_)
            | Payload::UsageRecorded(_)
            | Payload::EventVoided(_) => {}
        }
    }

    fn issue(&mut self, by: OrderKey, said: &LicenseIssued) {
        decide(&mut self.customer, by, || said.customer_id.as_str().into());
        decide(&mut self.plan, by, || {
            Arc::new(PlanTerms {
                plan: said.plan.clone(),
                seats: said.seats,
                entitlements: (&said.entitlements).into(),
            })
        });
        decide(&mut self.expiry, by, || said.expires_at);
        decide(&mut self.issue, by, || {
            Arc::new(IssueTerms {
                product_id: said.product_id.clone(),
                valid_from: said.valid_from,
                metadata: (&said.metadata).into(),
            })
        });
        decide(&mut self.suspended, by, || false);
    }

    /// What events alone say.
    #[must_use]
    pub fn lifecycle(&self) -> Lifecycle {
        match (&self.revoked, &self.suspended) {
            (Some(_), _) => Lifecycle::Revoked,
            (None, Some(decided)) if decided.value => Lifecycle::Suspended,
            (None, Some(_)) => Lifecycle::Active,
            (None, None) => Lifecycle::Unknown,
        }
    }

    /// Which event decided the lifecycle: the first Revoked, else the last that said.
    #[must_use]
    pub fn lifecycle_decided_by(&self) -> Option<OrderKey> {
        self.revoked
            .or_else(|| self.suspended.as_ref().map(|decided| decided.by))
    }

    /// The end, in microseconds UTC; none where it is for ever or nothing is known.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        self.expiry.as_ref().and_then(|decided| decided.value)
    }

    /// The row's canonical JSON.
    #[must_use]
    pub fn canonical(&self, license: &LicenseKey) -> String {
        let mut out = String::with_capacity(768);
        let mut row = ObjectWriter::begin(&mut out);
        let plan = self.plan.as_ref().map(|decided| &decided.value);
        let issue = self.issue.as_ref().map(|decided| &decided.value);
        row.text("customer_id", self.customer.as_ref().map(|it| &*it.value));
        row.object("decided_by", |groups| self.canonical_decided_by(groups));
        row.map("entitlements", plan.map(|it| &it.entitlements));
        row.integer("event_count", Some(self.event_count));
        row.hexadecimal("events", self.events);
        row.integer("expires_at", self.expires_at());
        row.integer("first_event_at", self.first.map(|it| it.occurred_at));
        row.integer("last_event_at", self.last.map(|it| it.occurred_at));
        row.uuid("last_event_id", self.last.map(|it| it.event_id));
        row.text("license_id", Some(&license.license_id));
        row.text("lifecycle", Some(self.lifecycle().name()));
        row.map("metadata", issue.map(|it| &it.metadata));
        row.text("plan", plan.map(|it| it.plan.as_str()));
        row.text("product_id", issue.map(|it| it.product_id.as_str()));
        row.integer("seats", plan.map(|it| i64::from(it.seats)));
        row.text("tenant_id", Some(&license.tenant_id));
        row.integer("valid_from", issue.map(|it| it.valid_from));
        row.end();
        out
    }

    fn canonical_decided_by(&self, groups: &mut ObjectWriter<'_>) {
        let mut group =
            |name: &str, by: Option<OrderKey>| groups.uuid(name, by.map(|it| it.event_id));
        group("customer", self.customer.as_ref().map(|it| it.by));
        group("expiry", self.expiry.as_ref().map(|it| it.by));
        group("issue", self.issue.as_ref().map(|it| it.by));
        group("lifecycle", self.lifecycle_decided_by());
        group("plan", self.plan.as_ref().map(|it| it.by));
    }

    /// The row's digest.
    #[must_use]
    pub fn digest(&self, license: &LicenseKey) -> RowDigest {
        RowDigest::of(&self.canonical(license))
    }
}

impl PlanTerms {
    fn changed(said: &LicensePlanChanged) -> Self {
        Self {
            plan: said.plan.clone(),
            seats: said.seats,
            entitlements: (&said.entitlements).into(),
        }
    }
}
