//! The write side of a test: events go into the store as the projector would bring them.

use std::collections::BTreeMap;
use std::path::Path;

use licenseflow_avro::event::{
    DeviceActivated, DeviceDeactivated, DeviceHeartbeat, LicenseEvent, LicenseIssued, Payload,
};
use licenseflow_avro::headers::RequestId;
use licenseflow_avro::{Coordinates, Lane, PartitionId, Position};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{PartitionEnd, ReadModel, SqliteModel};
use uuid::Uuid;

/// The time at which tests ask, in microseconds UTC: 2026-05-28T20:26:40Z.
pub(crate) const NOW: i64 = 1_780_000_000_000_000;

/// The same in milliseconds.
pub(crate) const NOW_MS: i64 = NOW / 1000;

/// Brings events to the store.
pub(crate) struct Model {
    store: Box<dyn ReadModel + Send>,
    batch: Batch,
    next: BTreeMap<(Lane, PartitionId), i64>,
}

impl Model {
    pub(crate) fn open(path: &Path) -> Self {
        let store = SqliteModel::open(path, SqliteOptions::default());
        Self::over(Box::new(store.unwrap()))
    }

    pub(crate) fn over(store: Box<dyn ReadModel + Send>) -> Self {
        Self {
            store,
            batch: Batch::default(),
            next: BTreeMap::new(),
        }
    }

    /// Says an event on partition 0 of the interactive lane, one second ago by the broker's clock.
    pub(crate) fn say(&mut self, event: LicenseEvent, request_id: Option<&str>) -> Coordinates {
        self.say_on(Lane::Interactive, 0, event, request_id)
    }

    pub(crate) fn say_on(
        &mut self,
        lane: Lane,
        partition: PartitionId,
        event: LicenseEvent,
        request_id: Option<&str>,
    ) -> Coordinates {
        let at = self.next_at(lane, partition, NOW_MS - 1000);
        self.bring(at, event, request_id);
        at
    }

    /// Says an event on partition 0 of the interactive lane at this time by the broker's clock, in
    /// milliseconds.
    pub(crate) fn say_at(&mut self, timestamp: i64, event: LicenseEvent) -> Coordinates {
        let at = self.next_at(Lane::Interactive, 0, timestamp);
        self.bring(at, event, None);
        at
    }

    pub(crate) fn next_at(
        &mut self,
        lane: Lane,
        partition: PartitionId,
        timestamp: i64,
    ) -> Coordinates {
        let next = self.next.entry((lane, partition)).or_default();
        let offset = *next;
        *next += 1;
        Coordinates {
            timestamp,
            lane,
            partition,
            offset,
        }
    }

    pub(crate) fn bring(&mut self, at: Coordinates, event: LicenseEvent, request_id: Option<&str>) {
        let envelope = Envelope {
            request_id: request_id.and_then(RequestId::parse),
            received_at: request_id.map(|_| NOW_MS - 1250),
        };
        self.batch.accept(at, envelope, &event);
        let (from, to) = (at.offset, at.offset + 1);
        self.batch.advance(at.lane, at.partition, from, to);
    }

    /// Applies what was said, half a second ago.
    pub(crate) fn apply(&mut self) -> Position {
        let batch = std::mem::take(&mut self.batch);
        self.store.apply(batch, NOW_MS - 500).unwrap().position
    }

    /// Notes that the interactive lane's partition 0 ends where the model stands, seen at this time
    /// in milliseconds.
    pub(crate) fn caught_up(&mut self, seen_at: i64) {
        let end = PartitionEnd {
            lane: Lane::Interactive,
            partition: 0,
            end_offset: self.next[&(Lane::Interactive, 0)],
            seen_at,
        };
        self.store.note_ends(&[end], seen_at).unwrap();
    }
}

/// The id of the event of this number.
pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// The same as text.
pub(crate) fn id_text(number: u128) -> String {
    id(number).hyphenated().to_string()
}

pub(crate) fn event(
    number: u128,
    license_id: &str,
    occurred_at: i64,
    payload: Payload,
) -> LicenseEvent {
    LicenseEvent {
        event_id: id(number),
        license_id: license_id.to_owned(),
        tenant_id: "default".to_owned(),
        occurred_at,
        source: "billing".to_owned(),
        actor: None,
        payload,
    }
}

pub(crate) fn issued(customer: &str, seats: i32, expires_at: Option<i64>) -> LicenseIssued {
    LicenseIssued {
        customer_id: customer.to_owned(),
        product_id: "editor".to_owned(),
        plan: "team".to_owned(),
        seats,
        valid_from: NOW - 10_000_000,
        expires_at,
        entitlements: [("export".to_owned(), "pdf".to_owned())].into(),
        metadata: [("order".to_owned(), "o-1".to_owned())].into(),
    }
}

pub(crate) fn activated(device: &str) -> Payload {
    Payload::DeviceActivated(DeviceActivated {
        device_id: device.to_owned(),
        fingerprint: Some(format!("fp-{device}")),
        platform: None,
    })
}

pub(crate) fn deactivated(device: &str) -> Payload {
    Payload::DeviceDeactivated(DeviceDeactivated {
        device_id: device.to_owned(),
        reason: String::new(),
    })
}

pub(crate) fn beat(device: &str) -> Payload {
    Payload::DeviceHeartbeat(DeviceHeartbeat {
        device_id: device.to_owned(),
    })
}
