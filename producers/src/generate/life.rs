//! The life of one license: issued, renewed, changed, used, at times suspended, and in the end lapsed or
//! revoked.

use licenseflow_avro::event::{
    DeviceActivated, DeviceDeactivated, DeviceHeartbeat, LicenseEvent, LicenseIssued,
    LicensePlanChanged, LicenseReinstated, LicenseRenewed, LicenseRevoked, LicenseSuspended,
    LicenseTransferred, Payload, TextMap, UsageRecorded,
};
use rand::Rng;
use uuid::Uuid;

use super::GenerateOptions;
use super::cast::{Cast, PLANS, PRODUCTS, few_large};
use super::rhythm::{DAY, HOUR, gap, likely};

/// How many customers a license may move to.
const BUYERS: usize = 50;

const METRICS: [&str; 3] = ["api-calls", "builds", "render-minutes"];
const PLATFORMS: [&str; 4] = ["linux", "windows", "macos", "ios"];
const SUSPENSIONS: [&str; 3] = [
    "payment overdue",
    "terms broken",
    "asked for by the customer",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unissued,
    Active,
    Suspended,
    Lapsed,
    Revoked,
}

/// One license, as far as it has lived.
pub(super) struct Life {
    tenant_id: String,
    license_id: String,
    customer_id: String,
    product: usize,
    plan: usize,
    seats: i32,
    /// A month or a year; none for a license that never ends.
    term: Option<i64>,
    expires_at: Option<i64>,
    stage: Stage,
    devices: Vec<u32>,
    devices_ever: u32,
    /// Between two events, by day.
    mean_gap: i64,
    next_at: i64,
}

impl Life {
    pub(super) fn new(
        number: usize,
        cast: &Cast,
        options: &GenerateOptions,
        rng: &mut impl Rng,
    ) -> Self {
        let span = options.end - options.start;
        // Half of the licenses are there early, the others come over time.
        let early = if rng.random_bool(0.5) { 10 } else { 1 };
        let issued_at = options.start + rng.random_range(0..(span * 8 / 10 / early).max(1));
        // A few are used far more than the others.
        let uniform: f64 = rng.random();
        let busy = (1.0 - uniform).powf(-0.6).min(50.0);
        let per_license = (options.events as f64 / options.licenses as f64).max(1.0);
        // The mean of `busy` is about 2.3; nights and weekends stretch gaps by about as much again.
        let mean_gap = ((options.end - issued_at) as f64 / per_license / busy * 1.2) as i64;
        let plan = few_large(PLANS.len(), rng);
        Self {
            tenant_id: cast.tenant(rng),
            license_id: format!("LIC-{number:06}"),
            customer_id: cast.customer(rng),
            product: few_large(PRODUCTS.len(), rng),
            plan,
            seats: (PLANS[plan].seats * rng.random_range(5..=20) / 10).max(1),
            term: match rng.random_range(0..10) {
                0 => None,
                1..=5 => Some(30 * DAY),
                _ => Some(365 * DAY),
            },
            expires_at: None,
            stage: Stage::Unissued,
            devices: Vec::new(),
            devices_ever: 0,
            mean_gap: mean_gap.max(1),
            next_at: likely(issued_at, rng).min(options.end - 1),
        }
    }

    /// When something happens next.
    pub(super) fn next_at(&self) -> i64 {
        self.next_at
    }

    /// What happens at this time.
    pub(super) fn live(
        &mut self,
        at: i64,
        options: &GenerateOptions,
        rng: &mut impl Rng,
    ) -> LicenseEvent {
        let (source, payload) = self.payload(at, options, rng);
        let pace = match self.stage {
            Stage::Unissued | Stage::Active => 1,
            Stage::Suspended => 3,
            Stage::Lapsed | Stage::Revoked => 30,
        };
        let next = likely(at + gap(self.mean_gap.saturating_mul(pace), rng), rng);
        // Bills are sent on time, by day and by night.
        let renewal = self.expires_at.filter(|_| self.stage == Stage::Active);
        let renewal = renewal.map(|expires_at| (expires_at - DAY).max(at + 1));
        self.next_at = renewal.map_or(next, |renewal| next.min(renewal));
        self.said(at, source, payload, rng)
    }

    /// Something that is heard of after all else: it changes little.
    pub(super) fn afterthought(&mut self, at: i64, rng: &mut impl Rng) -> LicenseEvent {
        let payload = usage(rng);
        self.said(at, "metering", payload, rng)
    }

    fn said(&self, at: i64, source: &str, payload: Payload, rng: &mut impl Rng) -> LicenseEvent {
        LicenseEvent {
            event_id: event_id(at, rng),
            license_id: self.license_id.clone(),
            tenant_id: self.tenant_id.clone(),
            occurred_at: at,
            source: source.to_owned(),
            actor: rng
                .random_bool(0.3)
                .then(|| format!("user-{:04x}", rng.random_range(0..0x1_0000))),
            payload,
        }
    }

    fn payload(
        &mut self,
        at: i64,
        options: &GenerateOptions,
        rng: &mut impl Rng,
    ) -> (&'static str, Payload) {
        match self.stage {
            Stage::Unissued => ("billing", self.issued(at)),
            Stage::Suspended if rng.random_bool(0.6) => {
                self.stage = Stage::Active;
                let reason = "settled".to_owned();
                (
                    "billing",
                    Payload::LicenseReinstated(LicenseReinstated { reason }),
                )
            }
            Stage::Active if self.expires_at.is_some_and(|end| end - DAY <= at) => {
                self.due(at, rng)
            }
            Stage::Lapsed if rng.random_bool(0.2) => {
                self.stage = Stage::Active;
                ("billing", self.renewed(at))
            }
            Stage::Active | Stage::Suspended | Stage::Lapsed | Stage::Revoked => {
                self.everyday(options, rng)
            }
        }
    }

    /// Most are renewed when they end; the others lapse.
    fn due(&mut self, at: i64, rng: &mut impl Rng) -> (&'static str, Payload) {
        if rng.random_bool(0.9) {
            return ("billing", self.renewed(at));
        }
        self.stage = Stage::Lapsed;
        ("metering", usage(rng))
    }

    fn issued(&mut self, at: i64) -> Payload {
        self.stage = Stage::Active;
        self.expires_at = self.term.map(|term| at + term);
        let plan = &PLANS[self.plan];
        Payload::LicenseIssued(LicenseIssued {
            customer_id: self.customer_id.clone(),
            product_id: PRODUCTS[self.product].to_owned(),
            plan: plan.name.to_owned(),
            seats: self.seats,
            valid_from: at,
            expires_at: self.expires_at,
            entitlements: plan.entitlements(),
            metadata: TextMap::from([("channel".to_owned(), "web".to_owned())]),
        })
    }

    fn renewed(&mut self, at: i64) -> Payload {
        let from = self.expires_at.unwrap_or(at).max(at);
        self.expires_at = self.term.map(|term| from + term);
        Payload::LicenseRenewed(LicenseRenewed {
            expires_at: self.expires_at,
        })
    }

    /// What happens on any day, the likely before the rare.
    fn everyday(
        &mut self,
        options: &GenerateOptions,
        rng: &mut impl Rng,
    ) -> (&'static str, Payload) {
        let is_active = self.stage == Stage::Active;
        let has_room = self.devices.len() < self.seats as usize + 1;
        let has_devices = !self.devices.is_empty();
        match rng.random_range(0..1000) {
            0..350 if options.heartbeats && has_devices => {
                let device_id = device_name(self.any_device(rng));
                (
                    "agent",
                    Payload::DeviceHeartbeat(DeviceHeartbeat { device_id }),
                )
            }
            800..900 if is_active && has_room => ("agent", self.activated(rng)),
            900..960 if has_devices => ("agent", self.deactivated(rng)),
            960..980 if is_active => ("billing", self.plan_changed(rng)),
            980..992 if is_active => {
                self.stage = Stage::Suspended;
                let reason = SUSPENSIONS[rng.random_range(0..SUSPENSIONS.len())].to_owned();
                (
                    "billing",
                    Payload::LicenseSuspended(LicenseSuspended { reason }),
                )
            }
            992..997 if is_active => {
                self.customer_id = format!("cust-{:05}", few_large(BUYERS, rng));
                let customer_id = self.customer_id.clone();
                (
                    "sales",
                    Payload::LicenseTransferred(LicenseTransferred { customer_id }),
                )
            }
            997 if is_active => {
                self.stage = Stage::Revoked;
                let reason = "charged back".to_owned();
                (
                    "billing",
                    Payload::LicenseRevoked(LicenseRevoked { reason }),
                )
            }
            _ => ("metering", usage(rng)),
        }
    }

    fn any_device(&self, rng: &mut impl Rng) -> u32 {
        self.devices[rng.random_range(0..self.devices.len())]
    }

    fn activated(&mut self, rng: &mut impl Rng) -> Payload {
        self.devices_ever += 1;
        self.devices.push(self.devices_ever);
        Payload::DeviceActivated(DeviceActivated {
            device_id: device_name(self.devices_ever),
            fingerprint: rng
                .random_bool(0.8)
                .then(|| format!("{:016x}", rng.random::<u64>())),
            platform: Some(PLATFORMS[few_large(PLATFORMS.len(), rng)].to_owned()),
        })
    }

    fn deactivated(&mut self, rng: &mut impl Rng) -> Payload {
        let device = self
            .devices
            .swap_remove(rng.random_range(0..self.devices.len()));
        Payload::DeviceDeactivated(DeviceDeactivated {
            device_id: device_name(device),
            reason: "replaced".to_owned(),
        })
    }

    fn plan_changed(&mut self, rng: &mut impl Rng) -> Payload {
        self.plan = rng.random_range(1..PLANS.len());
        let plan = &PLANS[self.plan];
        self.seats = (plan.seats * rng.random_range(5..=20) / 10).max(1);
        Payload::LicensePlanChanged(LicensePlanChanged {
            plan: plan.name.to_owned(),
            seats: self.seats,
            entitlements: plan.entitlements(),
        })
    }
}

fn device_name(number: u32) -> String {
    format!("dev-{number:04}")
}

fn usage(rng: &mut impl Rng) -> Payload {
    Payload::UsageRecorded(UsageRecorded {
        metric: METRICS[few_large(METRICS.len(), rng)].to_owned(),
        quantity: gap(HOUR, rng) / 10_000_000 + 1,
    })
}

/// An id of version 7 for something that happened then.
pub(super) fn event_id(at: i64, rng: &mut impl Rng) -> Uuid {
    let random: [u8; 10] = rng.random();
    let millis = u64::try_from(at / 1000).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
