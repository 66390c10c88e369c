//! Events to send: of a few hundred licenses of two tenants, of every type, some voided.

use std::time::{Duration, SystemTime};

use licenseflow_tests::chance::Chance;
use serde_json::{Value, json};
use uuid::Uuid;

/// So few that every license is written over and over, by whoever writes.
const LICENSES: u64 = 120;

const TENANTS: [&str; 2] = ["default", "acme"];

/// An event as it is sent, each time the same.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) license: String,
    /// A heartbeat is in no timeline.
    pub(crate) is_heartbeat: bool,
    pub(crate) body: Value,
}

impl Event {
    fn new(chance: &mut Chance, license: (&str, String), kind: &str, data: &Value) -> Self {
        let (id, (tenant, license)) = (Uuid::now_v7().to_string(), license);
        let body = json!({
            "event_id": id, "tenant_id": tenant, "license_id": license, "source": "faults",
            "occurred_at": occurred_at(chance), "type": kind, "data": data,
        });
        Self {
            id,
            tenant: tenant.to_owned(),
            license,
            is_heartbeat: kind == "DeviceHeartbeat",
            body,
        }
    }

    /// Of a license that asks only whether it can be written.
    pub(crate) fn probe(chance: &mut Chance, number: usize) -> Self {
        let license = (TENANTS[0], format!("PROBE-{number}"));
        let usage = json!({"metric": "probes", "quantity": 1});
        Self::new(chance, license, "UsageRecorded", &usage)
    }

    /// Any event; what it may void is one that was made before.
    pub(crate) fn any(chance: &mut Chance, before: Option<&Event>) -> Self {
        let license = format!("LIC-{}", chance.below(LICENSES));
        if let Some(before) = before.filter(|_| chance.once_in(40)) {
            let license = (tenant_of(&before.tenant), before.license.clone());
            let voided = json!({"voided_event_id": before.id, "reason": "said in error"});
            return Self::new(chance, license, "EventVoided", &voided);
        }
        let (kind, data) = what_happened(chance);
        let tenant = *chance.pick(&TENANTS);
        Self::new(chance, (tenant, license), kind, &data)
    }
}

fn tenant_of(name: &str) -> &'static str {
    let known = TENANTS.iter().find(|it| **it == name);
    known.copied().unwrap_or(TENANTS[0])
}

/// In the last four hundred days, so never ahead of a broker's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "events are of the past for whoever judges them"
)]
fn occurred_at(chance: &mut Chance) -> String {
    let past = Duration::from_secs(3600 + chance.below(400 * 86_400));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = now.unwrap_or_default().saturating_sub(past);
    rfc3339(since.as_secs(), chance.below(1_000_000))
}

/// By the rule of civil dates: years begin in March, so that the odd day is a year's last.
fn rfc3339(seconds: u64, micros: u64) -> String {
    let (day, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (number, year) = (
        (month + 2) % 12 + 1,
        year + era * 400 + u64::from(month > 9),
    );
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let second = second % 60;
    format!("{year:04}-{number:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

fn what_happened(chance: &mut Chance) -> (&'static str, Value) {
    let (customer, plan) = (chance.below(20), *chance.pick(&["team", "solo", "site"]));
    let (seats, device) = (chance.below(50), format!("dev-{}", chance.below(4)));
    let customer = format!("cust-{customer}");
    let end = format!("{}-01-01T00:00:00Z", 2025 + chance.below(5));
    match chance.below(100) {
        0..10 => (
            "LicenseIssued",
            json!({"customer_id": customer, "product_id": "editor", "plan": plan, "seats": seats,
                   "valid_from": "2025-01-01T00:00:00Z", "expires_at": end}),
        ),
        10..20 => ("LicenseRenewed", json!({"expires_at": end})),
        20..30 => (
            "LicensePlanChanged",
            json!({"plan": plan, "seats": seats, "entitlements": {"export": plan}}),
        ),
        30..35 => ("LicenseTransferred", json!({"customer_id": customer})),
        35..40 => ("LicenseSuspended", json!({"reason": "unpaid"})),
        40..45 => ("LicenseReinstated", json!({"reason": "paid"})),
        45 => ("LicenseRevoked", json!({"reason": "fraud"})),
        46..60 => (
            "DeviceActivated",
            json!({"device_id": device, "platform": plan}),
        ),
        60..70 => (
            "DeviceDeactivated",
            json!({"device_id": device, "reason": "sold"}),
        ),
        70..85 => ("DeviceHeartbeat", json!({"device_id": device})),
        _ => (
            "UsageRecorded",
            json!({"metric": "calls", "quantity": seats}),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn a_leap_day_and_the_days_around_it_are_named_rightly() {
        let day = 86_400;
        assert_eq!(rfc3339(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(1_709_164_800, 1), "2024-02-29T00:00:00.000001Z");
        assert_eq!(
            rfc3339(1_709_164_800 + day, 0),
            "2024-03-01T00:00:00.000000Z"
        );
        assert_eq!(rfc3339(1_735_689_599, 0), "2024-12-31T23:59:59.000000Z");
        assert_eq!(rfc3339(1_735_689_600, 0), "2025-01-01T00:00:00.000000Z");
    }
}
