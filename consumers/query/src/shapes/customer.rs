//! A customer: the roll-up of the licenses that it holds.

use licenseflow_core::status::{Lifecycle, Status};
use licenseflow_core::totals::Totals;
use licenseflow_store::lookup::CustomerTotals;
use serde_json::{Map, Value, json};

use super::time;
use crate::links::{self, Links};

/// The customer.
pub(crate) fn customer(tenant_id: &str, customer: &CustomerTotals) -> Value {
    let itself = links::customer(&customer.customer_id);
    let links = Links::itself(&itself).and("licenses", format!("{itself}/licenses"));
    let mut members = totals(&customer.totals);
    members.insert("tenant_id".to_owned(), tenant_id.into());
    members.insert("customer_id".to_owned(), json!(customer.customer_id));
    members.insert("next_expiry".to_owned(), json!(time(customer.next_expiry)));
    members.insert("_links".to_owned(), links.json());
    Value::Object(members)
}

/// Totals: licenses, and by status; seats and seats used over all of them, and by lifecycle.
pub(super) fn totals(totals: &Totals) -> Map<String, Value> {
    let all = totals.all();
    let by_status: Map<String, Value> = Status::ALL
        .into_iter()
        .map(|status| (status.name().to_owned(), totals.of_status(status).into()))
        .collect();
    let by_lifecycle: Map<String, Value> = Lifecycle::ALL
        .into_iter()
        .map(|lifecycle| {
            let count = totals.of_lifecycle(lifecycle);
            let shown = json!({
                "licenses": count.licenses,
                "seats": count.seats,
                "seats_used": count.seats_used,
            });
            (lifecycle.name().to_owned(), shown)
        })
        .collect();
    let members = [
        ("licenses", all.licenses.into()),
        ("seats", all.seats.into()),
        ("seats_used", all.seats_used.into()),
        ("by_status", Value::Object(by_status)),
        ("by_lifecycle", Value::Object(by_lifecycle)),
    ];
    let members = members.into_iter();
    members
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
