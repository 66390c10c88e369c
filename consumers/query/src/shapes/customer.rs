//! A customer: the roll-up of the licenses that it holds.

use licenseflow_core::status::{Lifecycle, Status};
use licenseflow_core::totals;
use licenseflow_runtime::http::openapi::words::{Id, Time};
use licenseflow_store::lookup::CustomerTotals;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{time, value};
use crate::links::{self, Links};
use crate::openapi::LinksByRelation;

/// A customer: the totals of the licenses that it holds now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Customer<'c> {
    #[schema(value_type = Id)]
    tenant_id: &'c str,
    #[schema(value_type = Id)]
    customer_id: &'c str,
    /// When the next of its licenses ends; null: none will.
    #[schema(required = true, value_type = Option<Time>)]
    next_expiry: Option<String>,
    #[serde(flatten)]
    #[schema(inline)]
    totals: Totals,
    #[schema(value_type = LinksByRelation)]
    _links: Links,
}

/// Totals of licenses.
#[derive(Serialize, ToSchema)]
pub(crate) struct Totals {
    /// How many there are.
    #[schema(minimum = 0)]
    licenses: i64,
    /// Their seats; one without counts as zero.
    #[schema(minimum = 0)]
    seats: i64,
    /// Their active devices.
    #[schema(minimum = 0)]
    seats_used: i64,
    by_status: ByStatus,
    by_lifecycle: ByLifecycle,
}

/// How many licenses have each status.
#[derive(Serialize, ToSchema)]
struct ByStatus {
    #[schema(minimum = 0)]
    active: i64,
    #[schema(minimum = 0)]
    expired: i64,
    #[schema(minimum = 0)]
    pending: i64,
    #[schema(minimum = 0)]
    revoked: i64,
    #[schema(minimum = 0)]
    suspended: i64,
    #[schema(minimum = 0)]
    unknown: i64,
}

/// Counts for each lifecycle.
#[derive(Serialize, ToSchema)]
struct ByLifecycle {
    active: Count,
    revoked: Count,
    suspended: Count,
    unknown: Count,
}

/// Licenses, their seats and their active devices.
#[derive(Serialize, ToSchema)]
struct Count {
    #[schema(minimum = 0)]
    licenses: i64,
    #[schema(minimum = 0)]
    seats: i64,
    #[schema(minimum = 0)]
    seats_used: i64,
}

/// The customer.
pub(crate) fn customer(tenant_id: &str, customer: &CustomerTotals) -> Value {
    let itself = links::customer(&customer.customer_id);
    let links = Links::itself(&itself).and("licenses", format!("{itself}/licenses"));
    value(Customer {
        tenant_id,
        customer_id: &customer.customer_id,
        next_expiry: time(customer.next_expiry),
        totals: totals(&customer.totals),
        _links: links,
    })
}

/// Totals: licenses, and by status; seats and seats used over all of them, and by lifecycle.
pub(super) fn totals(totals: &totals::Totals) -> Totals {
    let all = totals.all();
    let of_status = |status| totals.of_status(status);
    let of_lifecycle = |lifecycle| {
        let count = totals.of_lifecycle(lifecycle);
        Count {
            licenses: count.licenses,
            seats: count.seats,
            seats_used: count.seats_used,
        }
    };
    Totals {
        licenses: all.licenses,
        seats: all.seats,
        seats_used: all.seats_used,
        by_status: ByStatus {
            active: of_status(Status::Active),
            expired: of_status(Status::Expired),
            pending: of_status(Status::Pending),
            revoked: of_status(Status::Revoked),
            suspended: of_status(Status::Suspended),
            unknown: of_status(Status::Unknown),
        },
        by_lifecycle: ByLifecycle {
            active: of_lifecycle(Lifecycle::Active),
            revoked: of_lifecycle(Lifecycle::Revoked),
            suspended: of_lifecycle(Lifecycle::Suspended),
            unknown: of_lifecycle(Lifecycle::Unknown),
        },
    }
}
