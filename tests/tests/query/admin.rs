//! The admin API over a real file and lanes that a test can turn off: what is marked, and when.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use licenseflow_avro::codec::{Plan, encode};
use licenseflow_avro::headers::ATTEMPT;
use licenseflow_avro::reason::Fault;
use licenseflow_avro::record::Header;
use licenseflow_avro::schema::LICENSE_EVENT;
use licenseflow_avro::{
    Coordinates, Lane, Position, RawRecord, Reason, Schemas, SchemasAway, Topics, headers,
};
use licenseflow_core::Batch;
use licenseflow_query::{
    AdminOptions, Lanes, LanesAway, Originals, PartitionSpan, Published, Redriven, admin_routes,
};
use licenseflow_runtime::http::{HttpLimits, bind, openapi, serve};
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{Generations, ReadModel, SqliteGenerations, SqliteLetters, SqliteModel};
use licenseflow_tests::harness::{Folder, Port};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::model::{NOW, NOW_MS, activated, event};
use crate::served::Answer;

const DLQ: &str = "/v1/admin/dlq";
const REDRIVE: &str = "/v1/admin/dlq:redrive";
const RESOLVE: &str = "/v1/admin/dlq:resolve";

struct Ours;

impl Schemas for Ours {
    fn plan(&self, id: u32) -> Result<Option<Arc<Plan>>, SchemasAway> {
        Ok((id == 1).then(|| Arc::new(Plan::new(LICENSE_EVENT).unwrap())))
    }
}

/// Lanes in memory: what was published, and how the brokers answer. They have three partitions and one.
#[derive(Default)]
pub(crate) struct LanesInMemory {
    published: Mutex<Vec<Redriven>>,
    answer: Mutex<Option<Published>>,
    records: Mutex<HashMap<Coordinates, RawRecord>>,
}

impl LanesInMemory {
    pub(crate) fn answers(&self, answer: Option<Published>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn answer(&self) -> Result<Published, LanesAway> {
        let answer = self.answer.lock().unwrap().clone();
        answer.ok_or_else(|| LanesAway {
            why: "no broker answers".to_owned(),
        })
    }

    fn published(&self) -> Vec<Redriven> {
        self.published.lock().unwrap().clone()
    }
}

impl Lanes for LanesInMemory {
    fn originals(&self, at: &[Coordinates]) -> Result<Originals, LanesAway> {
        let records = self.records.lock().unwrap();
        let found = at
            .iter()
            .filter_map(|at| Some((*at, records.get(at)?.clone())));
        Ok((found.collect(), Default::default()))
    }

    fn publish(&self, records: Vec<Redriven>, _: Duration) -> Result<Vec<Published>, LanesAway> {
        let answer = self.answer()?;
        let count = records.len();
        self.published.lock().unwrap().extend(records);
        Ok(vec![answer; count])
    }

    fn spans(&self) -> Result<Vec<PartitionSpan>, LanesAway> {
        self.answer()?;
        let span = |(lane, partition, begin, end)| PartitionSpan {
            lane,
            partition,
            begin,
            end,
        };
        Ok(SPANS.map(span).to_vec())
    }

    /// A record a second in each partition, from the beginning of time on.
    fn at_time(&self, time: i64) -> Result<Position, LanesAway> {
        self.answer()?;
        let second = (time + 999) / 1000;
        let each = SPANS.into_iter();
        let each = each.map(|(lane, of, begin, end)| (lane, of, second.clamp(begin, end)));
        Ok(each.collect())
    }
}

/// Lane, partition, and its both ends.
const SPANS: [(Lane, i32, i64, i64); 4] = [
    (Lane::Interactive, 0, 0, 10),
    (Lane::Interactive, 1, 0, 4),
    (Lane::Interactive, 2, 2, 9),
    (Lane::Bulk, 0, 0, 7),
];

/// The admin API over a file, as it is served until dropped.
pub(crate) struct Admin {
    base: String,
    client: reqwest::Client,
    pub(crate) lanes: Arc<LanesInMemory>,
    pub(crate) generations: Arc<SqliteGenerations>,
    model: Mutex<SqliteModel>,
    next: Mutex<i64>,
    _serving: JoinSet<Result<(), licenseflow_runtime::http::Error>>,
    _stop: DropGuard,
    _port: Port,
    _folder: Folder,
}

fn at(offset: i64) -> Coordinates {
    Coordinates {
        timestamp: NOW_MS,
        lane: Lane::Interactive,
        partition: 2,
        offset,
    }
}

fn record(offset: i64, value: &[u8], own: &[(&str, &str)]) -> RawRecord {
    let header = |(name, value): &(&str, &str)| Header {
        name: (*name).to_owned(),
        value: Some(value.as_bytes().to_vec()),
    };
    RawRecord {
        at: at(offset),
        key: None,
        value: Some(value.to_vec()),
        headers: own.iter().map(header).collect(),
    }
}

impl Admin {
    pub(crate) async fn start() -> Self {
        let (folder, port) = (Folder::new("admin").unwrap(), Port::free().unwrap());
        let path = folder.path().join("licenseflow.db");
        let model = SqliteModel::open(&path, SqliteOptions::default()).unwrap();
        let lanes = Arc::new(LanesInMemory::default());
        lanes.answers(Some(Published::Acknowledged));
        let generations = SqliteGenerations::of(&path, SqliteOptions::default());
        let generations = Arc::new(generations);
        let routes = admin_routes(AdminOptions {
            generations: Arc::clone(&generations) as Arc<dyn Generations>,
            letters: Arc::new(SqliteLetters::open(&path).unwrap()),
            lanes: Arc::clone(&lanes) as Arc<dyn Lanes>,
            schemas: Arc::new(Ours),
            topics: Topics::new("t-"),
            max_future_skew_micros: 300_000_000,
            clock: Arc::new(|| NOW),
        });
        let listener = bind((Ipv4Addr::LOCALHOST, port.number()).into()).unwrap();
        let stop = CancellationToken::new();
        let router = openapi::served(routes);
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, router, HttpLimits::default(), stop.clone()));
        Self {
            base: format!("http://127.0.0.1:{}", port.number()),
            client: reqwest::Client::new(),
            lanes,
            generations,
            model: Mutex::new(model),
            next: Mutex::new(0),
            _serving: serving,
            _stop: stop.drop_guard(),
            _port: port,
            _folder: folder,
        }
    }

    /// Rejects a record, the next of its partition.
    pub(crate) fn reject(&self, value: &[u8], own: &[(&str, &str)], fault: Fault) -> i64 {
        let mut next = self.next.lock().unwrap();
        let (from, to) = (*next, *next + 1);
        *next = to;
        let mut batch = Batch::default();
        batch.advance(Lane::Interactive, 2, from, to);
        batch.reject(record(from, value, own), fault);
        self.model.lock().unwrap().apply(batch, NOW_MS).unwrap();
        from
    }

    pub(crate) async fn asked(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer::of(status, headers, answer.bytes().await.unwrap().to_vec())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.asked(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.asked(Method::POST, path, Some(&body)).await
    }

    async fn offsets(&self, query: &str) -> Vec<i64> {
        let page = self.get(&format!("{DLQ}?{query}")).await.ok();
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|it| it["offset"].as_i64().unwrap())
            .collect()
    }
}

fn place(offset: i64) -> Value {
    json!({ "topic": "t-license.events.v1", "partition": 2, "offset": offset })
}

fn truncated() -> Fault {
    let license = event(1, "L-1", NOW, activated("d")).license_key();
    Fault::new(Reason::Truncated, "it ends").naming(Some(license))
}

fn outcomes(answer: &Value) -> Vec<&str> {
    let items = answer["items"].as_array().unwrap();
    items
        .iter()
        .map(|it| it["outcome"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_listed_by_filter_and_page_and_shown_as_far_as_they_can_be_read() {
    let admin = Admin::start().await;
    let whole = encode(1, &event(1, "L-1", NOW, activated("d")));
    let cut = &whole[..whole.len() - 1];
    admin.reject(cut, &[("x-request-id", "r-1")], truncated());
    admin.reject(b"garbage", &[], Fault::new(Reason::UnknownFormat, "no"));
    admin.reject(b"garbage", &[], Fault::new(Reason::UnknownFormat, "no"));
    assert_eq!(admin.offsets("").await, [0, 1, 2]);
    assert_eq!(admin.offsets("reason=truncated").await, [0]);
    assert_eq!(admin.offsets("license_id=L-1&tenant_id=default").await, [0]);
    assert_eq!(admin.offsets("request_id=r-1").await, [0]);
    assert!(admin.offsets("state=resolved").await.is_empty());
    let page = admin.get(&format!("{DLQ}?limit=2")).await.ok();
    let next = page["_links"]["next"]["href"].as_str().unwrap();
    let rest = admin.get(next).await.ok();
    assert_eq!(rest["items"][0]["offset"], 2);
    assert_eq!(rest["next_cursor"], Value::Null);
    for (query, code) in [
        ("reasons=x", "unknown_parameter"),
        ("min_position=e:0:1", "unknown_parameter"),
        ("reason=x", "invalid_parameter"),
        ("limit=0", "invalid_parameter"),
    ] {
        admin
            .get(&format!("{DLQ}?{query}"))
            .await
            .problem(400, code);
    }

    let letter = admin.get(&format!("{DLQ}/t-license.events.v1/2/0")).await;
    assert_eq!(letter.header("cache-control"), Some("no-store"));
    let letter = letter.ok();
    assert_eq!(letter["license_id"], "L-1");
    assert_eq!(letter["record"]["headers"][0]["value"]["text"], "r-1");
    assert_eq!(letter["record"]["value"]["length"], cut.len());
    assert_eq!(letter["read"]["decoded"]["license_id"], "L-1");
    assert_eq!(letter["read"]["stopped"]["field"], "data/platform");
    assert_eq!(letter["read"]["stopped"]["offset"], cut.len());
    assert_eq!(letter["now"]["reason"], "truncated");
    for path in [
        "t-license.events.v1/2/9",
        "other/2/0",
        "t-license.events.v1/x/0",
    ] {
        let missing = admin.get(&format!("{DLQ}/{path}")).await;
        missing.problem(404, "letter_not_found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_marked_redriven_when_the_brokers_have_its_record_and_not_before() {
    let admin = Admin::start().await;
    admin.reject(
        b"garbage",
        &[("own", "1")],
        Fault::new(Reason::UnknownFormat, "no"),
    );
    let all = || json!({ "filter": {} });
    let looked = admin
        .post(REDRIVE, json!({ "filter": {}, "dry_run": true }))
        .await
        .ok();
    assert_eq!(
        (outcomes(&looked), &looked["done"]),
        (vec!["would_redrive"], &json!(1))
    );
    assert!(admin.lanes.published().is_empty(), "nothing was done");

    admin.lanes.answers(None);
    admin
        .post(REDRIVE, all())
        .await
        .problem(503, "brokers_away");
    for (answer, outcome) in [
        (Published::Unanswered("silence".to_owned()), "unanswered"),
        (Published::Refused("too large".to_owned()), "refused"),
    ] {
        admin.lanes.answers(Some(answer));
        let answer = admin.post(REDRIVE, all()).await.ok();
        assert_eq!(
            (outcomes(&answer), &answer["done"]),
            (vec![outcome], &json!(0))
        );
        assert_eq!(admin.offsets("").await, [0], "it is open still");
    }
    admin.lanes.answers(Some(Published::Acknowledged));
    let answer = admin.post(REDRIVE, all()).await.ok();
    assert_eq!(
        (outcomes(&answer), &answer["done"]),
        (vec!["redriven"], &json!(1))
    );
    assert!(admin.offsets("").await.is_empty());
    assert_eq!(admin.offsets("state=redriven").await, [0]);
    let sent = admin.lanes.published().pop().unwrap();
    assert_eq!(sent.record, record(0, b"garbage", &[("own", "1")]));
    assert_eq!((sent.attempt, sent.reason), (1, Reason::UnknownFormat));
    let answer = admin.post(REDRIVE, all()).await.ok();
    assert!(outcomes(&answer).is_empty(), "nothing is open any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_redriven_as_often_as_is_allowed_also_where_it_was_rejected_again() {
    let admin = Admin::start().await;
    let fault = || Fault::new(Reason::UnknownFormat, "no");
    let again = admin.reject(b"garbage", &[(ATTEMPT, "2")], fault());
    let redrive = |offset: i64| admin.post(REDRIVE, json!({ "letters": [place(offset)] }));
    assert_eq!(outcomes(&redrive(again).await.ok()), ["redriven"]);
    assert_eq!(admin.lanes.published()[0].attempt, 3);
    let answer = redrive(again).await.ok();
    assert_eq!(outcomes(&answer), ["not_redrivable"]);
    assert!(
        answer["items"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("3 times"),
        "{answer}"
    );
    let body = json!({ "letters": [place(again)], "attempts_max": 4 });
    assert_eq!(
        outcomes(&admin.post(REDRIVE, body).await.ok()),
        ["redriven"]
    );

    let large = admin.reject(b"{", &[], Fault::new(Reason::TooLarge, "large"));
    let answer = redrive(large).await.ok();
    assert_eq!(outcomes(&answer), ["not_redrivable"]);
    assert!(
        answer["items"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("stays in its lane")
    );
    assert_eq!(outcomes(&redrive(99).await.ok()), ["not_found"]);
    let own = [("padding", "x".repeat(65_300))];
    let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, &**value)).collect();
    let padded = admin.reject(b"{", &own, Fault::new(Reason::BadJson, "no"));
    assert_eq!(outcomes(&redrive(padded).await.ok()), ["not_redrivable"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_is_read_from_its_lane_and_stays_open() {
    let admin = Admin::start().await;
    let (first, second) = (
        event(1, "L-1", NOW, activated("a")),
        event(1, "L-1", NOW, activated("b")),
    );
    let mut batch = Batch::default();
    batch.advance(Lane::Interactive, 2, 0, 2);
    for (offset, event) in [(0, &first), (1, &second)] {
        batch.accept(at(offset), Default::default(), event);
    }
    admin.model.lock().unwrap().apply(batch, NOW_MS).unwrap();
    let path = format!("{DLQ}/t-license.events.v1/2/1");
    let gone = admin.get(&path).await.ok();
    assert_eq!(gone["record"], Value::Null);
    assert!(
        gone["missing"].as_str().unwrap().contains("no longer"),
        "{gone}"
    );
    let answer = admin.post(REDRIVE, json!({ "filter": {} })).await.ok();
    assert_eq!(outcomes(&answer), ["not_redrivable"]);

    let original = record(1, &encode(1, &second), &[]);
    admin
        .lanes
        .records
        .lock()
        .unwrap()
        .insert(at(1), original.clone());
    assert_eq!(
        admin.get(&path).await.ok()["read"]["decoded"]["type"],
        "DeviceActivated"
    );
    let answer = admin.post(REDRIVE, json!({ "filter": {} })).await.ok();
    assert_eq!(outcomes(&answer), ["redriven"]);
    assert_eq!(admin.lanes.published()[0].record, original);
    assert_eq!(
        admin.offsets("").await,
        [1],
        "it would be the same conflict again"
    );
    assert_eq!(headers::text(&original.headers, ATTEMPT), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_closed_for_a_reason_and_only_open_ones_count() {
    let admin = Admin::start().await;
    for _ in 0..5 {
        admin.reject(b"garbage", &[], Fault::new(Reason::UnknownFormat, "no"));
    }
    let asked = |limit: usize, cursor: &Value| {
        let mut body =
            json!({ "filter": { "reason": "unknown_format" }, "reason": "known", "limit": limit });
        if !cursor.is_null() {
            body["cursor"] = cursor.clone();
        }
        body
    };
    let first = admin.post(RESOLVE, asked(2, &Value::Null)).await.ok();
    assert_eq!(
        (outcomes(&first), &first["done"]),
        (vec!["resolved"; 2], &json!(2))
    );
    let second = admin
        .post(RESOLVE, asked(9, &first["next_cursor"]))
        .await
        .ok();
    assert_eq!(
        (&second["done"], &second["next_cursor"]),
        (&json!(3), &Value::Null)
    );
    let body = json!({ "letters": [place(0), place(9)], "reason": "again" });
    let closed = admin.post(RESOLVE, body).await.ok();
    assert_eq!(outcomes(&closed), ["closed_already", "not_found"]);
    assert_eq!(closed["done"], 0);
    let letter = admin
        .get(&format!("{DLQ}/t-license.events.v1/2/0"))
        .await
        .ok();
    assert_eq!(
        (&letter["state"], &letter["resolution"]),
        (&json!("resolved"), &json!("known"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_cannot_be_taken_is_told_where() {
    let admin = Admin::start().await;
    for (path, body, pointer) in [
        (REDRIVE, json!({}), ""),
        (REDRIVE, json!({ "filter": {}, "letters": [place(0)] }), ""),
        (
            REDRIVE,
            json!({ "filter": { "state": "all" } }),
            "/filter/state",
        ),
        (
            REDRIVE,
            json!({ "filter": { "reason": "x" } }),
            "/filter/reason",
        ),
        (REDRIVE, json!({ "filter": { "reasons": "x" } }), ""),
        (REDRIVE, json!({ "filter": {}, "limit": 501 }), "/limit"),
        (
            REDRIVE,
            json!({ "filter": {}, "attempts_max": 0 }),
            "/attempts_max",
        ),
        (REDRIVE, json!({ "filter": {}, "cursor": "x" }), "/cursor"),
        (REDRIVE, json!({ "filter": null }), ""),
        (
            REDRIVE,
            json!({ "letters": [{ "topic": "x", "partition": 0, "offset": 0 }] }),
            "/letters/0/topic",
        ),
        (RESOLVE, json!({ "filter": {} }), ""),
        (RESOLVE, json!({ "filter": {}, "reason": "" }), "/reason"),
        (
            RESOLVE,
            json!({ "filter": {}, "reason": "a\u{0}" }),
            "/reason",
        ),
    ] {
        let problem = admin
            .post(path, body.clone())
            .await
            .problem(422, "invalid_body");
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{body}: {problem}"
        );
    }
    let answer = admin
        .client
        .post(format!("{}{REDRIVE}", admin.base))
        .body("{}");
    assert_eq!(answer.send().await.unwrap().status(), 415);
    admin
        .asked(Method::DELETE, DLQ, None)
        .await
        .problem(405, "method_not_allowed");
}
