//! What can be done next with a license in its state, as links of its own.
//!
//! | status | relations |
//! |---|---|
//! | `unknown` | `issue` |
//! | `active`, `pending` | `renew` `change-plan` `transfer` `suspend` `revoke`, and for devices and usage below |
//! | `expired` | `renew` `change-plan` `transfer` `suspend` `revoke` |
//! | `suspended` | `reinstate` `renew` `change-plan` `transfer` `revoke` |
//! | `revoked` | none of them: it never counts again |
//!
//! `activate-device` where a seat is free and the license is active or pending, `record-usage` where it
//! is active, `deactivate-device` where a device is active, `void` where there is an event to undo. The
//! intake takes every event in any state, since a late one may have been true in its time: these are
//! what makes sense now.

use licenseflow_core::contract::EventKind;
use licenseflow_core::license::LicenseState;
use licenseflow_core::status::Status;

use crate::links::Links;

/// An event that may come next.
struct Next {
    relation: &'static str,
    event: EventKind,
    /// What its data must have.
    required: &'static [&'static str],
    /// What its data may have.
    optional: &'static [&'static str],
}

const fn next(
    relation: &'static str,
    event: EventKind,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Next {
    Next {
        relation,
        event,
        required,
        optional,
    }
}

const REASON: &[&str] = &["reason"];

const ISSUE: Next = next(
    "issue",
    EventKind::LicenseIssued,
    &["customer_id", "product_id", "plan", "seats", "valid_from"],
    &["expires_at", "entitlements", "metadata"],
);
const RENEW: Next = next("renew", EventKind::LicenseRenewed, &["expires_at"], &[]);
const CHANGE_PLAN: Next = next(
    "change-plan",
    EventKind::LicensePlanChanged,
    &["plan", "seats"],
    &["entitlements"],
);
const TRANSFER: Next = next(
    "transfer",
    EventKind::LicenseTransferred,
    &["customer_id"],
    &[],
);
const SUSPEND: Next = next("suspend", EventKind::LicenseSuspended, &[], REASON);
const REINSTATE: Next = next("reinstate", EventKind::LicenseReinstated, &[], REASON);
const REVOKE: Next = next("revoke", EventKind::LicenseRevoked, &[], REASON);
const ACTIVATE: Next = next(
    "activate-device",
    EventKind::DeviceActivated,
    &["device_id"],
    &["fingerprint", "platform"],
);
const DEACTIVATE: Next = next(
    "deactivate-device",
    EventKind::DeviceDeactivated,
    &["device_id"],
    REASON,
);
const USE: Next = next(
    "record-usage",
    EventKind::UsageRecorded,
    &["metric", "quantity"],
    &[],
);
const VOID: Next = next("void", EventKind::EventVoided, &["voided_event_id"], REASON);

/// The links, and one for each event that may come next; `address` is where events are sent to.
pub(super) fn and_next(links: Links, state: &LicenseState, status: Status, address: &str) -> Links {
    let all = terms(status).iter().chain(parts(state, status));
    all.fold(links, |links, next| {
        links.and_event(
            next.relation,
            address,
            next.event.name(),
            (next.required, next.optional),
        )
    })
}

/// What concerns the license itself.
fn terms(status: Status) -> &'static [Next] {
    match status {
        Status::Unknown => &[ISSUE],
        Status::Active | Status::Pending | Status::Expired => {
            &[RENEW, CHANGE_PLAN, TRANSFER, SUSPEND, REVOKE]
        }
        Status::Suspended => &[REINSTATE, RENEW, CHANGE_PLAN, TRANSFER, REVOKE],
        Status::Revoked => &[],
    }
}

/// What concerns its devices, its usage and its events.
fn parts(state: &LicenseState, status: Status) -> impl Iterator<Item = &'static Next> {
    let seats = state.plan.as_ref().map(|it| i64::from(it.value.seats));
    let is_open = matches!(status, Status::Active | Status::Pending);
    let may = [
        (
            &ACTIVATE,
            is_open && seats.is_some_and(|seats| state.seats_used < seats),
        ),
        (&DEACTIVATE, state.seats_used > 0),
        (&USE, status == Status::Active),
        (&VOID, state.event_count > 0),
    ];
    may.into_iter()
        .filter(|(_, may)| *may)
        .map(|(next, _)| next)
}

#[cfg(test)]
mod tests {
    use licenseflow_core::contract::json::decode_data;
    use serde_json::{Map, Value, json};

    use super::*;

    const ALL: [Next; 11] = [
        ISSUE,
        RENEW,
        CHANGE_PLAN,
        TRANSFER,
        SUSPEND,
        REINSTATE,
        REVOKE,
        ACTIVATE,
        DEACTIVATE,
        USE,
        VOID,
    ];

    fn value(member: &str) -> Value {
        match member {
            "seats" | "quantity" => json!(1),
            "valid_from" | "expires_at" => json!("2026-01-01T00:00:00Z"),
            "entitlements" | "metadata" => json!({}),
            "voided_event_id" => json!("0198e2f4-7c1a-7c3e-9a64-2f7a30c1d001"),
            _ => json!("x"),
        }
    }

    fn is_taken<'a>(event: EventKind, members: impl Iterator<Item = &'a &'a str>) -> bool {
        let data: Map<String, Value> = members
            .map(|member| ((*member).to_owned(), value(member)))
            .collect();
        decode_data(event, Value::Object(data).to_string().as_bytes()).is_ok()
    }

    #[test]
    fn an_event_made_by_its_link_is_taken_and_none_of_what_is_required_can_be_left_out() {
        for next in &ALL {
            assert!(
                is_taken(next.event, next.required.iter()),
                "{}",
                next.relation
            );
            let whole = next.required.iter().chain(next.optional);
            assert!(is_taken(next.event, whole), "{}", next.relation);
            for left_out in next.required {
                let rest = next.required.iter().filter(|it| *it != left_out);
                assert!(
                    !is_taken(next.event, rest),
                    "{} without {left_out}",
                    next.relation
                );
            }
        }
    }
}
