//! The limits of an event's fields, checked alike at the intake and in the consumer.
//!
//! Faults name their field by a JSON pointer into the JSON form, whichever form the event came in.

use crate::event::{LicenseEvent, Payload, TextMap};
use crate::reason::Fault;
use crate::time::format_rfc3339;

/// The longest identifier and map key, in bytes.
pub const MAX_ID: usize = 128;
/// The longest other text, in Unicode scalar values.
pub const MAX_TEXT: usize = 256;
/// The longest `reason` and map value, in Unicode scalar values.
pub const MAX_LONG_TEXT: usize = 1024;
/// The most entries of a map.
pub const MAX_ENTRIES: usize = 64;
/// The most seats.
pub const MAX_SEATS: i32 = 1_000_000_000;
/// The greatest quantity of one event.
pub const MAX_QUANTITY: i64 = 1_000_000_000_000;
/// Times are before this: 2200-01-01, in microseconds UTC.
pub const TIME_END: i64 = 7_258_118_400_000_000;

/// 9999-01-01: times from here on are how some say never.
const NEVER: i64 = 253_370_764_800_000_000;

/// Whether a text is an identifier: 1–128 of `A-Za-z0-9._:-`, the first of `A-Za-z0-9`.
#[must_use]
pub fn valid_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= MAX_ID
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-'))
}

/// Whether every limit is kept.
///
/// # Errors
/// The first field that breaks one, in the schema's order.
pub fn check(event: &LicenseEvent) -> Result<(), Fault> {
    let mut first = None;
    walk(event, &mut |fault| {
        first.get_or_insert_with(fault);
    });
    first.map_or(Ok(()), Err)
}

/// Every field that breaks a limit, in the schema's order.
#[must_use]
pub fn check_all(event: &LicenseEvent) -> Vec<Fault> {
    let mut faults = Vec::new();
    walk(event, &mut |fault| faults.push(fault()));
    faults
}

/// Takes the maker of a fault, so that words nobody reads are not made.
type Report<'a> = &'a mut dyn FnMut(&dyn Fn() -> Fault);

fn walk(event: &LicenseEvent, report: Report<'_>) {
    id("/license_id", &event.license_id, report);
    id("/tenant_id", &event.tenant_id, report);
    time("/occurred_at", event.occurred_at, report);
    text("/source", &event.source, MAX_TEXT, report);
    if let Some(actor) = &event.actor {
        text("/actor", actor, MAX_TEXT, report);
    }
    walk_payload(&event.payload, report);
}

fn walk_payload(payload: &Payload, report: Report<'_>) {
    match payload {
        Payload::LicenseIssued(data) => {
            id("/data/customer_id", &data.customer_id, report);
            id("/data/product_id", &data.product_id, report);
            id("/data/plan", &data.plan, report);
            seats(data.seats, report);
            time("/data/valid_from", data.valid_from, report);
            expires_at(data.expires_at, report);
            map("/data/entitlements", &data.entitlements, report);
            map("/data/metadata", &data.metadata, report);
        }
        Payload::LicenseRenewed(data) => expires_at(data.expires_at, report),
        Payload::LicensePlanChanged(data) => {
            id("/data/plan", &data.plan, report);
            seats(data.seats, report);
            map("/data/entitlements", &data.entitlements, report);
        }
        Payload::LicenseTransferred(data) => id("/data/customer_id", &data.customer_id, report),
        Payload::LicenseSuspended(data) => reason(&data.reason, report),
        Payload::LicenseReinstated(data) => reason(&data.reason, report),
        Payload::LicenseRevoked(data) => reason(&data.reason, report),
        Payload::DeviceActivated(data) => {
            id("/data/device_id", &data.device_id, report);
            if let Some(fingerprint) = &data.fingerprint {
                text("/data/fingerprint", fingerprint, MAX_TEXT, report);
            }
            if let Some(platform) = &data.platform {
                text("/data/platform", platform, MAX_TEXT, report);
            }
        }
        Payload::DeviceDeactivated(data) => {
            id("/data/device_id", &data.device_id, report);
            reason(&data.reason, report);
        }
        Payload::DeviceHeartbeat(data) => id("/data/device_id", &data.device_id, report),
        Payload::UsageRecorded(data) => {
            id("/data/metric", &data.metric, report);
            quantity(data.quantity, report);
        }
        Payload::EventVoided(data) => reason(&data.reason, report),
    }
}

const NOT_AN_ID: &str =
    "expected 1 to 128 of A-Z a-z 0-9 . _ : - beginning with a letter or a digit";

fn id(pointer: &str, value: &str, report: Report<'_>) {
    if !valid_id(value) {
        report(&|| Fault::invalid(pointer, NOT_AN_ID));
    }
}

fn reason(value: &str, report: Report<'_>) {
    text("/data/reason", value, MAX_LONG_TEXT, report);
}

fn text(pointer: &str, value: &str, longest: usize, report: Report<'_>) {
    if let Some(error) = text_error(value, longest) {
        report(&|| Fault::invalid(pointer, error.clone()));
    }
}

fn text_error(value: &str, longest: usize) -> Option<String> {
    // No text has more scalar values than bytes, so the count is rarely needed.
    if value.len() > longest && value.chars().count() > longest {
        return Some(format!("is longer than {longest} characters"));
    }
    let control = value
        .bytes()
        .find(|byte| *byte < 0x20 && !matches!(byte, b'\t' | b'\n'))?;
    Some(format!("holds the control character U+{control:04X}"))
}

fn seats(value: i32, report: Report<'_>) {
    if !(0..=MAX_SEATS).contains(&value) {
        report(&|| Fault::invalid("/data/seats", format!("expected 0 to {MAX_SEATS}")));
    }
}

fn quantity(value: i64, report: Report<'_>) {
    if !(0..=MAX_QUANTITY).contains(&value) {
        report(&|| Fault::invalid("/data/quantity", format!("expected 0 to {MAX_QUANTITY}")));
    }
}

fn expires_at(value: Option<i64>, report: Report<'_>) {
    if let Some(value) = value {
        time("/data/expires_at", value, report);
    }
}

fn time(pointer: &str, value: i64, report: Report<'_>) {
    if (0..TIME_END).contains(&value) {
        return;
    }
    report(&|| {
        let found = format_rfc3339(value);
        let hint = match pointer {
            "/data/expires_at" if value >= NEVER => "; a license that never ends has null here",
            _ => "",
        };
        Fault::invalid(
            pointer,
            format!("{found} is not from 1970 to before 2200{hint}"),
        )
    });
}

fn map(pointer: &str, value: &TextMap, report: Report<'_>) {
    if value.len() > MAX_ENTRIES {
        report(&|| Fault::invalid(pointer, format!("has more than {MAX_ENTRIES} entries")));
    }
    for (key, entry) in value {
        if !valid_id(key) {
            report(&|| Fault::invalid(entry_pointer(pointer, key), NOT_AN_ID));
        }
        if let Some(error) = text_error(entry, MAX_LONG_TEXT) {
            report(&|| Fault::invalid(entry_pointer(pointer, key), error.clone()));
        }
    }
}

/// The JSON pointer of a map's entry; a key too long to be one is cut.
pub(crate) fn entry_pointer(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", escape(key))
}

/// A name as a JSON pointer says it, cut where it is longer than any that we know.
pub(crate) fn escape(name: &str) -> String {
    let cut: String = name.chars().take(MAX_ID).collect();
    cut.replace('~', "~0").replace('/', "~1")
}
