//! Several processes over one PostgreSQL: projectors that share the log, query processes that learn of what
//! another process wrote, and a server that dies under all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_avro::{Lane, PartitionId, Topics};
use licenseflow_core::Batch;
use licenseflow_kafka::{KafkaLetters, KafkaSource, SourceSettings};
use licenseflow_projector::{Handle, Parts, Projector, Settings, wall_clock};
use licenseflow_runtime::log::KafkaSettings;
use licenseflow_store::postgres::PostgresOptions;
use licenseflow_store::read_model::{Applied, Letter, PartitionEnd, PartitionState};
use licenseflow_store::{
    Done, Due, Error, Ground, Outbox, PostgresLookup, PostgresModel, ReadModel,
};
use licenseflow_tests::harness::{
    Kafka, Platform, Postgres, Process, Role, kcat, unique_prefix, wait_for_async, wait_until,
};
use licenseflow_tests::standing::dealt_with;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::well_behaved::{Expects, WellBehaved};

/// How long a step may take, the machine being busy with other tests.
const STEP: Duration = Duration::from_secs(120);

/// Processes on one log and one database, each on ports of its own.
struct Installation {
    postgres: Postgres,
    prefix: String,
}

impl Installation {
    fn new() -> Self {
        Self {
            postgres: Postgres::own().unwrap(),
            prefix: unique_prefix(),
        }
    }

    fn place(&self) -> Platform {
        Platform::new(Kafka::shared().bootstrap(), &self.prefix)
            .unwrap()
            .with("LICENSEFLOW_STORE", self.postgres.url())
    }

    fn lookup(&self, runtime: &tokio::runtime::Handle) -> PostgresLookup {
        let schema = PostgresOptions::default().schema;
        PostgresLookup::open(self.postgres.url(), &schema, 1, runtime.clone()).unwrap()
    }
}

/// What a projector counts of the records that changed the store.
const APPLIED: &str = "licenseflow_projector_records_total{fate=\"apply\"}";

/// What a process counted by this name and these labels; nothing as long as it does not name them.
fn metric(platform: &Platform, name: &str) -> u64 {
    let metrics = platform.text("/metrics").unwrap();
    let of_name = |line: &'_ str| -> Option<u64> {
        let number = line.strip_prefix(name)?.strip_prefix(' ')?;
        Some(number.parse().unwrap())
    };
    metrics.lines().find_map(of_name).unwrap_or(0)
}

#[test]
fn projectors_share_the_log_and_one_that_is_killed_is_replaced_by_the_others() {
    const RECORDS: i64 = 40_000;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let installation = Installation::new();
    let projector = || {
        let place = installation.place();
        place
            .with("LICENSEFLOW_APPLIERS", "2")
            .with("LICENSEFLOW_BATCH_RECORDS_MAX", "500")
    };
    let (first, second) = (projector(), projector());
    let mut stays = first.start(Role::Project).unwrap();
    let mut dies = second.start(Role::Project).unwrap();
    let lookup = installation.lookup(runtime.handle());
    thread::scope(|scope| {
        let generate = scope.spawn(|| first.generate(RECORDS, 500, 2));
        wait_until("they are at it", STEP, || {
            dealt_with(&lookup) > RECORDS / 10
        })
        .unwrap();
        // The second may have been given partitions of the other lane alone: who is at work is killed.
        if metric(&second, APPLIED) == 0 {
            std::mem::swap(&mut stays, &mut dies);
        }
        dies.kill().unwrap();
        generate.join().unwrap().unwrap();
    });
    wait_until("all is dealt with", STEP, || dealt_with(&lookup) >= RECORDS)
        .unwrap_or_else(|error| panic!("{error}\n{}", stays.stderr()));
    let report = first.verify().unwrap();
    assert_eq!(report["equal"], true, "{report}");
    let of = |name: &str| report[name].as_u64().unwrap();
    let rejected = of("records") - of("accepted");
    assert!(rejected > 0, "{report}");
    let dead = Topics::new(&installation.prefix).dead_letters();
    wait_until("the letters are there", STEP, || {
        let letters = kcat::consume(first.bootstrap(), &dead, &["-f", "%p:%o\\n", "-e"]);
        letters.unwrap_or_default().lines().count() as u64 >= rejected
    })
    .unwrap();
    Platform::stop(stays).unwrap();
}

/// What a reader was told while the database was away and before and after.
#[derive(Debug, Default)]
struct Told {
    answered: AtomicU64,
    refused: AtomicU64,
    is_over: AtomicBool,
}

/// Asks without end; each answer is one that the contract knows.
async fn reads(api: String, told: Arc<Told>) {
    let http = Client::new();
    while !told.is_over.load(Ordering::Acquire) {
        let answer = http.get(format!("{api}/v1/licenses?limit=5")).send().await;
        let answer = answer.unwrap();
        let retry_after = answer.headers().contains_key("retry-after");
        match answer.status() {
            StatusCode::OK => told.answered.fetch_add(1, Ordering::AcqRel),
            StatusCode::SERVICE_UNAVAILABLE => {
                assert!(retry_after, "{}", answer.text().await.unwrap());
                told.refused.fetch_add(1, Ordering::AcqRel)
            }
            status => panic!("{status}: {}", answer.text().await.unwrap()),
        };
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_dies_under_load_is_told_at_once_and_comes_back_by_itself() {
    let mut installation = Installation::new();
    let place = installation.place();
    let up = place.start(Role::Up).unwrap();
    let clients: Vec<WellBehaved> = (0..3)
        .map(|number| WellBehaved::begin(place.api(), &format!("c{number}"), Expects::BrokersAway))
        .collect();
    let told = Arc::new(Told::default());
    let readers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(reads(place.api(), Arc::clone(&told))))
        .collect();
    let given = || clients.iter().map(WellBehaved::given).min().unwrap_or(0);
    let until = async |what: &str, condition: &dyn Fn() -> bool| {
        let is_so = async || condition().then_some(());
        let waited = wait_for_async(what, STEP, is_so).await;
        waited.unwrap_or_else(|error| panic!("{error}\n{}", up.stderr()));
    };
    let answered = || told.answered.load(Ordering::Acquire);
    let before = answered();
    until("readers and writers are at it", &|| {
        answered() > before + 50
    })
    .await;
    let before = given();
    tokio::task::block_in_place(|| installation.postgres.kill()).unwrap();
    // More of them than there are readers times the attempts that one second has room for, so that
    // a refusal is quick: a reader that hung would not add to them.
    let refused = || told.refused.load(Ordering::Acquire);
    until("readers are told", &|| refused() > 100).await;
    // Whoever writes does not need the read model.
    until("receipts go on", &|| given() > before + 20).await;
    tokio::task::block_in_place(|| installation.postgres.start_again()).unwrap();
    let before = answered();
    until("readers are answered again", &|| answered() > before + 50).await;
    told.is_over.store(true, Ordering::Release);
    for reader in readers {
        reader.await.unwrap();
    }
    for client in clients {
        let receipts = client.end().await;
        assert_eq!(receipts.refusals, 0, "the intake needs no database");
        receipts.are_in_the_read_model(&place.api()).await;
    }
    println!("{told:?}");
    assert_eq!(place.verify().unwrap()["equal"], true);
    Platform::stop(up).unwrap();
}

/// A store that is written late: what a projector that is behind looks like to readers.
struct Late {
    model: PostgresModel,
    by: Duration,
}

impl ReadModel for Late {
    fn begin_on(&mut self, ground: &Ground) -> Result<(), Error> {
        self.model.begin_on(ground)
    }

    fn positions(&mut self) -> Result<Vec<PartitionState>, Error> {
        self.model.positions()
    }

    fn apply(&mut self, batch: Batch, now: i64) -> Result<Applied, Error> {
        thread::sleep(self.by);
        self.model.apply(batch, now)
    }

    fn note_ends(&mut self, ends: &[PartitionEnd], now: i64) -> Result<(), Error> {
        self.model.note_ends(ends, now)
    }
}

impl Outbox for Late {
    fn unsent(
        &mut self,
        after: i64,
        limit: usize,
        except: &[(Lane, PartitionId)],
    ) -> Result<Vec<Letter>, Error> {
        self.model.unsent(after, limit, except)
    }

    fn mark_sent(&mut self, ids: &[i64], now: i64) -> Result<(), Error> {
        self.model.mark_sent(ids, now)
    }

    fn due(&mut self, now: i64, limit: usize) -> Result<Due, Error> {
        self.model.due(now, limit)
    }

    fn mark_done(&mut self, done: &[Done], now: i64) -> Result<(), Error> {
        self.model.mark_done(done, now)
    }

    fn leave(&mut self) -> Result<(), Error> {
        self.model.leave()
    }
}

/// A projector in this process, held back by so much before each batch.
fn late_projector(installation: &Installation, registry: &str, by: Duration) -> Handle {
    let kafka = KafkaSettings::new(Kafka::shared().bootstrap(), "late");
    let topics = Topics::new(&installation.prefix);
    let runtime = tokio::runtime::Handle::current();
    let source = SourceSettings {
        kafka: kafka.clone(),
        topics: topics.clone(),
        group_instance: None,
        queued_kbytes_max: 8 * 1024,
        fetch_bytes_max: 8 << 20,
        ends_interval: Settings::default().ends_interval,
    };
    let url = installation.postgres.url();
    let open = || PostgresModel::open(url, &PostgresOptions::default(), runtime.clone());
    let model = tokio::task::block_in_place(open).unwrap();
    let parts = Parts {
        source: KafkaSource::start(&source).unwrap(),
        schemas: RegistryClient::new(registry).unwrap().blocking(runtime),
        model: Late { model, by },
        letters: KafkaLetters::new(&kafka, &topics).unwrap(),
        clock: wall_clock(),
    };
    Projector::start(Settings::default(), [parts], &CancellationToken::new()).unwrap()
}

/// Writes `count` events of one license, and reads each at another process as soon as its receipt is there.
async fn writes_and_reads(intake: String, queries: [String; 2], license: usize, count: usize) {
    let http = Client::new();
    let (event, license) = (usage_of(license), format!("LIC-{license}"));
    for number in 0..count {
        let sent = http.post(format!("{intake}/v1/events")).json(&event).send();
        let answer = sent.await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let receipt: Value = answer.json().await.unwrap();
        let query = &queries[number % 2];
        let asked = http
            .get(format!("{query}/v1/licenses/{license}"))
            .header("x-min-position", receipt["position"].as_str().unwrap())
            .header("x-wait-ms", "15000");
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let shown: Value = answer.json().await.unwrap();
        assert_eq!(shown["event_count"], number + 1, "{receipt} {shown}");
    }
}

fn usage_of(license: usize) -> Value {
    json!({
        "license_id": format!("LIC-{license}"), "type": "UsageRecorded",
        "data": {"metric": "calls", "quantity": 1},
    })
}

/// How many reads found what they asked for at once, and how many had to wait for it.
fn waits(query: &Platform) -> (u64, u64) {
    let of = |outcome: &str| {
        metric(
            query,
            &format!("query_waits_total{{outcome=\"{outcome}\"}}"),
        )
    };
    (of("fresh"), of("caught_up"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_receipts_are_read_at_once_at_processes_that_did_not_write_them() {
    const RECEIPTS: usize = 10_000;
    const CLIENTS: usize = 200;
    let installation = Installation::new();
    let intake = installation.place();
    let ingest = intake.start(Role::Ingest).unwrap();
    let handle = late_projector(
        &installation,
        &intake.registry(),
        Duration::from_millis(200),
    );
    let queries = [installation.place(), installation.place()];
    let running: Vec<Process> = queries
        .iter()
        .map(|it| it.start(Role::Query).unwrap())
        .collect();
    let addresses = [queries[0].api(), queries[1].api()];
    let clients = (0..CLIENTS).map(|license| {
        let (intake, queries) = (intake.api(), addresses.clone());
        tokio::spawn(writes_and_reads(
            intake,
            queries,
            license,
            RECEIPTS / CLIENTS,
        ))
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let (mut fresh, mut waited) = (0, 0);
    for query in &queries {
        let (at_once, later) = tokio::task::block_in_place(|| waits(query));
        (fresh, waited) = (fresh + at_once, waited + later);
    }
    println!("{waited} of {RECEIPTS} receipts would have been stale without the wait, {fresh} not");
    assert_eq!(fresh + waited, RECEIPTS as u64);
    assert!(waited >= 9 * RECEIPTS as u64 / 10, "{waited} of {RECEIPTS}");
    handle.stop();
    tokio::task::block_in_place(|| handle.join()).unwrap();
    for process in running {
        Platform::stop(process).unwrap();
    }
    Platform::stop(ingest).unwrap();
}
