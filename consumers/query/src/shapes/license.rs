//! A license: the members of its row, and what depends on the time of asking.

use licenseflow_core::contract::event::TextMap;
use licenseflow_core::contract::time::format_rfc3339;
use licenseflow_core::contract::{LicenseKey, Topics};
use licenseflow_core::license::LicenseState;
use licenseflow_core::status::Status;
use licenseflow_core::{FoldedLicense, Moment};
use licenseflow_runtime::http::openapi::words::{EventId, Id, Time};
use licenseflow_store::OpenLetter;
use licenseflow_store::lookup::LicenseRow;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::next::and_next;
use super::{event_id, time, time_ms};
use crate::links::{self, Links};
use crate::openapi::{LifecycleName, LinksByRelation, ReasonName, StatusName};

/// The members of a license beside its links, by name.
pub(crate) const LICENSE_MEMBERS: [&str; 21] = [
    "customer_id",
    "decided_by",
    "degraded",
    "entitlements",
    "event_count",
    "events",
    "expires_at",
    "first_event_at",
    "last_event_at",
    "last_event_id",
    "license_id",
    "lifecycle",
    "metadata",
    "over_seat",
    "plan",
    "product_id",
    "seats",
    "seats_used",
    "status",
    "tenant_id",
    "valid_from",
];

/// A license. What no event has said is null.
#[derive(Serialize, ToSchema)]
pub(crate) struct License<'l> {
    #[schema(value_type = Id)]
    tenant_id: &'l str,
    #[schema(value_type = Id)]
    license_id: &'l str,
    /// Who holds it.
    #[schema(required = true, value_type = Option<Id>)]
    customer_id: Option<&'l str>,
    /// What it is for.
    #[schema(required = true, value_type = Option<Id>)]
    product_id: Option<&'l str>,
    /// The plan, such as trial or team.
    #[schema(required = true, value_type = Option<Id>)]
    plan: Option<&'l str>,
    /// How many devices may be active at once.
    #[schema(required = true, minimum = 0, maximum = 1_000_000_000)]
    seats: Option<i32>,
    /// What it allows, by name.
    #[schema(required = true, value_type = Option<BTreeMap<String, String>>)]
    entitlements: Option<TextMap>,
    /// Whatever the issuer keeps with it.
    #[schema(required = true, value_type = Option<BTreeMap<String, String>>)]
    metadata: Option<TextMap>,
    /// It counts from here on.
    #[schema(required = true, value_type = Option<Time>)]
    valid_from: Option<String>,
    /// It counts until here; null: for ever, or not known.
    #[schema(required = true, value_type = Option<Time>)]
    expires_at: Option<String>,
    #[schema(value_type = LifecycleName)]
    lifecycle: &'static str,
    #[schema(value_type = StatusName)]
    status: &'static str,
    /// How many devices are active.
    #[schema(minimum = 0)]
    seats_used: i64,
    /// Whether more devices are active than there are seats.
    over_seat: bool,
    /// How many events count, heartbeats aside.
    #[schema(minimum = 0)]
    event_count: i64,
    /// A sum over the ids of all its events, voided ones too.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    events: String,
    #[schema(required = true, value_type = Option<Time>)]
    first_event_at: Option<String>,
    #[schema(required = true, value_type = Option<Time>)]
    last_event_at: Option<String>,
    /// The last event by the time when it occurred.
    #[schema(required = true, value_type = Option<EventId>)]
    last_event_id: Option<Uuid>,
    decided_by: DecidedBy,
    /// Records that were given up on, that name this license, and that nobody has dealt with: what they say
    /// is missing here. The first ten; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 10)]
    degraded: Vec<Degraded>,
    #[schema(value_type = LinksByRelation)]
    _links: Links,
}

/// A record that was given up on.
#[derive(Serialize, ToSchema)]
struct Degraded {
    #[schema(value_type = ReasonName)]
    reason: &'static str,
    /// When it was rejected.
    #[schema(value_type = Time)]
    since: String,
    topic: String,
    #[schema(minimum = 0)]
    partition: i32,
    #[schema(minimum = 0)]
    offset: i64,
}

impl License<'_> {
    /// With the open letters that name it.
    pub(crate) fn degraded_by(self, letters: &[OpenLetter], topics: &Topics) -> Self {
        let degraded = letters.iter().map(|letter| Degraded {
            reason: letter.reason.name(),
            since: time_ms(letter.since),
            topic: topics.lane(letter.at.lane),
            partition: letter.at.partition,
            offset: letter.at.offset,
        });
        Self {
            degraded: degraded.collect(),
            ..self
        }
    }
}

/// Which event decided each group of members; null: none.
#[derive(Serialize, ToSchema)]
struct DecidedBy {
    /// `customer_id`
    #[schema(required = true, value_type = Option<EventId>)]
    customer: Option<Uuid>,
    /// `expires_at`
    #[schema(required = true, value_type = Option<EventId>)]
    expiry: Option<Uuid>,
    /// `product_id`, `valid_from`, `metadata`
    #[schema(required = true, value_type = Option<EventId>)]
    issue: Option<Uuid>,
    /// `lifecycle`
    #[schema(required = true, value_type = Option<EventId>)]
    lifecycle: Option<Uuid>,
    /// `plan`, `seats`, `entitlements`
    #[schema(required = true, value_type = Option<EventId>)]
    plan: Option<Uuid>,
}

/// One of many licenses at a time in microseconds UTC, with links to what hangs on it.
pub(crate) fn license(row: &LicenseRow, at: i64) -> License<'_> {
    with_links(&row.key, &row.state, at, part_links(row))
}

/// The license itself, with links to what can be done next where events can be sent to.
pub(crate) fn license_and_next<'r>(
    row: &'r LicenseRow,
    at: i64,
    events_to: Option<&str>,
) -> License<'r> {
    let parts = part_links(row);
    let links = match events_to {
        Some(address) => and_next(parts, &row.state, status(&row.state, at), address),
        None => parts,
    };
    with_links(&row.key, &row.state, at, links)
}

/// The license as it was at another time; links lead to its devices then, and to what it is now.
pub(crate) fn license_then<'l>(
    key: &'l LicenseKey,
    then: &'l FoldedLicense,
    moment: Moment,
    at: i64,
) -> License<'l> {
    let now = links::license(&key.license_id);
    let asked = in_address(moment);
    let links = Links::itself(format!("{now}?{asked}"))
        .and("devices", format!("{now}/devices?{asked}"))
        .and("events", format!("{now}/events"))
        .and("current", now);
    with_links(key, &then.state, at, links)
}

/// The other time as it stands in an address.
pub(crate) fn in_address(moment: Moment) -> String {
    let part = |name: &str, at: Option<i64>| at.map(|at| format!("{name}={}", format_rfc3339(at)));
    let parts = [
        part("as_of", moment.as_of),
        part("known_at", moment.known_at),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join("&")
}

fn part_links(row: &LicenseRow) -> Links {
    let itself = links::license(&row.key.license_id);
    let links = Links::itself(&itself)
        .and("devices", format!("{itself}/devices"))
        .and("usage", format!("{itself}/usage"))
        .and("events", format!("{itself}/events"));
    match &row.state.customer {
        Some(held_by) => links.and("customer", links::customer(&held_by.value)),
        None => links,
    }
}

fn status(state: &LicenseState, at: i64) -> Status {
    let valid_from = state.issue.as_ref().map(|it| it.value.valid_from);
    Status::at(state.lifecycle(), valid_from, state.expires_at(), at)
}

fn with_links<'l>(
    key: &'l LicenseKey,
    state: &'l LicenseState,
    at: i64,
    links: Links,
) -> License<'l> {
    let plan = state.plan.as_ref().map(|it| &it.value);
    let issue = state.issue.as_ref().map(|it| &it.value);
    let seats = plan.map(|it| it.seats);
    License {
        tenant_id: &key.tenant_id,
        license_id: &key.license_id,
        customer_id: state.customer.as_ref().map(|it| it.value.as_ref()),
        product_id: issue.map(|it| it.product_id.as_ref()),
        plan: plan.map(|it| it.plan.as_ref()),
        seats,
        entitlements: plan.map(|it| it.entitlements.to_map()),
        metadata: issue.map(|it| it.metadata.to_map()),
        valid_from: time(issue.map(|it| it.valid_from)),
        expires_at: time(state.expires_at()),
        lifecycle: state.lifecycle().name(),
        status: status(state, at).name(),
        seats_used: state.seats_used,
        over_seat: seats.is_some_and(|seats| state.seats_used > i64::from(seats)),
        event_count: state.event_count,
        events: format!("{:032x}", state.events),
        first_event_at: time(state.first.map(|it| it.occurred_at)),
        last_event_at: time(state.last.map(|it| it.occurred_at)),
        last_event_id: event_id(state.last),
        decided_by: decided_by(state),
        degraded: Vec::new(),
        _links: links,
    }
}

fn decided_by(state: &LicenseState) -> DecidedBy {
    DecidedBy {
        customer: event_id(state.customer.as_ref().map(|it| it.by)),
        expiry: event_id(state.expiry.as_ref().map(|it| it.by)),
        issue: event_id(state.issue.as_ref().map(|it| it.by)),
        lifecycle: event_id(state.lifecycle_decided_by()),
        plan: event_id(state.plan.as_ref().map(|it| it.by)),
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_core::contract::{Coordinates, Lane, Reason};

    use super::super::value;
    use super::*;

    #[test]
    fn every_member_is_named_in_the_list_of_them() {
        let row = LicenseRow {
            key: LicenseKey {
                tenant_id: "t".to_owned(),
                license_id: "L".to_owned(),
            },
            state: LicenseState::default(),
            letters: vec![OpenLetter {
                at: Coordinates {
                    timestamp: 0,
                    lane: Lane::Bulk,
                    partition: 0,
                    offset: 0,
                },
                reason: Reason::Truncated,
                since: 0,
            }],
        };
        assert!(value(license(&row, 0)).get("degraded").is_none());
        let shown = value(license(&row, 0).degraded_by(&row.letters, &Topics::new("")));
        let mut names: Vec<&str> = shown
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        names.retain(|name| *name != "_links");
        assert_eq!(names, LICENSE_MEMBERS);
    }
}
