//! Answers that are put together of shapes: lists, a batch, a journey, statistics, and licenses of which
//! only some members were asked for.

use licenseflow_runtime::http::openapi::openapi_word;
use licenseflow_runtime::http::openapi::words::schema;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::shapes::License;

/// A shape by its name.
pub(crate) fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

pub(crate) fn nullable(shape: Value) -> Value {
    json!({ "oneOf": [{ "type": "null" }, shape] })
}

/// A license, or what was asked for of it.
fn any_license(whole: &str) -> Value {
    json!({ "anyOf": [of(whole), of("SparseLicense")] })
}

/// A page of a list.
pub(crate) fn page(about: &str, item: Value) -> Value {
    json!({
        "type": "object",
        "description": about,
        "properties": {
            "items": { "type": "array", "items": item, "maxItems": crate::params::LIMIT_MAX },
            "next_cursor": {
                "type": ["string", "null"],
                "description": "For the parameter `cursor`; null: the list ends here. A page may be short, \
                                or empty, and the list still go on.",
            },
            "_links": of("LinksByRelation"),
        },
        "required": ["items", "next_cursor", "_links"],
    })
}

openapi_word!(
    /// Licenses.
    LicenseList,
    page("A page of licenses.", any_license("License"))
);
openapi_word!(
    /// Devices.
    DeviceList,
    page("A page of a license's devices, by id.", of("Device"))
);
openapi_word!(
    /// Metrics.
    MetricList,
    page("A page of a license's metrics, by name.", of("Metric"))
);
openapi_word!(
    /// A timeline.
    EventList,
    page("A page of a license's timeline, the earliest first.", of("TimelineEvent"))
);
openapi_word!(
    /// A journey.
    Journey,
    {
        let mut page = page("A page of a request's records.", of("JourneyStep"));
        page["properties"]["request_id"] = of("RequestIdText");
        page["required"] = json!(["items", "next_cursor", "request_id", "_links"]);
        page
    }
);
openapi_word!(
    /// One license.
    LicenseAnswer,
    any_license("LicenseWithParts")
);
openapi_word!(
    /// The body of a batch.
    BatchAsked,
    json!({
        "type": "object",
        "properties": { "ids": { "type": "array", "items": of("Id"), "maxItems": 1000 } },
        "required": ["ids"],
        "additionalProperties": false,
        "examples": [{ "ids": ["lic-1", "lic-2"] }],
    })
);
openapi_word!(
    /// A batch.
    Batch,
    json!({
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": any_license("License"),
                "description": "Those that are there, in the order asked.",
            },
            "missing": { "type": "array", "items": of("Id"), "description": "Those that are not." },
            "_links": of("LinksByRelation"),
        },
        "required": ["items", "missing", "_links"],
    })
);
openapi_word!(
    /// A tenant as a whole.
    Stats,
    {
        let parts = ["totals", "events_per_minute", "events_per_day"];
        let list = |name: &str| nullable(json!({ "type": "array", "items": of(name) }));
        json!({
            "type": "object",
            "properties": {
                "tenant_id": of("Id"),
                "totals": nullable(of("TenantTotals")),
                "events_per_minute": list("EventsOfMinute"),
                "events_per_day": list("EventsOfDay"),
                "degraded": {
                    "type": "array",
                    "items": { "enum": parts },
                    "description": "Parts that failed and are null.",
                },
                "_links": of("LinksByRelation"),
            },
            "required": [
                "tenant_id", "totals", "events_per_minute", "events_per_day", "degraded", "_links",
            ],
        })
    }
);

/// A license with the parts that were asked for by `include`.
#[derive(Debug)]
pub(crate) enum LicenseWithParts {}

impl PartialSchema for LicenseWithParts {
    fn schema() -> RefOr<Schema> {
        changed("A license, with the parts that `include` names.", |_| {})
    }
}

impl ToSchema for LicenseWithParts {}

/// A license of which `fields` leaves members out.
#[derive(Debug)]
pub(crate) enum SparseLicense {}

impl PartialSchema for SparseLicense {
    fn schema() -> RefOr<Schema> {
        changed(
            "A license, of which only the members that `fields` names are there.",
            |required| {
                required.retain(|name| name == "_links");
            },
        )
    }
}

impl ToSchema for SparseLicense {}

/// The schema of a license with its parts, and another rule for which members must be there.
fn changed(about: &str, require: impl FnOnce(&mut Vec<String>)) -> RefOr<Schema> {
    let mut changed = License::schema();
    if let RefOr::T(Schema::Object(object)) = &mut changed {
        object.description = Some(about.to_owned());
        require(&mut object.required);
        let customer = nullable(of("Customer"));
        for (name, part) in [
            ("devices", of("DeviceList")),
            ("usage", of("MetricList")),
            ("timeline", of("EventList")),
            ("customer", customer),
        ] {
            object.properties.insert(name.to_owned(), schema(part));
        }
    }
    changed
}
