//! The API over a store of either kind, with streams bounded as a test wants, and who writes to it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use licenseflow_avro::event::{
    DeviceActivated, DeviceHeartbeat, LicenseEvent, LicenseIssued, Payload,
};
use licenseflow_avro::{Coordinates, Lane, PartitionId, Position, Topics};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use licenseflow_query::{QueryOptions, QueryState, StreamLimits, router};
use licenseflow_runtime::http::{HttpLimits, bind, serve};
use licenseflow_store::postgres::PostgresOptions;
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{
    Lookup, PostgresLookup, PostgresModel, ReadModel, SqliteLookup, SqliteModel,
};
use licenseflow_tests::harness::{Folder, Port, Postgres};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::model::{NOW, NOW_MS};
use crate::served::Told;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// How a stage is set.
pub(crate) struct Setting {
    pub(crate) kind: Kind,
    pub(crate) streams: StreamLimits,
    pub(crate) http: HttpLimits,
    pub(crate) cors: Vec<String>,
    /// Whether the writer is in the process that serves, and says when it has written.
    pub(crate) signals: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            kind: Kind::Sqlite,
            streams: StreamLimits {
                beat: Duration::from_secs(1),
                ..StreamLimits::default()
            },
            http: HttpLimits::default(),
            cors: Vec::new(),
            signals: true,
        }
    }
}

/// The API as it is served until stopped.
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    ending: JoinHandle<()>,
    _port: Port,
    _folder: Option<Folder>,
}

impl Stage {
    pub(crate) fn open(setting: Setting) -> (Self, Writer) {
        let (folder, model, lookup) = match setting.kind {
            Kind::Sqlite => sqlite(),
            Kind::Postgres => postgres(),
        };
        let (applied, heard) = watch::channel(0);
        let state = QueryState::new(
            lookup,
            QueryOptions {
                lookups_max: 4,
                queue_max: 64,
                cache_bytes_max: 0,
                waiters_max: 8,
                topics: Topics::new("t-"),
                partitions: Arc::new(|_| Some(12)),
                readiness: Arc::new(Told::default()),
                applied: setting.signals.then_some(heard),
                streams: setting.streams,
                clock: Arc::new(|| NOW),
            },
        );
        let state = state.open_to(&setting.cors);
        let port = Port::free().unwrap();
        let address = (Ipv4Addr::LOCALHOST, port.number()).into();
        let listener = bind(address).unwrap();
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Handle::current();
        let (ended, ending) = (stop.clone(), state.clone());
        let ending = runtime.spawn(async move { ending.end_streams(ended.cancelled()).await });
        let serving = serve(listener, router(state), setting.http, stop.clone());
        let serving = runtime.spawn(async move { serving.await.unwrap() });
        let stage = Self {
            address,
            stop,
            serving,
            ending,
            _port: port,
            _folder: folder,
        };
        (stage, Writer::new(model, applied))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Returns when everything has ended after [`Stage::stop`].
    pub(crate) async fn ended(self) {
        self.ending.await.unwrap();
        self.serving.await.unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A store in PostgreSQL may not be closed inside a runtime.
        if let Some(model) = self.model.take() {
            std::thread::spawn(move || drop(model)).join().unwrap();
        }
    }
}

type Opened = (Option<Folder>, Box<dyn ReadModel + Send>, Arc<dyn Lookup>);

fn sqlite() -> Opened {
    let folder = Folder::new("push").unwrap();
    let path = folder.path().join("licenseflow.db");
    let model = SqliteModel::open(&path, SqliteOptions::default()).unwrap();
    let lookup = SqliteLookup::open(&path, 4).unwrap();
    (Some(folder), Box::new(model), Arc::new(lookup))
}

fn postgres() -> Opened {
    let schema = format!("push_{}", Uuid::now_v7().simple());
    let runtime = tokio::runtime::Handle::current();
    let opened = std::thread::spawn(move || {
        let url = Postgres::shared().url();
        let options = PostgresOptions {
            schema: schema.clone(),
            ..PostgresOptions::default()
        };
        let model = PostgresModel::open(url, &options, runtime.clone()).unwrap();
        let lookup = PostgresLookup::open(url, &schema, 4, runtime).unwrap();
        (model, lookup)
    });
    let (model, lookup) = opened.join().unwrap();
    (None, Box::new(model), Arc::new(lookup))
}

/// Brings events to the store as the projector would.
pub(crate) struct Writer {
    model: Option<Box<dyn ReadModel + Send>>,
    applied: watch::Sender<u64>,
    batch: Batch,
    next: BTreeMap<(Lane, PartitionId), i64>,
}

impl Writer {
    fn new(model: Box<dyn ReadModel + Send>, applied: watch::Sender<u64>) -> Self {
        Self {
            model: Some(model),
            applied,
            batch: Batch::default(),
            next: BTreeMap::new(),
        }
    }

    pub(crate) fn say(&mut self, lane: Lane, partition: PartitionId, event: &LicenseEvent) -> i64 {
        self.say_at(lane, partition, NOW_MS - 1000, event)
    }

    pub(crate) fn say_at(
        &mut self,
        lane: Lane,
        partition: PartitionId,
        timestamp: i64,
        event: &LicenseEvent,
    ) -> i64 {
        let next = self.next.entry((lane, partition)).or_default();
        let offset = *next;
        *next += 1;
        let at = Coordinates {
            timestamp,
            lane,
            partition,
            offset,
        };
        self.batch.accept(at, Envelope::default(), event);
        self.batch.advance(lane, partition, offset, offset + 1);
        offset
    }

    /// Applies what was said; not on a thread of the runtime.
    pub(crate) fn apply_blocking(&mut self) -> Position {
        let batch = std::mem::take(&mut self.batch);
        let model = self.model.as_mut().unwrap();
        let position = model.apply(batch, NOW_MS - 500).unwrap().position;
        self.applied.send_modify(|batches| *batches += 1);
        position
    }

    pub(crate) async fn apply(self) -> Self {
        self.apply_and_tell().await.0
    }

    pub(crate) async fn apply_and_tell(mut self) -> (Self, Position) {
        let applied = tokio::task::spawn_blocking(move || {
            let position = self.apply_blocking();
            (self, position)
        });
        applied.await.unwrap()
    }

    /// Says one event of each number to partition 0 and applies them together.
    pub(crate) async fn write(mut self, events: &[LicenseEvent]) -> Self {
        for event in events {
            self.say(Lane::Interactive, 0, event);
        }
        self.apply().await
    }
}

pub(crate) fn issued(number: u128, license_id: &str, customer: &str) -> LicenseEvent {
    with_text(number, license_id, customer, "")
}

/// An event of as many bytes as the text has, and few more.
pub(crate) fn with_text(
    number: u128,
    license_id: &str,
    customer: &str,
    text: &str,
) -> LicenseEvent {
    let chunks = text.as_bytes().chunks(1000);
    let metadata = chunks.enumerate().map(|(place, chunk)| {
        let value = String::from_utf8(chunk.to_vec()).unwrap();
        (format!("k-{place}"), value)
    });
    let issued = LicenseIssued {
        customer_id: customer.to_owned(),
        product_id: "editor".to_owned(),
        plan: "team".to_owned(),
        seats: 1,
        valid_from: NOW,
        expires_at: None,
        entitlements: [].into(),
        metadata: metadata.collect(),
    };
    event(number, license_id, Payload::LicenseIssued(issued))
}

pub(crate) fn activated(number: u128, license_id: &str) -> LicenseEvent {
    let activated = DeviceActivated {
        device_id: format!("d-{number}"),
        fingerprint: None,
        platform: None,
    };
    event(number, license_id, Payload::DeviceActivated(activated))
}

pub(crate) fn beat(number: u128, license_id: &str) -> LicenseEvent {
    let device_id = "d-0".to_owned();
    event(
        number,
        license_id,
        Payload::DeviceHeartbeat(DeviceHeartbeat { device_id }),
    )
}

fn event(number: u128, license_id: &str, payload: Payload) -> LicenseEvent {
    LicenseEvent {
        event_id: Uuid::from_u128(number),
        license_id: license_id.to_owned(),
        tenant_id: "default".to_owned(),
        occurred_at: NOW - 60_000_000 + i64::try_from(number % 1_000_000).unwrap(),
        source: "billing".to_owned(),
        actor: None,
        payload,
    }
}
