//! The query API on a real port over a real file, with a lookup that a test can watch and turn off.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use licenseflow_avro::{Lane, LicenseKey, Topics};
use licenseflow_core::{Buckets, DeviceState};
use licenseflow_query::{
    Check, QueryOptions, QueryState, Readiness, StreamLimits, health_router, routes,
};
use licenseflow_runtime::http::{HttpLimits, bind, openapi, serve};
use licenseflow_store::lookup::{
    CustomerTotals, Freshness, History, JourneyQuery, JourneyStep, LicenseParts, LicenseQuery,
    LicenseRow, LicenseView, Page, Read, RecordPlace, SaidEvent, SaidQuery, SortKey, Stats,
    TimelineQuery, TimelineRow,
};
use licenseflow_store::{Error, Lookup, SqliteLookup};
use licenseflow_tests::harness::{Folder, Port};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::model::{Model, NOW};

/// How many may wait at once in these tests.
pub(crate) const WAITERS_MAX: usize = 2;

/// How many questions the store answers at once in these tests.
pub(crate) const READERS: usize = 4;

/// How many wait for their turn beside them.
pub(crate) const QUEUE_MAX: usize = 4;

/// What an API is told, as far as a test does not say it.
pub(crate) fn options() -> QueryOptions {
    QueryOptions {
        lookups_max: READERS,
        queue_max: QUEUE_MAX,
        // Each answer is read anew; what is kept is told of in `stress`.
        cache_bytes_max: 0,
        waiters_max: WAITERS_MAX,
        topics: Topics::new("t-"),
        partitions: Arc::new(|lane| (lane == Lane::Interactive).then_some(12)),
        readiness: Arc::new(Told::default()),
        applied: None,
        streams: StreamLimits::default(),
        clock: Arc::new(|| NOW),
    }
}

/// The API as it is served until dropped.
pub(crate) struct Served {
    /// Its routes, as the router tells them to whoever debugs it.
    pub(crate) router: String,
    base: String,
    client: reqwest::Client,
    pub(crate) lookup: Arc<Watched>,
    pub(crate) readiness: Arc<Told>,
    _stop: DropGuard,
    _port: Port,
    folder: Folder,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn of(status: u16, headers: HeaderMap, bytes: Vec<u8>) -> Self {
        let text = String::from_utf8(bytes).unwrap();
        Self {
            status,
            headers,
            text,
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The JSON of a 200.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()
    }

    /// The JSON of a problem with this status and code.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let json = self.json();
        assert_eq!(json["code"], code, "{}", self.text);
        json
    }
}

impl Served {
    /// Serves a store that `fill` has filled, and gives back who may go on writing.
    pub(crate) async fn start(fill: impl FnOnce(&mut Model)) -> (Self, Model) {
        Self::with_signal(fill, None).await
    }

    pub(crate) async fn with_signal(
        fill: impl FnOnce(&mut Model),
        applied: Option<watch::Receiver<u64>>,
    ) -> (Self, Model) {
        Self::with(fill, applied, |state| state).await
    }

    /// As [`Served::start`], after the API was told of its surroundings.
    pub(crate) async fn told(
        fill: impl FnOnce(&mut Model),
        tell: impl FnOnce(QueryState) -> QueryState,
    ) -> (Self, Model) {
        Self::with(fill, None, tell).await
    }

    async fn with(
        fill: impl FnOnce(&mut Model),
        applied: Option<watch::Receiver<u64>>,
        tell: impl FnOnce(QueryState) -> QueryState,
    ) -> (Self, Model) {
        let folder = Folder::new("query").unwrap();
        let path = folder.path().join("licenseflow.db");
        let mut model = Model::open(&path);
        fill(&mut model);
        let lookup = Arc::new(Watched::over(SqliteLookup::open(&path, READERS).unwrap()));
        let readiness = Arc::new(Told::default());
        let state = QueryState::new(
            Arc::clone(&lookup) as Arc<dyn Lookup>,
            QueryOptions {
                readiness: Arc::clone(&readiness) as Arc<dyn Readiness>,
                applied,
                ..options()
            },
        );
        let state = tell(state);
        let port = Port::free().unwrap();
        let listener = bind((Ipv4Addr::LOCALHOST, port.number()).into()).unwrap();
        let stop = CancellationToken::new();
        let routes = routes(state.clone()).merge(health_router(state).into());
        let router = openapi::served(routes);
        let told = format!("{router:?}");
        let serving = serve(listener, router, HttpLimits::default(), stop.clone());
        tokio::runtime::Handle::current().spawn(async move { serving.await.unwrap() });
        let served = Self {
            base: format!("http://127.0.0.1:{}", port.number()),
            router: told,
            client: reqwest::Client::new(),
            lookup,
            readiness,
            _stop: stop.drop_guard(),
            _port: port,
            folder,
        };
        (served, model)
    }

    /// The store's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("licenseflow.db")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let (status, headers, bytes) = self.sent(Method::GET, path, headers, "").await;
        Answer::of(status, headers, bytes)
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let json = [("content-type", "application/json")];
        self.post_with(path, &json, body).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let (status, headers, bytes) = self.sent(Method::POST, path, headers, body).await;
        Answer::of(status, headers, bytes)
    }

    /// Sends a request, and gives status, headers and the body as they came.
    pub(crate) async fn sent(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, HeaderMap, Vec<u8>) {
        let address = format!("{}{path}", self.base);
        let mut request = self.client.request(method, address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.body(body.to_owned());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.bytes().await.unwrap().to_vec())
    }

    /// All items of a list, page by page.
    pub(crate) async fn items(&self, path: &str) -> Vec<Value> {
        let (mut items, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(path) = next {
            let page = self.get(&path).await.ok();
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            let link = page["_links"]["next"]["href"].as_str();
            assert_eq!(link.is_some(), page["next_cursor"].is_string());
            next = link.map(str::to_owned);
            assert!(items.len() < 100_000, "the list does not end");
        }
        items
    }
}

/// What the other roles say of themselves in a test.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) brokers_away: AtomicBool,
}

impl Readiness for Told {
    fn checks(&self) -> Vec<Check> {
        let away = self.brokers_away.load(Ordering::SeqCst);
        vec![Check {
            name: "brokers",
            problem: away.then(|| "no broker answers".to_owned()),
        }]
    }
}

/// A lookup that counts what it is asked, and can be away, broken or made to wait.
pub(crate) struct Watched {
    inner: SqliteLookup,
    freshness_reads: AtomicUsize,
    asked: AtomicUsize,
    /// Done before each question but those of where it stands.
    pub(crate) before: Mutex<Option<Before>>,
    pub(crate) away: AtomicBool,
    pub(crate) broken: AtomicBool,
    pub(crate) at_hand: AtomicBool,
}

/// Something that is done before a question.
pub(crate) type Before = Arc<dyn Fn() + Send + Sync>;

impl Watched {
    pub(crate) fn over(inner: SqliteLookup) -> Self {
        Self {
            inner,
            freshness_reads: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            before: Mutex::default(),
            away: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            at_hand: AtomicBool::new(false),
        }
    }

    pub(crate) fn freshness_reads(&self) -> usize {
        self.freshness_reads.load(Ordering::SeqCst)
    }

    /// How often it was asked anything but where it stands.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn about(&self) -> Result<&SqliteLookup, Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let before = self.before.lock().unwrap().clone();
        if let Some(before) = before {
            before();
        }
        self.inner()
    }

    fn inner(&self) -> Result<&SqliteLookup, Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Error::Away("the disk at /secret/place is gone".into()));
        }
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::broken("select secret from place"));
        }
        Ok(&self.inner)
    }
}

impl Lookup for Watched {
    fn is_at_hand(&self) -> bool {
        self.at_hand.load(Ordering::SeqCst)
    }

    fn position(&self) -> Result<Read<Buckets>, Error> {
        self.inner()?.position()
    }

    fn freshness(&self) -> Result<Freshness, Error> {
        let read = self.inner()?.freshness();
        self.freshness_reads.fetch_add(1, Ordering::SeqCst);
        read
    }

    fn license(&self, key: &LicenseKey) -> Result<Read<Option<LicenseRow>>, Error> {
        self.about()?.license(key)
    }

    fn licenses_by_id(
        &self,
        tenant_id: &str,
        ids: &[String],
    ) -> Result<Read<Vec<Option<LicenseRow>>>, Error> {
        self.about()?.licenses_by_id(tenant_id, ids)
    }

    fn history(&self, key: &LicenseKey, limit: usize) -> Result<Read<Option<History>>, Error> {
        self.about()?.history(key, limit)
    }

    fn license_with(
        &self,
        key: &LicenseKey,
        parts: &LicenseParts,
    ) -> Result<Read<Option<LicenseView>>, Error> {
        self.about()?.license_with(key, parts)
    }

    fn licenses(&self, query: &LicenseQuery) -> Result<Read<Page<LicenseRow, SortKey>>, Error> {
        self.about()?.licenses(query)
    }

    fn customer(
        &self,
        tenant_id: &str,
        customer_id: &str,
        at: i64,
    ) -> Result<Read<Option<CustomerTotals>>, Error> {
        self.about()?.customer(tenant_id, customer_id, at)
    }

    fn stats(&self, tenant_id: &str, at: i64) -> Result<Read<Stats>, Error> {
        self.about()?.stats(tenant_id, at)
    }

    fn devices(
        &self,
        key: &LicenseKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Read<Option<Page<(String, DeviceState), String>>>, Error> {
        self.about()?.devices(key, after, limit)
    }

    fn usage(&self, key: &LicenseKey) -> Result<Read<Option<BTreeMap<String, i64>>>, Error> {
        self.about()?.usage(key)
    }

    fn timeline(
        &self,
        key: &LicenseKey,
        query: &TimelineQuery,
    ) -> Result<Read<Option<Page<TimelineRow, (i64, u8, Uuid)>>>, Error> {
        self.about()?.timeline(key, query)
    }

    fn said(&self, query: &SaidQuery) -> Result<Read<Page<SaidEvent, RecordPlace>>, Error> {
        self.about()?.said(query)
    }

    fn journey(&self, query: &JourneyQuery) -> Result<Read<Page<JourneyStep, RecordPlace>>, Error> {
        self.about()?.journey(query)
    }
}

/// As long as anything in these tests may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
