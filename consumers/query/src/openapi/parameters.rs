//! The parameters of the routes: each route's are those that its handler reads, by the same list.

use licenseflow_core::contract::EventKind;
use licenseflow_core::contract::json::schema::TIME;
use licenseflow_core::status::{Lifecycle, Status};
use licenseflow_runtime::http::openapi::words::{
    ID_PATTERN, POSITION_PATTERN, REQUEST_ID_PATTERN, optional, path,
};
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};

use crate::params::LIMIT_MAX;
use crate::routes::known::{self, LAST_EVENT_ID};
use crate::shapes::LICENSE_MEMBERS;

macro_rules! parameters {
    ($($(#[$about:meta])* $name:ident => $parameters:expr;)*) => { $(
        $(#[$about])*
        #[derive(Debug)]
        pub(crate) enum $name {}

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                $parameters
            }
        }
    )* };
}

parameters! {
    /// The license of a path.
    LicenseId => vec![path("license_id", "The license.", id("lic-1"))];
    /// The customer of a path.
    CustomerId => vec![path("customer_id", "The customer.", id("cust-1"))];
    /// The request of a path.
    RequestId => vec![path("request_id", "The request: its own id, or topic:partition:offset.", request_id())];
    /// Of a license.
    OfLicense => of(&known::LICENSE);
    /// Of the list of licenses.
    OfLicenses => of(&known::LICENSES);
    /// Of a customer's licenses.
    OfCustomer => of(known::CUSTOMERS_LICENSES);
    /// Of a batch.
    FieldsAlone => of(&known::BATCH);
    /// Of a license's devices.
    OfDevices => of(&known::DEVICES);
    /// Of a license's metrics.
    OfUsage => of(&known::USAGE);
    /// Of a timeline.
    OfEvents => of(&known::EVENTS);
    /// Of a stream.
    OfStream => stream();
    /// Of a journey.
    OfJourney => of(&known::JOURNEY);
}

fn of(names: &[&str]) -> Vec<Parameter> {
    names.iter().map(|name| named(name)).collect()
}

/// All of a stream; the header that says where it goes on is one that browsers send by themselves.
fn stream() -> Vec<Parameter> {
    let mut all: Vec<Parameter> = known::STREAM.into_iter().map(of_stream).collect();
    let words = format!("{LAST_EVENT} The header wins.");
    all.push(optional(
        ParameterIn::Header,
        "Last-Event-ID",
        &words,
        position(),
    ));
    all
}

/// A filter of a stream has one value or several.
fn of_stream(name: &str) -> Parameter {
    let said = EventKind::ALL.into_iter().map(EventKind::name);
    let said: Vec<&str> = said.filter(|name| *name != "DeviceHeartbeat").collect();
    match name {
        "license_id" => any_of(name, "Only events of these licenses.", id("lic-1")),
        "customer_id" => any_of(
            name,
            "Only events of licenses that one of these customers holds when the event is told.",
            id("cust-1"),
        ),
        "product_id" => any_of(
            name,
            "Only events of licenses for one of these products.",
            id("editor"),
        ),
        "type" => any_of(name, "Only events of these types.", one_of(&said)),
        LAST_EVENT_ID => optional(ParameterIn::Query, name, LAST_EVENT, position()),
        _ => any_of(name, "", json!({ "type": "string" })),
    }
}

const LAST_EVENT: &str = "The id of the last event at hand: what was said after it comes.";

fn position() -> Value {
    json!({ "type": "string", "pattern": POSITION_PATTERN, "examples": ["e:2:431"] })
}

fn named(name: &str) -> Parameter {
    let query = |about: &str, words: Value| optional(ParameterIn::Query, name, about, words);
    match name {
        "customer_id" => query("Only those that this customer holds.", id("cust-1")),
        "product_id" => query("Only those of this product.", id("editor")),
        "plan" => query("Only those of this plan.", id("team")),
        "status" => query(
            "Only those of this status now.",
            one_of(&Status::ALL.map(Status::name)),
        ),
        "lifecycle" => query(
            "Only those of this lifecycle.",
            one_of(&Lifecycle::ALL.map(Lifecycle::name)),
        ),
        "expires_before" => query("Only those that end before this time.", time()),
        "expires_after" => query("Only those that end after this time.", time()),
        "over_seat" => query(
            "Only those with more active devices than seats, or only others.",
            json!({ "type": "boolean" }),
        ),
        "sort" => query(
            "What the list is sorted by; after a `-`, descending.",
            sort(),
        ),
        "limit" => query("How many items a page has at most.", limit()),
        "cursor" => query(
            "`next_cursor` of the page before. It fixes filters, sort and the time of `status`; filters \
             beside it are left out or the same.",
            json!({ "type": "string" }),
        ),
        "type" => query(
            "Only events of this type.",
            one_of(&EventKind::ALL.map(EventKind::name)),
        ),
        "from" => query("Only events that occurred at this time or later.", time()),
        "to" => query("Only events that occurred before this time.", time()),
        "as_of" => query("As it was: events that had occurred by then.", time()),
        "known_at" => query(
            "As it was known: events that had been recorded by then.",
            time(),
        ),
        "fields" => several(
            name,
            "Only these members of a license, and its `_links`.",
            &LICENSE_MEMBERS,
        ),
        "include" => several(
            name,
            "Also the first pages of these. With `as_of` or `known_at`: devices alone.",
            &["devices", "usage", "customer", "timeline"],
        ),
        _ => query("", json!({ "type": "string" })),
    }
}

/// Names separated by commas.
fn several(name: &str, about: &str, names: &[&str]) -> Parameter {
    any_of(name, about, one_of(names))
}

/// Values separated by commas.
fn any_of(name: &str, about: &str, each: Value) -> Parameter {
    let words = json!({ "type": "array", "items": each, "minItems": 1 });
    let parameter = optional(ParameterIn::Query, name, about, words);
    ParameterBuilder::from(parameter)
        .explode(Some(false))
        .build()
}

fn one_of(names: &[&str]) -> Value {
    json!({ "type": "string", "enum": names })
}

pub(crate) fn id(example: &str) -> Value {
    json!({ "type": "string", "pattern": ID_PATTERN, "maxLength": 128, "examples": [example] })
}

fn request_id() -> Value {
    json!({ "type": "string", "pattern": REQUEST_ID_PATTERN, "maxLength": 128, "examples": ["order-1"] })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time", "pattern": TIME })
}

pub(crate) fn limit() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": 50 })
}

fn sort() -> Value {
    let names = ["license_id", "expires_at", "last_event_at"];
    let both = names.map(|name| [name.to_owned(), format!("-{name}")]);
    json!({ "type": "string", "enum": both.concat(), "default": "license_id" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_that_a_handler_reads_has_words() {
        let all: [&[&str]; 8] = [
            &known::LICENSE,
            &known::LICENSES,
            known::CUSTOMERS_LICENSES,
            &known::BATCH,
            &known::DEVICES,
            &known::USAGE,
            &known::EVENTS,
            &known::JOURNEY,
        ];
        let named = all.concat().into_iter().map(named);
        for parameter in named.chain(known::STREAM.map(of_stream)) {
            let words = parameter.description.unwrap_or_default();
            assert!(!words.is_empty(), "{}", parameter.name);
        }
    }
}
