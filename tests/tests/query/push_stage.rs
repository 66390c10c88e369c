//! The API over a store of either kind, with streams bounded as a test wants, and who writes to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use licenseflow_avro::event::{LicenseEvent, LicenseIssued, Payload};
use licenseflow_avro::{Lane, PartitionId, Position};
use licenseflow_query::{QueryOptions, QueryState, StreamLimits, router};
use licenseflow_runtime::http::{HttpLimits, bind, serve};
use licenseflow_store::postgres::PostgresOptions;
use licenseflow_store::{Lookup, PostgresLookup, PostgresModel, SqliteLookup};
use licenseflow_tests::harness::{Folder, Port, Postgres};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::model::{self, Model, NOW, NOW_MS};
use crate::served::{READERS, options};

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
                queue_max: 64,
                waiters_max: 8,
                partitions: Arc::new(|_| Some(12)),
                applied: setting.signals.then_some(heard),
                streams: setting.streams,
                ..options()
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

type Opened = (Option<Folder>, Model, Arc<dyn Lookup>);

fn sqlite() -> Opened {
    let folder = Folder::new("push").unwrap();
    let path = folder.path().join("licenseflow.db");
    let model = Model::open(&path);
    let lookup = SqliteLookup::open(&path, READERS).unwrap();
    (Some(folder), model, Arc::new(lookup))
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
        let lookup = PostgresLookup::open(url, &schema, READERS, runtime).unwrap();
        (model, lookup)
    });
    let (model, lookup) = opened.join().unwrap();
    (None, Model::over(Box::new(model)), Arc::new(lookup))
}

/// Brings events to the store as the projector would.
pub(crate) struct Writer {
    model: Option<Model>,
    applied: watch::Sender<u64>,
}

impl Writer {
    fn new(model: Model, applied: watch::Sender<u64>) -> Self {
        Self {
            model: Some(model),
            applied,
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
        let model = self.model.as_mut().unwrap();
        let at = model.next_at(lane, partition, timestamp);
        model.bring(at, event.clone(), None);
        at.offset
    }

    /// Applies what was said; not on a thread of the runtime.
    pub(crate) fn apply_blocking(&mut self) -> Position {
        let position = self.model.as_mut().unwrap().apply();
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
        metadata: metadata.collect(),
        ..model::issued(customer, 1, None)
    };
    event(number, license_id, Payload::LicenseIssued(issued))
}

pub(crate) fn activated(number: u128, license_id: &str) -> LicenseEvent {
    event(number, license_id, model::activated(&format!("d-{number}")))
}

pub(crate) fn beat(number: u128, license_id: &str) -> LicenseEvent {
    event(number, license_id, model::beat("d-0"))
}

/// Events of greater numbers occurred later.
fn event(number: u128, license_id: &str, payload: Payload) -> LicenseEvent {
    let occurred_at = NOW - 60_000_000 + i64::try_from(number % 1_000_000).unwrap();
    model::event(number, license_id, occurred_at, payload)
}
