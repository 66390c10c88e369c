//! What the log says of one license, in the terms in which it is held against what is stored.
//!
//! Two folds give it, the naive one and the fast one; what is stored is put in the same terms by `held`.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use licenseflow_avro::{Coordinates, EventKind};
use licenseflow_core::OrderKey;
use licenseflow_store::audit;
use uuid::Uuid;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// One license as the log gives it.
#[derive(Debug, Default)]
pub(super) struct Expected<'r> {
    /// Its rows, by table and by device or metric.
    pub(super) rows: BTreeMap<(audit::Part, String), Row>,
    /// Its events, voided ones too.
    pub(super) events: BTreeMap<Uuid, Said<'r>>,
    /// The ids that an EventVoided names, each with the first such EventVoided in order.
    pub(super) voids: BTreeMap<Uuid, Uuid>,
    /// Contents that conflict with the events'.
    pub(super) conflicts: Vec<(Uuid, Said<'r>)>,
    /// Its events that count, by when they happened.
    pub(super) counting: Vec<(i64, EventKind)>,
    /// What totals see of it.
    pub(super) standing: Standing,
}

/// A row of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Its canonical JSON.
    pub(super) canonical: String,
    /// What else lies in it.
    pub(super) beside: Beside,
}

/// What lies in a row and is in no digest: what the next batch folds onto, and what lists go by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Beside {
    /// A license's.
    License(Box<LicenseBeside>),
    /// A device's.
    Device(DeviceBeside),
    /// A metric's: nothing.
    Usage,
}

/// What else lies in a license's row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct LicenseBeside {
    pub(super) customer: Option<OrderKey>,
    pub(super) plan: Option<OrderKey>,
    pub(super) expiry: Option<OrderKey>,
    pub(super) issue: Option<OrderKey>,
    pub(super) suspended: Option<(OrderKey, bool)>,
    pub(super) revoked: Option<OrderKey>,
    pub(super) first: Option<OrderKey>,
    pub(super) last: Option<OrderKey>,
    pub(super) seats_used: i64,
    pub(super) voids: BTreeMap<Uuid, OrderKey>,
    /// As a number: 0 unknown, 1 active, 2 suspended, 3 revoked.
    pub(super) lifecycle: Option<i64>,
    pub(super) last_event_at: Option<i64>,
    /// Whether there is a value that no event decided.
    pub(super) has_strays: bool,
}

/// What else lies in a device's row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct DeviceBeside {
    pub(super) active: Option<OrderKey>,
    pub(super) activated: Option<OrderKey>,
    pub(super) seen_in_event: Option<i64>,
    pub(super) seen_in_heartbeat: Option<i64>,
}

/// A content, and the record that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said<'r> {
    pub(super) at: Coordinates,
    /// [`hash_of_request`].
    pub(super) request: u64,
    pub(super) content: &'r [u8],
}

/// What totals see of a license.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) customer: Option<String>,
    pub(super) product: Option<String>,
    pub(super) plan: Option<String>,
    pub(super) lifecycle: String,
    pub(super) seats: i64,
    pub(super) seats_used: i64,
    pub(super) valid_from: Option<i64>,
    pub(super) expires_at: Option<i64>,
}

/// Tells requests apart; 0 where there is none.
pub(super) fn hash_of_request(request_id: Option<&str>) -> u64 {
    request_id.map_or(0, |id| xxh3_64(id.as_bytes()))
}

/// What a row is in a sum of a license's.
pub(super) fn sum_of_row(part: audit::Part, name: &str, row: &Row) -> u128 {
    let mut hash = Xxh3Default::new();
    (part, name).hash(&mut hash);
    hash.write(row.canonical.as_bytes());
    row.beside.hash(&mut hash);
    hash.digest128()
}

/// What an event is in a sum of a license's.
pub(super) fn sum_of_event(event_id: Uuid, said: Said<'_>) -> u128 {
    sum_of_said("event", event_id, said)
}

/// What a conflict is in a sum of a license's.
pub(super) fn sum_of_conflict(event_id: Uuid, said: Said<'_>) -> u128 {
    sum_of_said("conflict", event_id, said)
}

fn sum_of_said(what: &str, event_id: Uuid, said: Said<'_>) -> u128 {
    let mut hash = Xxh3Default::new();
    let Said {
        at,
        request,
        content,
    } = said;
    (what, event_id, at, request, content).hash(&mut hash);
    hash.digest128()
}

/// What it is in a sum that an EventVoided names an event.
pub(super) fn sum_of_void(event_id: Uuid, by: Uuid) -> u128 {
    let mut hash = Xxh3Default::new();
    ("void", event_id, by).hash(&mut hash);
    hash.digest128()
}

/// What a fault that no expectation has is in a sum: never nothing.
pub(super) fn sum_of_fault(what: &str, name: &str) -> u128 {
    let mut hash = Xxh3Default::new();
    (what, name).hash(&mut hash);
    hash.digest128()
}
