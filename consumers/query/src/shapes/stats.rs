//! A tenant as a whole: totals of its licenses, and numbers of events.

use std::collections::BTreeMap;

use licenseflow_core::contract::EventKind;
use licenseflow_core::event_counts::{EventCounts, minute_start};
use licenseflow_core::totals::day_start;
use licenseflow_store::lookup::{Groups, TenantTotals};
use serde_json::{Map, Value, json};

use super::customer::totals;
use super::time;

/// The licenses: all of them, and by product and plan. Where there are more products or plans than are
/// named, the list says so.
pub(crate) fn tenant_totals(tenant: &TenantTotals) -> Value {
    let mut members = totals(&tenant.all);
    members.insert(
        "by_product".to_owned(),
        groups("product_id", &tenant.by_product),
    );
    members.insert("by_plan".to_owned(), groups("plan", &tenant.by_plan));
    Value::Object(members)
}

fn groups(named: &str, groups: &Groups) -> Value {
    let items = groups.totals.iter().map(|(name, of_name)| {
        let mut members = totals(of_name);
        members.insert(named.to_owned(), json!(name));
        Value::Object(members)
    });
    json!({ "items": items.collect::<Vec<_>>(), "goes_on": groups.goes_on })
}

/// Numbers of events by minute: those in which something happened, the earliest first.
pub(crate) fn per_minute(counts: &EventCounts) -> Value {
    by_time(counts, "minute", |minute| time(Some(minute_start(minute))))
}

/// Numbers of events by UTC day: those on which something happened, the earliest first.
pub(crate) fn per_day(counts: &EventCounts) -> Value {
    by_time(counts, "day", |day| {
        let date = |text: String| text.split('T').next().map(str::to_owned);
        time(Some(day_start(day))).and_then(date)
    })
}

fn by_time(counts: &EventCounts, named: &str, shown: impl Fn(i64) -> Option<String>) -> Value {
    let mut times: BTreeMap<i64, Map<String, Value>> = BTreeMap::new();
    for ((at, kind), events) in counts {
        let kind: EventKind = *kind;
        let of_time = times.entry(*at).or_default();
        of_time.insert(kind.name().to_owned(), (*events).into());
    }
    let items = times
        .into_iter()
        .map(|(at, events)| json!({ named: shown(at), "events": events }));
    items.collect()
}
