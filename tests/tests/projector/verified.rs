//! A store held against a log in memory: what is changed by hand is named, and what came out otherwise then is
//! told apart.

use std::sync::Arc;

use licenseflow_avro::codec::{Plan, encode};
use licenseflow_avro::headers;
use licenseflow_avro::judgement::{Schemas, SchemasAway, judge};
use licenseflow_avro::reason::Fault;
use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, Lane, Position, RawRecord, Reason, Topics, json, schema};
use licenseflow_core::batch::Envelope;
use licenseflow_core::{Batch, Try, Waiting};
use licenseflow_projector::Result;
use licenseflow_projector::verify::{
    Extent, Lanes, License, LicenseReport, Records, Way, Whole, WholeReport, verify_license,
    verify_whole,
};
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{ReadModel, SqliteAudit, SqliteModel};
use licenseflow_tests::harness::{Folder, project};

const SKEW_MICROS: i64 = 300_000_000;

/// Later than any time in the golden events.
const TIMESTAMP: i64 = 1_900_000_000_000;

/// The schema of every Avro record, or none of any.
struct Registry {
    is_known: bool,
}

impl Schemas for Registry {
    fn plan(&self, _: u32) -> std::result::Result<Option<Arc<Plan>>, SchemasAway> {
        let plan = Plan::new(schema::LICENSE_EVENT).unwrap();
        Ok(self.is_known.then(|| Arc::new(plan)))
    }
}

/// A log in memory.
struct Log(Vec<RawRecord>);

impl Lanes for Log {
    fn between(&self, from: &Position, to: &Position) -> Result<Records<'_>> {
        let (from, to) = (from.clone(), to.clone());
        let is_between = move |record: &&RawRecord| {
            let at = record.at;
            let begin = from.get(at.lane, at.partition).unwrap_or(0);
            let end = to.get(at.lane, at.partition).unwrap_or(0);
            (begin..end).contains(&at.offset)
        };
        Ok(Box::new(self.0.iter().filter(is_between).cloned().map(Ok)))
    }

    fn at(&self, places: &[Coordinates]) -> Result<Vec<RawRecord>> {
        let is_asked = |record: &&RawRecord| {
            let is_there = |at: &Coordinates| {
                (at.lane, at.partition, at.offset)
                    == (record.at.lane, record.at.partition, record.at.offset)
            };
            places.iter().any(is_there)
        };
        Ok(self.0.iter().filter(is_asked).cloned().collect())
    }
}

fn record(offset: i64, value: Vec<u8>) -> RawRecord {
    RawRecord {
        at: Coordinates {
            timestamp: TIMESTAMP,
            lane: Lane::Interactive,
            partition: 0,
            offset,
        },
        key: None,
        value: Some(value),
        headers: Vec::new(),
    }
}

/// A file, and the log that it is built from.
struct Bench {
    folder: Folder,
    log: Log,
}

impl Bench {
    /// The golden events, and a record at fault behind them.
    fn golden() -> Self {
        let bench = Self {
            folder: Folder::new("verified").unwrap(),
            log: Log(Vec::new()),
        };
        let events = std::fs::read_to_string(project().join("tests/golden/events.ndjson")).unwrap();
        let mut bench = bench;
        let known = Registry { is_known: true };
        let mut batch = Batch::default();
        for line in events.lines() {
            bench.take(&mut batch, line.as_bytes().to_vec(), &known);
        }
        bench.take(&mut batch, vec![9, 9], &known);
        bench.apply(batch);
        bench
    }

    fn next(&self) -> i64 {
        self.log.0.len() as i64
    }

    /// Reads a record as the projector does that knows these schemas.
    fn take(&mut self, batch: &mut Batch, value: Vec<u8>, schemas: &Registry) -> RawRecord {
        let record = record(self.next(), value);
        match judge(&record, schemas, SKEW_MICROS) {
            Ok(event) => batch.accept(record.at, Envelope::of(&record.headers), &event),
            Err(licenseflow_avro::judgement::Verdict::Fault(fault)) => {
                batch.reject(record.clone(), fault);
            }
            Err(licenseflow_avro::judgement::Verdict::Away(away)) => panic!("{away}"),
        }
        self.log.0.push(record.clone());
        record
    }

    fn model(&self) -> SqliteModel {
        SqliteModel::open(
            &self.folder.path().join("store.db"),
            SqliteOptions::default(),
        )
        .unwrap()
    }

    /// Applies a batch that ends where the log does.
    fn apply(&self, mut batch: Batch) {
        let mut model = self.model();
        let positions = model.positions().unwrap();
        let from = positions.first().map_or(0, |it| it.next_offset);
        batch.advance(Lane::Interactive, 0, from, self.next());
        model.apply(batch, TIMESTAMP).unwrap();
    }

    fn execute(&self, sql: &str) {
        let file = rusqlite::Connection::open(self.folder.path().join("store.db")).unwrap();
        assert!(file.execute(sql, []).unwrap() > 0, "{sql}");
    }

    fn audit(&self) -> SqliteAudit {
        SqliteAudit::open(&self.folder.path().join("store.db")).unwrap()
    }

    fn verify(&self, way: Way, schemas: &Registry) -> WholeReport {
        let whole = Whole {
            lanes: &self.log,
            audit: &self.audit(),
            schemas,
            begin: None,
            way,
            differences_max: 100,
        };
        verify_whole(&whole, &mut |_| {}).unwrap()
    }

    /// What both ways say alike.
    fn verified(&self, schemas: &Registry) -> WholeReport {
        let report = self.verify(Way::Naive, schemas);
        assert_eq!(self.verify(Way::Fast, schemas), report);
        report
    }

    fn license(&self, license_id: &str, extent: Extent) -> LicenseReport {
        let license = License {
            lanes: &self.log,
            audit: &self.audit(),
            schemas: &KNOWN,
            begin: None,
            key: &licenseflow_avro::LicenseKey {
                tenant_id: "default".to_owned(),
                license_id: license_id.to_owned(),
            },
            extent,
        };
        verify_license(&license, &mut |_| {}).unwrap()
    }
}

const KNOWN: Registry = Registry { is_known: true };
const UNKNOWN: Registry = Registry { is_known: false };

fn avro(event: u8) -> Vec<u8> {
    let text = format!(
        r#"{{"event_id":"00000000-0000-7000-8000-0000000000{event:02}","license_id":"L-A",
           "occurred_at":"2026-01-31T10:00:00Z","type":"UsageRecorded","data":{{"metric":"m","quantity":1}}}}"#
    );
    encode(5, &json::decode(text.as_bytes()).unwrap())
}

fn parts(report: &WholeReport) -> Vec<&str> {
    let mut parts: Vec<&str> = report.differences.iter().map(|it| it.part.name()).collect();
    parts.dedup();
    parts
}

/// Changes something by hand; each part that is named, and no other.
fn is_named(sql: &str, expected: &[&str]) {
    let bench = Bench::golden();
    bench.execute(sql);
    let report = bench.verified(&KNOWN);
    assert!(!report.equal, "{sql}");
    assert_eq!(parts(&report), expected, "{sql}: {report:#?}");
}

#[test]
fn what_nobody_changed_is_the_same_by_both_ways() {
    let bench = Bench::golden();
    let report = bench.verified(&KNOWN);
    assert!(report.equal, "{report:#?}");
    assert_eq!(
        (&report.expected, &report.found),
        (&report.rows, &report.rows)
    );
    assert_eq!(report.records, bench.next() as u64);
    assert_eq!(report.accepted, report.records - 1);
}

#[test]
fn a_row_changed_by_hand_is_named_though_the_kept_digest_does_not_notice() {
    is_named(
        "update license set seats_used = seats_used + 1 where number = 1",
        &["license"],
    );
    is_named(
        "update usage set quantity = quantity + 1 where license = (select min(license) from usage)",
        &["usage"],
    );
    let bench = Bench::golden();
    let before = bench.verified(&KNOWN);
    bench.execute("update license set plan = 'tampered' where plan is not null");
    let report = bench.verified(&KNOWN);
    assert_eq!(
        (&report.found, &report.expected),
        (&before.found, &before.found)
    );
    assert_ne!(report.rows, report.found);
    assert_eq!(parts(&report), ["license"]);
}

#[test]
fn the_kept_digest_is_held_against_the_rows() {
    is_named(
        "update digest set sum = zeroblob(16) where bucket = (select min(bucket) from digest)",
        &["digest"],
    );
}

#[test]
fn a_timeline_is_held_against_the_log_event_by_event() {
    is_named("delete from timeline where seq = 1", &["timeline"]);
    is_named(
        "update timeline set offset = offset + 1000 where seq = 2",
        &["timeline"],
    );
    is_named(
        "update timeline set request_id = 'r' where seq = 3",
        &["timeline"],
    );
}

#[test]
fn totals_and_numbers_of_events_are_held_against_what_they_count() {
    is_named(
        "update total set seats = seats + 1 where dimension = 0",
        &["total"],
    );
    is_named(
        "update event_day set events = events + 1 where day = (select min(day) from event_day)",
        &["counts"],
    );
}

#[test]
fn one_license_is_told_by_what_its_rows_name_and_what_they_do_not_by_a_scan() {
    let bench = Bench::golden();
    let file = rusqlite::Connection::open(bench.folder.path().join("store.db")).unwrap();
    let sql = "select license_id from license join tenant on tenant.number = tenant
        where tenant_id = 'default' and event_count > 2 order by event_count desc limit 1";
    let license_id: String = file.query_row(sql, [], |row| row.get(0)).unwrap();
    for extent in [Extent::Recorded, Extent::All] {
        let report = bench.license(&license_id, extent);
        assert!(report.exists && report.equal, "{report:#?}");
    }
    assert!(bench.license(&license_id, Extent::Recorded).records < bench.next() as u64);
    // An event that its rows know nothing of is not missed by them.
    let of = format!(
        "license = (select number from license where license_id = '{license_id}' and event_count > 2)"
    );
    bench.execute(&format!("delete from timeline where {of}"));
    let report = bench.license(&license_id, Extent::All);
    assert!(!report.equal, "{report:#?}");
    assert!(
        report
            .differences
            .iter()
            .all(|it| it.part.name() == "timeline"),
        "{report:#?}"
    );
    assert!(!bench.license("none-such", Extent::All).exists);
}

#[test]
fn what_the_store_refused_then_is_told_apart_and_the_model_is_the_same() {
    let mut bench = Bench::golden();
    let refused = record(bench.next(), avro(1));
    bench.log.0.push(refused.clone());
    let mut batch = Batch::default();
    batch.reject(refused, Fault::new(Reason::StoreRefused, "no"));
    bench.apply(batch);
    let report = bench.verified(&KNOWN);
    assert!(report.equal, "{report:#?}");
    let apart = &report.apart[0];
    assert_eq!(
        (apart.then.as_str(), apart.now.as_str()),
        ("rejected: store_refused", "accepted")
    );
    assert_eq!(apart.license.as_ref().unwrap().license_id, "L-A");
    // A fault of its own is none that passes: such a row is wrong.
    bench.execute("update rejected set reason = 'bad_json' where reason = 'store_refused'");
    let report = bench.verified(&KNOWN);
    assert!(parts(&report).contains(&"rejected"), "{report:#?}");
}

#[test]
fn what_was_accepted_then_and_would_be_rejected_now_is_told_apart_with_its_license() {
    let mut bench = Bench::golden();
    let mut batch = Batch::default();
    let value = avro(1);
    bench.take(&mut batch, value, &KNOWN);
    bench.apply(batch);
    assert!(bench.verified(&KNOWN).equal);
    let report = bench.verified(&UNKNOWN);
    assert!(report.equal, "{report:#?}");
    let apart = &report.apart[0];
    assert_eq!(
        (apart.then.as_str(), apart.now.as_str()),
        ("accepted", "rejected: unknown_schema")
    );
    assert_eq!(apart.license.as_ref().unwrap().license_id, "L-A");
}

/// A record that waited for its schema, a try of it that waited too, and one that was accepted.
#[test]
fn a_record_that_waited_counts_where_its_try_was_accepted_and_nowhere_before() {
    let mut bench = Bench::golden();
    let first = record(bench.next(), avro(1));
    bench.log.0.push(first.clone());
    let wait = |record: RawRecord| {
        let fault = Fault::new(Reason::UnknownSchema, "id 5").that_may_heal();
        let mut batch = Batch::default();
        let (wait_ms, may_begin) = (100, true);
        batch.wait(Waiting {
            record,
            fault,
            wait_ms,
            may_begin,
        });
        batch
    };
    bench.apply(wait(first.clone()));
    let report = bench.verified(&UNKNOWN);
    assert!(report.equal && report.apart.is_empty(), "{report:#?}");
    let report = bench.verified(&KNOWN);
    assert!(report.equal, "{report:#?}");
    assert_eq!(report.apart[0].then, "waits: unknown_schema");

    let again = |offset: i64, tries: u32| {
        let header = |name: &str, value: String| Header {
            name: name.to_owned(),
            value: Some(value.into_bytes()),
        };
        let mut again = record(offset, first.value.clone().unwrap());
        again.headers = vec![
            header(
                headers::ORIGINAL_TOPIC,
                Topics::new("").lane(Lane::Interactive),
            ),
            header(headers::ORIGINAL_PARTITION, "0".to_owned()),
            header(headers::ORIGINAL_OFFSET, first.at.offset.to_string()),
            header(headers::ATTEMPT, tries.to_string()),
        ];
        again
    };
    let second = again(bench.next(), 1);
    bench.log.0.push(second.clone());
    bench.apply(wait(second));
    let third = again(bench.next(), 2);
    bench.log.0.push(third.clone());
    let mut batch = Batch::default();
    let event = judge(&third, &KNOWN, SKEW_MICROS).unwrap();
    batch.accept(third.at, Envelope::of(&third.headers), &event);
    batch.retried.push(Try::of(&third).unwrap());
    bench.apply(batch);
    let report = bench.verified(&KNOWN);
    assert!(report.equal && report.apart.is_empty(), "{report:#?}");
    assert_eq!(report.retried, 1);
    bench.execute("delete from waiting");
    let report = bench.verified(&UNKNOWN);
    assert!(!report.equal, "{report:#?}");
}
