//! A store of random licenses, made by the writer from events; the seed decides all of it.

use licenseflow_avro::event::{
    DeviceActivated, DeviceHeartbeat, LicenseEvent, LicenseIssued, LicenseRevoked,
    LicenseSuspended, Payload,
};
use licenseflow_avro::{Coordinates, Lane, LicenseKey};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use licenseflow_store::{Lookup, ReadModel};
use uuid::Uuid;

use crate::stores::{Kind, Place};

pub(crate) const TENANT: &str = "default";

/// The time at which status is asked, in microseconds UTC.
pub(crate) const NOW: i64 = 1_780_000_000_000_000;

pub(crate) struct Store {
    pub(crate) place: Place,
    /// Every license of [`TENANT`].
    pub(crate) keys: Vec<LicenseKey>,
}

impl Store {
    pub(crate) fn random(kind: Kind, seed: u64, licenses: usize) -> Self {
        Self::random_in(Place::new(kind), seed, licenses)
    }

    pub(crate) fn random_in(place: Place, seed: u64, licenses: usize) -> Self {
        let (store, mut model) = Self::empty(place, licenses);
        let mut said = Saying::new(seed);
        // Numbers in the store are given in the order of arrival, which is not that of the ids.
        let mut order: Vec<usize> = (0..licenses).collect();
        for place in (1..licenses).rev() {
            order.swap(place, said.random.below(place + 1));
        }
        for chunk in order.chunks(97) {
            for number in chunk {
                said.license(&key(TENANT, *number));
            }
            model.apply(said.batch(), NOW / 1000).unwrap();
        }
        said.license(&key("other", 0));
        model.apply(said.batch(), NOW / 1000).unwrap();
        store
    }

    /// Twenty licenses with as much text as an event may carry, one of them issued twenty times.
    pub(crate) fn large(kind: Kind) -> Self {
        let (store, mut model) = Self::empty(Place::new(kind), 20);
        let mut said = Saying::new(1);
        let text = "\u{1d11e}".repeat(1024);
        for key in &store.keys {
            let times = if key.license_id == "L-0" { 20 } else { 1 };
            for time in 0..times {
                let mut issued = said.issued();
                let entries = (0..64).map(|number| (format!("k-{number}"), text.clone()));
                issued.metadata = entries.clone().collect();
                issued.entitlements = entries.collect();
                said.say(key, NOW + time, Payload::LicenseIssued(issued));
            }
        }
        model.apply(said.batch(), NOW / 1000).unwrap();
        store
    }

    fn empty(place: Place, licenses: usize) -> (Self, Box<dyn ReadModel>) {
        let model = place.model();
        let keys = (0..licenses).map(|number| key(TENANT, number)).collect();
        (Self { place, keys }, model)
    }

    /// The name of its schema, where it is on PostgreSQL.
    pub(crate) fn schema(&self) -> Option<&str> {
        match &self.place {
            Place::Folder(_) | Place::Server(_) => None,
            Place::Schema(schema) => Some(schema.name()),
        }
    }

    pub(crate) fn lookup(&self, readers: usize) -> Box<dyn Lookup> {
        self.place.lookup(readers)
    }
}

fn key(tenant_id: &str, number: usize) -> LicenseKey {
    LicenseKey {
        tenant_id: tenant_id.to_owned(),
        license_id: format!("L-{number}"),
    }
}

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % end as u64).unwrap()
    }
}

/// Events on their way into a batch.
struct Saying {
    random: Random,
    batch: Batch,
    offset: i64,
}

impl Saying {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            batch: Batch::default(),
            offset: 0,
        }
    }

    fn batch(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    /// One in eight was never issued, and one in sixteen only has a device that beats. Times are few,
    /// so that ties are many.
    fn license(&mut self, key: &LicenseKey) {
        let kind = self.random.below(16);
        if kind == 0 && key.tenant_id == TENANT {
            let device_id = "d-0".to_owned();
            self.say(
                key,
                0,
                Payload::DeviceHeartbeat(DeviceHeartbeat { device_id }),
            );
            return;
        }
        if kind > 1 {
            let issued = self.issued();
            let at = self.time();
            self.say(key, at, Payload::LicenseIssued(issued));
        }
        for device in 0..self.random.below(4) {
            let activated = DeviceActivated {
                device_id: format!("d-{device}"),
                fingerprint: None,
                platform: None,
            };
            let at = self.time();
            self.say(key, at, Payload::DeviceActivated(activated));
        }
        let reason = String::new();
        match self.random.below(8) {
            0 => self.say(
                key,
                NOW,
                Payload::LicenseSuspended(LicenseSuspended { reason }),
            ),
            1 => self.say(key, NOW, Payload::LicenseRevoked(LicenseRevoked { reason })),
            _ => {}
        }
        if kind == 1 && key.tenant_id == TENANT {
            let device_id = "d-9".to_owned();
            self.say(
                key,
                5,
                Payload::DeviceHeartbeat(DeviceHeartbeat { device_id }),
            );
        }
    }

    fn issued(&mut self) -> LicenseIssued {
        LicenseIssued {
            customer_id: format!("c-{}", self.random.below(5)),
            product_id: format!("p-{}", self.random.below(3)),
            plan: ["trial", "team", "site"][self.random.below(3)].to_owned(),
            seats: i32::try_from(self.random.below(4)).unwrap(),
            valid_from: self.time(),
            expires_at: (self.random.below(3) > 0).then(|| self.time()),
            entitlements: [("a".to_owned(), "b".to_owned())].into(),
            metadata: [].into(),
        }
    }

    /// One of a few seconds around [`NOW`].
    fn time(&mut self) -> i64 {
        NOW - 8_000_000 + 1_000_000 * i64::try_from(self.random.below(17)).unwrap()
    }

    fn say(&mut self, key: &LicenseKey, occurred_at: i64, payload: Payload) {
        let at = Coordinates {
            timestamp: NOW / 1000,
            lane: Lane::Interactive,
            partition: 0,
            offset: self.offset,
        };
        self.offset += 1;
        let event = LicenseEvent {
            event_id: Uuid::from_u128(u128::try_from(self.offset).unwrap()),
            license_id: key.license_id.clone(),
            tenant_id: key.tenant_id.clone(),
            occurred_at,
            source: String::new(),
            actor: None,
            payload,
        };
        self.batch.accept(at, Envelope::default(), &event);
        self.batch
            .advance(Lane::Interactive, 0, at.offset, at.offset + 1);
    }
}
