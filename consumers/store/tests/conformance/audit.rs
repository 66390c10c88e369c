//! A generation read whole gives every row, event, fate and number as it is stored, all of one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use licenseflow_avro::reason::Fault;
use licenseflow_avro::{Coordinates, Lane, LicenseKey, Reason, json};
use licenseflow_core::batch::record_hash;
use licenseflow_core::digest::bucket_of;
use licenseflow_core::{Batch, Buckets, Waiting, naive};
use licenseflow_store::audit::{
    Audited, Fate, FateRow, Numbers, Part, StoredEvent, StoredRow, What, content_of, numbers_of,
};
use licenseflow_store::{Audit, PostgresAudit, SqliteAudit};
use uuid::Uuid;

use crate::model::{Accepted, Folder, Model as _, Place, apply, batch_of, on_every_store};
use crate::postgres::{Schema, in_schema, runtime};
use crate::store::poison;

on_every_store!(
    what_is_read_whole_is_what_the_naive_fold_gives,
    a_snapshot_stays_as_it_is_while_batches_are_applied,
    all_of_one_license_is_what_is_its_among_all,
    a_row_that_nobody_can_read_is_handed_over_as_one,
    rows_of_no_license_are_counted,
);

/// A place whose store can be read whole, and changed by hand.
pub(crate) trait Opened: Place {
    fn audit(&self) -> Box<dyn Audit>;

    fn execute(&self, sql: &str);
}

impl Opened for Folder {
    fn audit(&self) -> Box<dyn Audit> {
        Box::new(SqliteAudit::open(&self.store()).unwrap())
    }

    fn execute(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.store()).unwrap();
        connection.execute_batch(sql).unwrap();
    }
}

impl Opened for Schema {
    fn audit(&self) -> Box<dyn Audit> {
        Box::new(PostgresAudit::open(self.url(), self.name(), runtime()).unwrap())
    }

    fn execute(&self, sql: &str) {
        let client = in_schema(self.name());
        runtime().block_on(client.batch_execute(sql)).unwrap();
    }
}

pub(crate) fn records() -> Vec<Accepted> {
    // From this crate's folder, where cargo runs it.
    let events = std::fs::read_to_string(Path::new("../../tests/golden/events.ndjson")).unwrap();
    let records = events.lines().enumerate().map(|(offset, line)| {
        let at = Coordinates {
            timestamp: 1_900_000_000_000,
            lane: Lane::Interactive,
            partition: 0,
            offset: offset as i64,
        };
        (at, json::decode(line.as_bytes()).unwrap())
    });
    records.collect()
}

/// A record that is rejected, and one that waits.
fn in_doubt() -> Batch {
    let mut batch = Batch::default();
    batch.advance(Lane::Interactive, 3, 0, 2);
    batch.reject(poison(0), Fault::new(Reason::UnknownFormat, "no"));
    batch.wait(Waiting {
        record: poison(1),
        fault: Fault::new(Reason::UnknownSchema, "id 9").that_may_heal(),
        wait_ms: 100,
        may_begin: true,
    });
    batch
}

type Rows = BTreeMap<(LicenseKey, Part, String), StoredRow>;

fn rows_of(audited: &mut dyn Audited) -> Rows {
    let mut rows = Rows::new();
    let mut put = |key: &LicenseKey, row: StoredRow| {
        let name = (key.clone(), row.part(), row.name().to_owned());
        assert!(rows.insert(name, row).is_none(), "a row came twice");
        Ok(())
    };
    audited.rows_in(&|_| true, &mut put).unwrap();
    rows
}

fn events_of(audited: &mut dyn Audited) -> Vec<(LicenseKey, StoredEvent)> {
    let mut events = Vec::new();
    let mut put = |key: &LicenseKey, event: StoredEvent| {
        events.push((key.clone(), event));
        Ok(())
    };
    audited.timeline(&mut put).unwrap();
    events
}

fn fates_of(audited: &mut dyn Audited) -> Vec<FateRow> {
    let mut fates = Vec::new();
    let mut put = |row: FateRow| {
        fates.push(row);
        Ok(())
    };
    audited.fates(&mut put).unwrap();
    fates
}

fn numbers_in(audited: &mut dyn Audited) -> Numbers {
    let mut numbers = Numbers::new();
    let mut put = |what: What, values: [i64; 3]| {
        let sums = numbers.entry(what).or_default();
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
        Ok(())
    };
    audited.numbers(&mut put).unwrap();
    numbers
}

fn what_is_read_whole_is_what_the_naive_fold_gives<P: Opened>() {
    let place = P::new();
    let mut model = place.open();
    let records = records();
    for batch in records.chunks(9) {
        apply(&mut model, batch_of(batch));
    }
    apply(&mut model, in_doubt());
    let audit = place.audit();
    let mut audited = audit.begin().unwrap();
    assert_eq!(audited.at().position.to_string(), "e:3:2");
    assert_eq!(audited.at().max_future_skew_micros, 300_000_000);
    assert_eq!(audited.kept().unwrap(), model.kept());
    assert_eq!(audited.stored().unwrap(), model.kept());

    let naive = naive::fold(records.clone());
    let rows = rows_of(&mut *audited);
    let canonical = |part: Part| -> BTreeSet<String> {
        let of_part = rows.iter().filter(|((_, it, _), _)| *it == part);
        of_part
            .map(|((key, ..), row)| row.canonical(key).unwrap())
            .collect()
    };
    assert_eq!(canonical(Part::License), naive.licenses);
    assert_eq!(canonical(Part::Device), naive.devices);
    assert_eq!(canonical(Part::Usage), naive.usage);

    let mut said: BTreeSet<(Uuid, i64)> = BTreeSet::new();
    for (key, event) in events_of(&mut *audited) {
        let decoded = event.event(&key).unwrap().unwrap();
        let StoredEvent::Event { event_id, at, .. } = event else {
            panic!("{event:?}");
        };
        let (_, recorded) = &records[at.offset as usize];
        assert_eq!(&decoded, recorded);
        said.insert((event_id, at.offset));
    }
    let kinds: BTreeSet<Uuid> = said.iter().map(|(id, _)| *id).collect();
    assert_eq!(kinds.len(), said.len(), "an event came twice");

    let kept = model.totals_kept();
    let numbers = numbers_in(&mut *audited);
    for (what, values) in numbers_of(&kept.groups) {
        assert_eq!(numbers.get(&what), Some(&values), "{what:?}");
    }
    assert!(audited.orphans().unwrap().is_empty());
    what_did_not_count_is_there(&fates_of(&mut *audited), &naive);
}

fn what_did_not_count_is_there(fates: &[FateRow], naive: &naive::NaiveModel) {
    let mut conflicts = BTreeSet::new();
    let (mut rejected, mut waiting) = (0, 0);
    for row in fates {
        match &row.fate {
            Fate::Conflict { of, event_id, .. } => {
                let of = of.clone().unwrap();
                assert_eq!(row.license.as_ref(), Some(&of));
                conflicts.insert((of.tenant_id, of.license_id, *event_id, row.at));
            }
            Fate::Rejected { content } => {
                rejected += 1;
                assert_eq!(
                    (row.reason.as_str(), row.at),
                    ("unknown_format", poison(0).at)
                );
                assert_eq!(*content, content_of(None, Some(&[9, 9])));
            }
            Fate::Waiting {
                hash,
                content,
                settled_offset,
            } => {
                waiting += 1;
                assert_eq!(row.at, poison(1).at);
                assert_eq!(hash[..], record_hash(&poison(1)));
                assert_eq!(*content, Some(content_of(None, Some(&[9, 9]))));
                assert_eq!(*settled_offset, None);
            }
        }
    }
    assert_eq!(conflicts, naive.conflicts);
    assert_eq!((rejected, waiting), (1, 1));
}

fn a_snapshot_stays_as_it_is_while_batches_are_applied<P: Opened>() {
    let place = P::new();
    let mut model = place.open();
    let records = records();
    let (first, rest) = records.split_at(records.len() / 2);
    apply(&mut model, batch_of(first));
    let audit = place.audit();
    let mut audited = audit.begin().unwrap();
    let before = (audited.kept().unwrap(), rows_of(&mut *audited));
    apply(&mut model, batch_of(rest));
    apply(&mut model, in_doubt());
    assert_eq!(audited.at().position.to_string(), "");
    assert_eq!((audited.kept().unwrap(), rows_of(&mut *audited)), before);
    let naive = naive::fold(first.to_vec());
    assert_eq!(audited.stored().unwrap().text(), naive.digest());
    let waits = |row: &FateRow| !matches!(row.fate, Fate::Conflict { .. });
    assert!(!fates_of(&mut *audited).iter().any(waits));
    let mut after = audit.begin().unwrap();
    assert_eq!(after.at().position.to_string(), "e:3:2");
    assert_eq!(after.stored().unwrap(), model.kept());
    assert_ne!(before.0, model.kept());
}

fn all_of_one_license_is_what_is_its_among_all<P: Opened>() {
    let place = P::new();
    let mut model = place.open();
    apply(&mut model, batch_of(&records()));
    let audit = place.audit();
    let mut audited = audit.begin().unwrap();
    let (rows, events) = (rows_of(&mut *audited), events_of(&mut *audited));
    let fates = fates_of(&mut *audited);
    let keys: BTreeSet<LicenseKey> = rows.keys().map(|(key, ..)| key.clone()).collect();
    assert!(keys.len() > 3, "{keys:?}");
    for key in &keys {
        let one = audited.license(key).unwrap();
        let mut its: Vec<&StoredRow> = rows
            .iter()
            .filter(|((of, ..), _)| of == key)
            .map(|(_, row)| row)
            .collect();
        let mut found: Vec<&StoredRow> = one.rows.iter().collect();
        let by_name = |row: &&StoredRow| (row.part(), row.name().to_owned());
        its.sort_by_key(by_name);
        found.sort_by_key(by_name);
        assert_eq!(found, its);
        let its = events.iter().filter(|(of, _)| of == key).count();
        assert_eq!(one.timeline.len(), its, "{key:?}");
        let its = fates.iter().filter(|row| row.license.as_ref() == Some(key));
        assert_eq!(one.fates.len(), its.count(), "{key:?}");
    }
    let none = LicenseKey {
        tenant_id: "default".to_owned(),
        license_id: "none-such".to_owned(),
    };
    assert_eq!(audited.license(&none).unwrap(), Default::default());

    let chosen = bucket_of(keys.first().unwrap());
    let mut buckets = Buckets::default();
    let mut add = |key: &LicenseKey, row: StoredRow| {
        buckets.add(bucket_of(key), row.digest(key));
        Ok(())
    };
    audited
        .rows_in(&|bucket| bucket == chosen, &mut add)
        .unwrap();
    let kept = model.kept();
    let only = kept.iter().filter(|(bucket, _)| *bucket == chosen);
    assert!(buckets.iter().eq(only), "{buckets:?}");
}

fn a_row_that_nobody_can_read_is_handed_over_as_one<P: Opened>() {
    let place = P::new();
    let mut model = place.open();
    apply(&mut model, batch_of(&records()));
    drop(model);
    place.execute("update license set entitlements = '{' where plan is not null");
    let audit = place.audit();
    let mut audited = audit.begin().unwrap();
    let rows = rows_of(&mut *audited);
    let unreadable: Vec<&StoredRow> = rows
        .values()
        .filter(|row| matches!(row, StoredRow::Unreadable { .. }))
        .collect();
    assert!(!unreadable.is_empty());
    for row in unreadable {
        assert_eq!((row.part(), row.name()), (Part::License, ""), "{row:?}");
    }
    let devices = rows.keys().filter(|(_, part, _)| *part == Part::Device);
    assert!(devices.count() > 0, "the others are read all the same");
}

fn rows_of_no_license_are_counted<P: Opened>() {
    let place = P::new();
    let mut model = place.open();
    apply(&mut model, batch_of(&records()));
    drop(model);
    place.execute("delete from license where number in (select license from device)");
    let audit = place.audit();
    let mut audited = audit.begin().unwrap();
    let orphans = audited.orphans().unwrap();
    let tables: Vec<&str> = orphans.iter().map(|(table, _)| *table).collect();
    assert!(
        tables.contains(&"device") && tables.contains(&"timeline"),
        "{orphans:?}"
    );
    assert!(orphans.iter().all(|(_, count)| *count > 0), "{orphans:?}");
}
