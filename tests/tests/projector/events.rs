//! Events and other records for tests: few licenses, few ids, so that everything meets everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use licenseflow_avro::codec::{Plan, encode};
use licenseflow_avro::event::{
    DeviceActivated, DeviceDeactivated, DeviceHeartbeat, EventVoided, LicenseIssued,
    LicenseRenewed, LicenseRevoked, LicenseSuspended, UsageRecorded,
};
use licenseflow_avro::judgement::{Schemas, SchemasAway};
use licenseflow_avro::{LicenseEvent, Payload, json, schema};
use uuid::Uuid;

use licenseflow_tests::chance::Chance;

/// The schema id that the tests' registry knows.
pub(crate) const SCHEMA_ID: u32 = 7;
/// The schema id that it knows and that gives no events.
pub(crate) const UNUSABLE_ID: u32 = 8;
/// The schema id that it comes to know.
pub(crate) const LATE_ID: u32 = 9;
/// The log's time: later than every event's.
pub(crate) const LOG_TIME_MS: i64 = 1_700_000_000_000;
pub(crate) const SKEW_MICROS: i64 = 300_000_000;

/// A registry with one schema, that is away as often as it is told to be.
pub(crate) struct OneSchema {
    plan: Arc<Plan>,
    away_once_in: u64,
    asked: AtomicU64,
    /// Away for as long as this is set.
    pub(crate) is_away: Arc<AtomicBool>,
    /// Whether it has come to know [`LATE_ID`].
    pub(crate) knows_late: Arc<AtomicBool>,
}

impl OneSchema {
    pub(crate) fn new() -> Self {
        Self::away_once_in(0)
    }

    pub(crate) fn away_once_in(n: u64) -> Self {
        let plan = Arc::new(Plan::new(schema::LICENSE_EVENT).unwrap());
        Self {
            plan,
            away_once_in: n,
            asked: AtomicU64::new(0),
            is_away: Arc::default(),
            knows_late: Arc::default(),
        }
    }
}

impl Schemas for OneSchema {
    fn plan(&self, id: u32) -> Result<Option<Arc<Plan>>, SchemasAway> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let is_unlucky = self.away_once_in > 0 && asked.is_multiple_of(self.away_once_in);
        if is_unlucky || self.is_away.load(Ordering::Relaxed) {
            return Err(SchemasAway {
                reason: "the test says so".into(),
            });
        }
        Ok(match id {
            SCHEMA_ID => Some(Arc::clone(&self.plan)),
            LATE_ID if self.knows_late.load(Ordering::Relaxed) => Some(Arc::clone(&self.plan)),
            UNUSABLE_ID => {
                let of_text = Plan::new("\"string\"").unwrap_or_else(Plan::unusable);
                Some(Arc::new(of_text))
            }
            _ => None,
        })
    }
}

/// A value that one may find in a lane: mostly events, some of them again, some at odds, some poison.
pub(crate) fn value(chance: &mut Chance) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    if chance.once_in(15) {
        return (None, poison(chance));
    }
    let event = event(chance);
    let bytes = if chance.once_in(2) {
        encode(SCHEMA_ID, &event)
    } else {
        json::encode(&event).to_string().into_bytes()
    };
    let key = (!chance.once_in(5)).then(|| event.license_id.into_bytes());
    (key, Some(bytes))
}

fn poison(chance: &mut Chance) -> Option<Vec<u8>> {
    let cases: [Option<&[u8]>; 6] = [
        None,
        Some(b""),
        Some(b"xml"),
        Some(b"{"),
        Some(&[0, 0, 0, 9]),
        Some(&[0, 0, 0, 0, 99, 1]),
    ];
    chance.pick(&cases).map(<[u8]>::to_vec)
}

pub(crate) fn event(chance: &mut Chance) -> LicenseEvent {
    let license = chance.below(12);
    let number = chance.below(60);
    LicenseEvent {
        event_id: Uuid::from_u128(u128::from(license) << 64 | u128::from(number)),
        license_id: format!("lic-{license}"),
        tenant_id: format!("t{}", chance.below(2)),
        // Mostly a function of the id, so that most records of an id have one content.
        occurred_at: 1_600_000_000_000_000
            + (number as i64) * 1_000
            + i64::from(chance.once_in(20)),
        source: "test".into(),
        actor: None,
        payload: payload(license, number),
    }
}

fn payload(license: u64, number: u64) -> Payload {
    let device = format!("dev-{}", number % 5);
    match number % 9 {
        0 => Payload::LicenseIssued(LicenseIssued {
            customer_id: format!("c{number}"),
            product_id: "p".into(),
            plan: "gold".into(),
            seats: number as i32,
            valid_from: 1_600_000_000_000_000,
            expires_at: None,
            entitlements: [("k".to_owned(), "v".to_owned())].into(),
            metadata: [].into(),
        }),
        1 => Payload::LicenseRenewed(LicenseRenewed {
            expires_at: Some(1_800_000_000_000_000),
        }),
        2 => Payload::LicenseSuspended(LicenseSuspended {
            reason: "late".into(),
        }),
        3 => Payload::DeviceActivated(DeviceActivated {
            device_id: device,
            fingerprint: None,
            platform: None,
        }),
        4 => Payload::DeviceDeactivated(DeviceDeactivated {
            device_id: device,
            reason: "sold".into(),
        }),
        5 => Payload::DeviceHeartbeat(DeviceHeartbeat { device_id: device }),
        6 => Payload::UsageRecorded(UsageRecorded {
            metric: "calls".into(),
            quantity: number as i64,
        }),
        7 => Payload::EventVoided(EventVoided {
            voided_event_id: Uuid::from_u128(u128::from(license) << 64 | u128::from(number / 2)),
            reason: "error".into(),
        }),
        _ => Payload::LicenseRevoked(LicenseRevoked {
            reason: "fraud".into(),
        }),
    }
}
