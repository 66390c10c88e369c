//! The parameters that each route knows, beside those that all of them know: read by the handlers, and
//! told by the description.

use super::moment::{AS_OF, KNOWN_AT};
use crate::fields::FIELDS;

// The customer comes first: a list that is one customer's takes all others.
pub(crate) const LICENSES: [&str; 12] = [
    "customer_id",
    "product_id",
    "plan",
    "status",
    "lifecycle",
    "expires_before",
    "expires_after",
    "over_seat",
    "sort",
    "limit",
    "cursor",
    FIELDS,
];
pub(crate) const CUSTOMERS_LICENSES: &[&str] = LICENSES.split_at(1).1;
pub(crate) const LICENSE: [&str; 4] = ["include", FIELDS, AS_OF, KNOWN_AT];
pub(crate) const BATCH: [&str; 1] = [FIELDS];
pub(crate) const DEVICES: [&str; 4] = ["limit", "cursor", AS_OF, KNOWN_AT];
pub(crate) const USAGE: [&str; 2] = ["limit", "cursor"];
pub(crate) const EVENTS: [&str; 5] = ["type", "from", "to", "limit", "cursor"];
pub(crate) const LAST_EVENT_ID: &str = "last_event_id";
pub(crate) const STREAM: [&str; 5] = [
    "license_id",
    "customer_id",
    "product_id",
    "type",
    LAST_EVENT_ID,
];
pub(crate) const JOURNEY: [&str; 2] = ["limit", "cursor"];
