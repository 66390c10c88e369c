//! What is asked of totals: a customer's, a tenant's, and how many events happened.

use std::collections::BTreeMap;

use licenseflow_core::event_counts::EventCounts;
use licenseflow_core::totals::Totals;

use crate::Error;

/// The most products, and the most plans, that [`TenantTotals`] names.
pub const GROUPS_MAX: usize = 1000;

/// The days that [`Stats::per_day`] goes back: about ten years.
pub const DAYS_MAX: i64 = 3660;

/// A customer: those of a tenant's licenses that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerTotals {
    /// The customer.
    pub customer_id: String,
    /// Its licenses.
    pub totals: Totals,
    /// The first `expires_at` after the time of asking among its licenses with lifecycle `active`, in
    /// microseconds UTC.
    pub next_expiry: Option<i64>,
}

/// A tenant's licenses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantTotals {
    /// All of them.
    pub all: Totals,
    /// By `product_id`.
    pub by_product: Groups,
    /// By `plan`.
    pub by_plan: Groups,
}

/// Totals by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// The first [`GROUPS_MAX`] by name, by bytes.
    pub totals: BTreeMap<String, Totals>,
    /// Whether there are more.
    pub goes_on: bool,
}

/// What is known of a tenant as a whole. Each part may fail by itself.
#[derive(Debug)]
pub struct Stats {
    /// Its licenses at the time of asking.
    pub totals: Result<TenantTotals, Error>,
    /// Its counting events by minute of `occurred_at`, in the 48 hours up to the time of asking.
    pub per_minute: Result<EventCounts, Error>,
    /// Its counting events by day of `occurred_at`, of the last [`DAYS_MAX`] days.
    pub per_day: Result<EventCounts, Error>,
}
