//! A tenant as a whole: totals of its licenses, and numbers of events.

use std::collections::BTreeMap;

use licenseflow_core::contract::EventKind;
use licenseflow_core::event_counts::{EventCounts, minute_start};
use licenseflow_core::totals::day_start;
use licenseflow_runtime::http::openapi::words::{Id, Time};
use licenseflow_store::lookup;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::customer::{Totals, totals};
use super::{time, value};
use crate::openapi::CountsByType;

/// The licenses of a tenant: all of them, and by product and plan.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantTotals<'t> {
    #[serde(flatten)]
    #[schema(inline)]
    all: Totals,
    by_product: Products<'t>,
    by_plan: Plans<'t>,
}

/// Totals by product, in the order of the names.
#[derive(Serialize, ToSchema)]
struct Products<'p> {
    items: Vec<OfProduct<'p>>,
    /// Whether there are more products than are named.
    goes_on: bool,
}

/// Totals by plan, in the order of the names.
#[derive(Serialize, ToSchema)]
struct Plans<'p> {
    items: Vec<OfPlan<'p>>,
    /// Whether there are more plans than are named.
    goes_on: bool,
}

/// The licenses of a product.
#[derive(Serialize, ToSchema)]
struct OfProduct<'p> {
    #[schema(value_type = Id)]
    product_id: &'p str,
    #[serde(flatten)]
    #[schema(inline)]
    totals: Totals,
}

/// The licenses of a plan.
#[derive(Serialize, ToSchema)]
struct OfPlan<'p> {
    #[schema(value_type = Id)]
    plan: &'p str,
    #[serde(flatten)]
    #[schema(inline)]
    totals: Totals,
}

/// Events of a minute.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventsOfMinute {
    /// When it begins.
    #[schema(required = true, value_type = Time)]
    minute: Option<String>,
    #[schema(value_type = CountsByType)]
    events: BTreeMap<&'static str, i64>,
}

/// Events of a day.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventsOfDay {
    /// The day in UTC.
    #[schema(required = true, nullable = false, format = Date)]
    day: Option<String>,
    #[schema(value_type = CountsByType)]
    events: BTreeMap<&'static str, i64>,
}

/// The licenses: all of them, and by product and plan. Where there are more products or plans than are
/// named, the list says so.
pub(crate) fn tenant_totals(tenant: &lookup::TenantTotals) -> Value {
    let products = tenant.by_product.totals.iter();
    let plans = tenant.by_plan.totals.iter();
    value(TenantTotals {
        all: totals(&tenant.all),
        by_product: Products {
            items: products
                .map(|(product_id, of_product)| OfProduct {
                    product_id,
                    totals: totals(of_product),
                })
                .collect(),
            goes_on: tenant.by_product.goes_on,
        },
        by_plan: Plans {
            items: plans
                .map(|(plan, of_plan)| OfPlan {
                    plan,
                    totals: totals(of_plan),
                })
                .collect(),
            goes_on: tenant.by_plan.goes_on,
        },
    })
}

/// Numbers of events by minute: those in which something happened, the earliest first.
pub(crate) fn per_minute(counts: &EventCounts) -> Value {
    let minutes = by_time(counts).into_iter();
    let items = minutes.map(|(minute, events)| EventsOfMinute {
        minute: time(Some(minute_start(minute))),
        events,
    });
    value(items.collect::<Vec<_>>())
}

/// Numbers of events by UTC day: those on which something happened, the earliest first.
pub(crate) fn per_day(counts: &EventCounts) -> Value {
    let date = |text: String| text.split('T').next().map(str::to_owned);
    let days = by_time(counts).into_iter();
    let items = days.map(|(day, events)| EventsOfDay {
        day: time(Some(day_start(day))).and_then(date),
        events,
    });
    value(items.collect::<Vec<_>>())
}

fn by_time(counts: &EventCounts) -> BTreeMap<i64, BTreeMap<&'static str, i64>> {
    let mut times: BTreeMap<i64, BTreeMap<&'static str, i64>> = BTreeMap::new();
    for ((at, kind), events) in counts {
        let kind: EventKind = *kind;
        times.entry(*at).or_default().insert(kind.name(), *events);
    }
    times
}
