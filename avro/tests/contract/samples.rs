//! Events of every kind.

use licenseflow_avro::event::*;
use uuid::Uuid;

pub(crate) const MICROS: i64 = 1_769_853_600_000_001;

fn map(pairs: &[(&str, &str)]) -> TextMap {
    let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
    pairs.iter().map(owned).collect()
}

pub(crate) fn event(payload: Payload) -> LicenseEvent {
    LicenseEvent {
        event_id: Uuid::from_u128(0x0191_2345_6789_7abc_8def_0123_4567_89ab),
        license_id: "LIC-1".into(),
        tenant_id: "acme".into(),
        occurred_at: MICROS,
        source: "billing".into(),
        actor: Some("ops@example.test".into()),
        payload,
    }
}

pub(crate) fn heartbeat() -> LicenseEvent {
    event(Payload::DeviceHeartbeat(DeviceHeartbeat {
        device_id: "dev-1".into(),
    }))
}

pub(crate) fn issued() -> LicenseEvent {
    event(Payload::LicenseIssued(LicenseIssued {
        customer_id: "cust-1".into(),
        product_id: "prod-1".into(),
        plan: "team".into(),
        seats: 25,
        valid_from: MICROS,
        expires_at: Some(MICROS + 1),
        entitlements: map(&[("sso", "on"), ("api", "off")]),
        metadata: map(&[("note", "日本\u{1F980}\n")]),
    }))
}

/// One event of each kind, in the order of the schema's union.
pub(crate) fn every_kind() -> Vec<LicenseEvent> {
    let reason = || "unpaid".to_owned();
    let payloads = vec![
        Payload::LicenseRenewed(LicenseRenewed { expires_at: None }),
        Payload::LicensePlanChanged(LicensePlanChanged {
            plan: "pro".into(),
            seats: 0,
            entitlements: map(&[]),
        }),
        Payload::LicenseTransferred(LicenseTransferred {
            customer_id: "cust-2".into(),
        }),
        Payload::LicenseSuspended(LicenseSuspended { reason: reason() }),
        Payload::LicenseReinstated(LicenseReinstated {
            reason: String::new(),
        }),
        Payload::LicenseRevoked(LicenseRevoked { reason: reason() }),
        Payload::DeviceActivated(DeviceActivated {
            device_id: "dev-1".into(),
            fingerprint: None,
            platform: Some("linux".into()),
        }),
        Payload::DeviceDeactivated(DeviceDeactivated {
            device_id: "dev-1".into(),
            reason: reason(),
        }),
        Payload::DeviceHeartbeat(DeviceHeartbeat {
            device_id: "dev-1".into(),
        }),
        Payload::UsageRecorded(UsageRecorded {
            metric: "api-calls".into(),
            quantity: 1_000_000_000_000,
        }),
        Payload::EventVoided(EventVoided {
            voided_event_id: Uuid::max(),
            reason: reason(),
        }),
    ];
    std::iter::once(issued())
        .chain(payloads.into_iter().map(event))
        .collect()
}
