//! `send` killed in the middle and started again: each line at least once, and no gap. Histories sent
//! and read back.

use std::collections::HashMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use licenseflow_avro::codec::Plan;
use licenseflow_avro::event::LicenseEvent;
use licenseflow_avro::headers::RequestId;
use licenseflow_avro::judgement::{Schemas, SchemasAway};
use licenseflow_avro::{Lane, schema};
use licenseflow_producers::generate::{
    self, GenerateOptions, GenerateProgress, Generated, History, SendGenerated, Shares,
};
use licenseflow_producers::publish::{PublishError, RequestContext};
use licenseflow_producers::send::{
    BadLine, Checkpoint, Done, OnBadLine, Progress, SendError, SendOptions, Source, send,
};
use licenseflow_producers::tail::{TailForm, TailOptions, TailTopic, tail};
use licenseflow_runtime::log::{Start, Stop};
use licenseflow_tests::harness::{Folder, Kafka, wait_for_async};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::service::{Log, SCHEMA_IDS, TIMEOUT, event_of, headers_of, usage};

const END: i64 = 1_760_000_000_000_000;

#[derive(Default)]
struct Heard {
    bad_lines: Vec<String>,
}

impl Progress for Heard {
    fn advanced(&mut self, _: &Done) {}

    fn bad_line(&mut self, bad: &BadLine) {
        self.bad_lines.push(bad.to_string());
    }

    fn waiting(&mut self, _: &PublishError) {}
}

impl GenerateProgress for Heard {
    fn advanced(&mut self, _: u64) {}
}

fn context(request_id: &str) -> RequestContext {
    RequestContext {
        request_id: RequestId::parse(request_id).unwrap(),
        received_at_ms: END / 1000,
        traceparent: None,
        tracestate: None,
        answer_by: None,
    }
}

fn history(events: u64) -> Vec<LicenseEvent> {
    let options = GenerateOptions {
        events,
        ..GenerateOptions::until(END)
    };
    let records = History::new(options).unwrap();
    let events = records.filter_map(|record| match record {
        Generated::Event(event) => Some(event),
        Generated::Raw(_) => None,
    });
    events.collect()
}

fn written(folder: &Folder, lines: &[String]) -> std::path::PathBuf {
    let path = folder.path().join("events.ndjson");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(lines.join("\n").as_bytes()).unwrap();
    path
}

fn lines_of(events: &[LicenseEvent]) -> Vec<String> {
    let events = events.iter().cloned();
    events
        .map(|event| Generated::Event(event).to_line().unwrap())
        .collect()
}

/// Starts a run twice and kills it behind a new checkpoint each time; how far that was.
async fn killed_twice(log: &Log, path: &Path, options: &SendOptions, state: &Path) -> Checkpoint {
    let mut stood = Checkpoint::default();
    for round in 0..2 {
        let publisher = log.publisher();
        let (path, options) = (path.to_owned(), options.clone());
        let mut run = JoinSet::new();
        run.spawn(async move {
            let stop = CancellationToken::new();
            let context = context(&format!("round-{round}"));
            let source = Source::File(path);
            send(
                &publisher,
                source,
                &options,
                &context,
                &mut Heard::default(),
                &stop,
            )
            .await
        });
        let now = wait_for_async("the next checkpoint", TIMEOUT, async || {
            let now = Checkpoint::load(state).await.unwrap();
            (now.lines > stood.lines).then_some(now)
        })
        .await
        .unwrap();
        assert!(now.lines < 30_000, "the run was over before it was killed");
        stood = now;
        // Nothing of the run is executed after this, as after a kill.
        run.abort_all();
        assert!(run.join_next().await.unwrap().unwrap_err().is_cancelled());
    }
    stood
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_that_is_started_again_sends_each_line_and_leaves_no_gap() {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let folder = Folder::new("resume").unwrap();
    let events = history(30_000);
    let path = written(&folder, &lines_of(&events));
    let state = folder.path().join("state.json");
    let options = SendOptions {
        state: Some(state.clone()),
        // Few, so that the run takes longer than the checkpoints are apart.
        in_flight_max: 10,
        ..SendOptions::default()
    };
    let stood = killed_twice(&log, &path, &options, &state).await;
    let stop = CancellationToken::new();
    let options = SendOptions {
        in_flight_max: 10_000,
        ..options
    };
    let publisher = log.publisher();
    let source = Source::File(path.clone());
    let done = send(
        &publisher,
        source,
        &options,
        &context("last"),
        &mut Heard::default(),
        &stop,
    )
    .await
    .unwrap();
    assert!(done.is_complete);
    assert_eq!(done.lines, 30_000);
    assert!(done.acknowledged <= 30_000 - stood.lines);
    assert_eq!(done.bytes, std::fs::metadata(&path).unwrap().len());

    let mut sent: HashMap<_, _> = events
        .into_iter()
        .map(|event| (event.event_id, event))
        .collect();
    assert_eq!(sent.len(), 30_000);
    let mut there = std::collections::HashSet::new();
    for record in log.records().await {
        let event = event_of(&record);
        assert_eq!(Some(&event), sent.get(&event.event_id));
        there.insert(event.event_id);
    }
    sent.retain(|id, _| !there.contains(id));
    assert_eq!(sent.len(), 0, "lines were left out");

    // Once more: there is nothing left to do.
    let source = Source::File(path);
    let again = send(
        &publisher,
        source,
        &options,
        &context("again"),
        &mut Heard::default(),
        &stop,
    )
    .await
    .unwrap();
    assert_eq!((again.acknowledged, again.lines), (0, 30_000));
    publisher.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_stop_the_run_or_go_to_a_file() {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let folder = Folder::new("bad-lines").unwrap();
    let lines = [
        usage("L", 1),
        "not json".into(),
        String::new(),
        usage("L", 2),
        usage("L", -1),
    ];
    let path = written(&folder, &lines);
    let publisher = log.publisher();
    let stop = CancellationToken::new();
    let mut heard = Heard::default();
    let options = SendOptions::default();
    let source = Source::File(path.clone());
    let ended = send(
        &publisher,
        source,
        &options,
        &context("stops"),
        &mut heard,
        &stop,
    )
    .await;
    assert!(matches!(ended, Err(SendError::BadLine(bad)) if bad.line == 2));
    assert_eq!(log.records().await.len(), 1);

    let skipped = folder.path().join("skipped.ndjson");
    let options = SendOptions {
        on_bad_line: OnBadLine::SkipTo(skipped.clone()),
        lane: Lane::Bulk,
        tenant: Some("acme".into()),
        ..options
    };
    let mut heard = Heard::default();
    let source = Source::Pipe(Box::new(tokio::fs::File::open(path).await.unwrap()));
    let done = send(
        &publisher,
        source,
        &options,
        &context("skips"),
        &mut heard,
        &stop,
    )
    .await
    .unwrap();
    assert_eq!((done.lines, done.acknowledged, done.skipped), (5, 2, 2));
    assert!(
        heard.bad_lines[1].starts_with("line 5: /data/quantity: "),
        "{:?}",
        heard.bad_lines
    );
    let kept = std::fs::read_to_string(skipped).unwrap();
    assert_eq!(kept, format!("not json\n{}\n", usage("L", -1)));
    let records = log.records().await;
    let of_run: Vec<_> = records
        .iter()
        .filter(|record| headers_of(record)["x-request-id"] == "skips")
        .collect();
    assert_eq!(of_run.len(), 2);
    for record in of_run {
        assert_eq!(event_of(record).tenant_id, "acme");
        let next = done.position.get(Lane::Bulk, record.partition).unwrap();
        assert!(next > record.offset);
    }
    publisher.stop(Duration::from_secs(5)).await;
}

struct Ours;

impl Schemas for Ours {
    fn plan(&self, id: u32) -> Result<Option<Arc<Plan>>, SchemasAway> {
        let known = id == SCHEMA_IDS.interactive;
        Ok(known.then(|| Arc::new(Plan::new(schema::LICENSE_EVENT).unwrap())))
    }
}

/// The lines that tail shows of the run `made`.
fn tailed(log: &Log, license_id: Option<&str>) -> Vec<serde_json::Value> {
    let options = TailOptions {
        topics: vec![TailTopic::Lane(Lane::Interactive)],
        start: Start::Beginning,
        stop: Stop::AtEnd,
        license_id: license_id.map(str::to_owned),
        tenant_id: None,
        request_id: Some("made".into()),
        form: TailForm::Json,
    };
    let mut lines: Vec<serde_json::Value> = Vec::new();
    tail(
        &log.kafka,
        &log.topics,
        &options,
        &Ours,
        || false,
        |line| {
            lines.push(serde_json::from_str(line).unwrap());
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_sent_with_its_poison_and_tail_shows_it() {
    let log = Log::create(Kafka::shared().bootstrap()).await;
    let publisher = log.publisher();
    let options = GenerateOptions {
        events: 3000,
        shares: Shares {
            poison: 0.1,
            ..Shares::default()
        },
        ..GenerateOptions::until(END)
    };
    let made: Vec<Generated> = History::new(options).unwrap().collect();
    let events = made.iter().filter_map(Generated::to_line).count();
    let to = SendGenerated {
        rate: Some(20_000.0),
        ..SendGenerated::to(Lane::Interactive)
    };
    let stop = CancellationToken::new();
    let (position, acknowledged) = generate::send(
        &publisher,
        made.iter().cloned(),
        &to,
        &context("made"),
        &mut Heard::default(),
        &stop,
    )
    .await
    .unwrap();
    assert_eq!(acknowledged, 3000);
    assert_eq!(position.iter().map(|(_, _, next)| next).sum::<i64>(), 3000);

    let tailed =
        |license_id: Option<&str>| tokio::task::block_in_place(|| tailed(&log, license_id));
    let all = tailed(None);
    assert_eq!(all.len(), 3000);
    assert_eq!(
        all.iter().filter(|line| line["event"].is_object()).count(),
        events
    );
    assert_eq!(
        all.iter().filter(|line| line["fault"].is_object()).count(),
        3000 - events
    );
    let license = all
        .iter()
        .find_map(|line| line["event"]["license_id"].as_str())
        .unwrap();
    let of_license = tailed(Some(license));
    assert!(!of_license.is_empty() && of_license.len() < 100);
    publisher.stop(Duration::from_secs(5)).await;
}
