//! The records of benchmarks: of a fixed size and mix, each made from its number alone, and fast.

use licenseflow_avro::event::{
    DeviceActivated, LicenseEvent, LicenseIssued, LicenseRenewed, Payload, TextMap, UsageRecorded,
};
use uuid::Uuid;

/// 2026-01-01, in microseconds UTC.
const START: i64 = 1_767_225_600_000_000;

/// Event number `number` of a history over so many licenses, about 250 bytes of Avro: the first of each
/// license issues it, and the others use it, bring devices and renew it. Times rise with the number.
#[must_use]
pub fn bench_event(number: u64, licenses: u64) -> LicenseEvent {
    let licenses = licenses.max(1);
    let hash = mixed(number);
    let license = if number < licenses {
        number
    } else {
        mixed(hash) % licenses
    };
    let occurred_at = START + number as i64 * 1000;
    let payload = if number < licenses {
        issued(license, occurred_at)
    } else {
        match hash % 10 {
            0 => Payload::LicenseRenewed(LicenseRenewed {
                expires_at: Some(occurred_at + 31_536_000_000_000),
            }),
            1..=3 => Payload::DeviceActivated(DeviceActivated {
                device_id: format!("device-{:04}", hash % 64),
                fingerprint: Some(format!("{hash:016x}{:016x}", mixed(!hash))),
                platform: Some("linux-6.12-x86_64".to_owned()),
            }),
            _ => Payload::UsageRecorded(UsageRecorded {
                metric: format!("metric-{:02}", hash % 4),
                quantity: (hash % 1000) as i64,
            }),
        }
    };
    LicenseEvent {
        event_id: event_id(number, occurred_at, hash),
        license_id: format!("LIC-{license:08}"),
        tenant_id: "default".to_owned(),
        occurred_at,
        source: "license-service.eu-central.example".to_owned(),
        actor: Some(actor(hash)),
        payload,
    }
}

/// An id of version 7; the number in it keeps ids apart.
fn event_id(number: u64, at: i64, hash: u64) -> Uuid {
    let mut random = [0; 10];
    random[..2].copy_from_slice(&(hash as u16).to_be_bytes());
    // The first byte behind gives two of its bits to the variant.
    random[3..].copy_from_slice(&number.to_be_bytes()[1..]);
    let millis = u64::try_from(at / 1000).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// A long pseudonym, as of a key's fingerprint.
fn actor(hash: u64) -> String {
    let digits = (3..9).map(|place| format!("{:016x}", mixed(hash.wrapping_add(place))));
    format!("subject-{}", digits.collect::<String>())
}

fn issued(license: u64, at: i64) -> Payload {
    Payload::LicenseIssued(LicenseIssued {
        customer_id: format!("cust-{:06}", license / 3),
        product_id: "editor".to_owned(),
        plan: "team".to_owned(),
        seats: 10,
        valid_from: at,
        expires_at: Some(at + 31_536_000_000_000),
        entitlements: TextMap::from([("sso".to_owned(), "on".to_owned())]),
        metadata: TextMap::new(),
    })
}

/// Scatters numbers, as splitmix64 does.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
