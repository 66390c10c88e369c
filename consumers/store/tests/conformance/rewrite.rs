//! One license rewritten beside its writer: it is as it was to be, whatever its rows were, and nothing else is
//! another.

use std::collections::BTreeMap;
use std::sync::Arc;

use licenseflow_avro::event::Payload;
use licenseflow_avro::reason::Fault;
use licenseflow_avro::{EventKind, LicenseEvent, LicenseKey, Position, Reason, json};
use licenseflow_core::digest::bucket_of;
use licenseflow_core::event_counts::minute_of;
use licenseflow_core::fold::{Settled, fold};
use licenseflow_core::totals::TotalsChange;
use licenseflow_core::{
    Batch, LicenseBatch, LicenseChange, LicensePast, RecordedEvent, Rejected, RowDigest,
};
use licenseflow_store::audit::{Numbers, StoredLicense, What, numbers_of};
use licenseflow_store::rewrite::{LettersAsTheyAre, Rewrite, Rewritten};
use licenseflow_store::{LetterQuery, LetterRow, LetterState};

use crate::audit::{Opened, records};
use crate::model::{Accepted, Folder, Model, apply, batch_of, envelope, on_every_store};
use crate::postgres::{Schema, in_schema, runtime};
use crate::store::{poison, span};

on_every_store!(
    every_license_is_rewritten_as_it_was_whatever_its_rows_are,
    a_license_whose_row_is_lost_has_its_number_again,
    where_the_generation_stands_elsewhere_nothing_is_written,
    who_writes_goes_on_from_what_was_rewritten,
    a_conflict_keeps_what_was_done_about_it,
    a_letter_is_as_it_was_and_keeps_what_was_done_about_it,
    nothing_stays_of_a_license_that_the_log_has_nothing_of,
);

/// A place where licenses are rewritten.
trait Rewriting: Opened {
    fn rewrite(&self, key: &LicenseKey, change: Option<&LicenseChange>, sums: &Sums) -> Rewritten {
        let at = Position::default();
        self.rewrite_at(&at, key, change, sums)
    }

    fn rewrite_at(
        &self,
        at: &Position,
        key: &LicenseKey,
        license: Option<&LicenseChange>,
        sums: &Sums,
    ) -> Rewritten {
        let rewrite = Rewrite {
            key,
            at,
            license,
            digest: (bucket_of(key), sums.digest),
            numbers: &sums.numbers,
            letters: &sums.letters,
        };
        self.generations().rewrite(1, &rewrite, 9).unwrap()
    }

    /// Every license's number: what cursors that were handed out go by.
    fn numbers(&self) -> Vec<(String, i64)>;

    fn stored(&self, key: &LicenseKey) -> StoredLicense {
        let audit = self.audit();
        let mut stored = audit.begin().unwrap().license(key).unwrap();
        // In whatever order they lie.
        stored
            .rows
            .sort_by_key(|row| (row.part(), row.name().to_owned()));
        stored.timeline.sort_by_key(|event| format!("{event:?}"));
        stored.fates.sort_by_key(|row| format!("{row:?}"));
        stored
    }
}

const NUMBERS: &str = "select license_id, number from license order by number";

impl Rewriting for Folder {
    fn numbers(&self) -> Vec<(String, i64)> {
        let connection = rusqlite::Connection::open(self.store()).unwrap();
        let mut statement = connection.prepare(NUMBERS).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }
}

impl Rewriting for Schema {
    fn numbers(&self) -> Vec<(String, i64)> {
        let client = in_schema(self.name());
        let rows = runtime().block_on(client.query(NUMBERS, &[])).unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

/// What is added to the kept sums.
#[derive(Default)]
struct Sums {
    digest: RowDigest,
    numbers: Numbers,
    letters: LettersAsTheyAre,
}

impl Sums {
    /// What one license gives, taken `times`.
    fn add(&mut self, change: &LicenseChange, times: i64) {
        let tenant_id = &change.key.tenant_id;
        for _ in 0..times.unsigned_abs() {
            self.digest = match times > 0 {
                true => self.digest.plus(change.digest),
                false => self.digest.minus(change.digest),
            };
        }
        let mut totals = TotalsChange::default();
        totals.license(tenant_id, None, Some(&change.state));
        for (what, values) in numbers_of(&totals.into_groups()) {
            self.put(what, values, times);
        }
        for it in &change.counted {
            let (minute, kind) = (minute_of(it.occurred_at), it.kind.name().to_owned());
            let day = minute.div_euclid(24 * 60);
            let tenant_id = tenant_id.clone();
            let of_day = What::EventDay {
                tenant_id: tenant_id.clone(),
                day,
                kind: kind.clone(),
            };
            self.put(of_day, [it.by, 0, 0], times);
            let of_minute = What::EventMinute {
                tenant_id,
                minute,
                kind,
            };
            self.put(of_minute, [it.by, 0, 0], times);
        }
    }

    fn put(&mut self, what: What, values: [i64; 3], times: i64) {
        let sums = self.numbers.entry(what).or_default();
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += times * value;
        }
    }
}

/// What these records give of each license, from nothing.
fn folded(records: &[Accepted]) -> BTreeMap<LicenseKey, LicenseChange> {
    let mut batches: BTreeMap<LicenseKey, LicenseBatch> = BTreeMap::new();
    for (at, event) in records {
        let batch = batches.entry(event.license_key()).or_default();
        if let Payload::DeviceHeartbeat(beat) = &event.payload {
            let seen = batch.heartbeats.entry(beat.device_id.clone()).or_insert(0);
            *seen = event.occurred_at.max(*seen);
            continue;
        }
        batch.arrived.push(RecordedEvent {
            at: *at,
            request_id: envelope(*at).request_id,
            event: event.clone(),
        });
    }
    let past = LicensePast::default();
    let each = batches.into_iter().map(|(key, batch)| {
        let settled = Settled::of(Arc::new(key.clone()), batch, &past);
        (key, fold(settled, &past, None))
    });
    each.collect()
}

/// An event of a license of its own; its content is told apart by the quantity.
fn used(event: u8, quantity: i64) -> LicenseEvent {
    let text = format!(
        r#"{{"event_id":"00000000-0000-7000-8000-0000000000{event:02}","tenant_id":"t","license_id":"L","occurred_at":"2026-01-31T10:00:00Z","type":"UsageRecorded","data":{{"metric":"m","quantity":{quantity}}}}}"#
    );
    json::decode(text.as_bytes()).unwrap()
}

fn used_at(offset: i64, event: u8, quantity: i64) -> Accepted {
    (poison(offset).at, used(event, quantity))
}

/// What is kept is what the rows give.
fn sums_are_right(model: &mut impl Model, when: &str) {
    assert_eq!(model.kept(), model.recounted(), "{when}");
    assert_eq!(model.totals_kept(), model.totals_recounted(), "{when}");
}

fn every_license_is_rewritten_as_it_was_whatever_its_rows_are<P: Rewriting>() {
    let place = P::new();
    let mut model = place.open();
    let records = records();
    apply(&mut model, batch_of(&records));
    let digest = model.kept();
    let totals = model.totals_kept();
    let changes = folded(&records);
    assert!(changes.len() > 5, "{}", changes.len());
    let before: Vec<StoredLicense> = changes.keys().map(|key| place.stored(key)).collect();
    for damage in [
        "update license set plan = 'x', seats = 7, customer_id = 'x', lifecycle = 2, expires_at = 5",
        "update license set event_count = 77, voids = null, last_event_at = 1, valid_from = 9, seats_used = 3",
        "delete from device",
        "delete from usage",
        "delete from timeline",
        "update timeline set request_id = 'x', timestamp_ms = 5",
        "delete from rejected",
        "update rejected set reason = 'tombstone', timestamp_ms = 1",
    ] {
        place.execute(damage);
        for (change, before) in changes.values().zip(&before) {
            let sums = Sums::default();
            let done = place.rewrite(&change.key, Some(change), &sums);
            assert_eq!(done, Rewritten::Done);
            assert_eq!(&place.stored(&change.key), before, "{damage}");
        }
        sums_are_right(&mut model, damage);
        assert_eq!((&model.kept(), &model.totals_kept()), (&digest, &totals));
    }
}

fn a_license_whose_row_is_lost_has_its_number_again<P: Rewriting>() {
    let place = P::new();
    let mut model = place.open();
    let records = records();
    apply(&mut model, batch_of(&records));
    let changes = folded(&records);
    let numbers = place.numbers();
    assert_eq!(numbers.len(), changes.len());
    place.execute("delete from license");
    for change in changes.values() {
        place.rewrite(&change.key, Some(change), &Sums::default());
    }
    assert_eq!(place.numbers(), numbers);
    let orphans = place.audit().begin().unwrap().orphans().unwrap();
    assert_eq!(orphans, [], "their events and devices are theirs again");
    sums_are_right(&mut model, "lost");
}

fn where_the_generation_stands_elsewhere_nothing_is_written<P: Rewriting>() {
    let place = P::new();
    let mut model = place.open();
    let mut batch = span(0, 1);
    let (at, event) = used_at(0, 1, 5);
    batch.accept(at, envelope(at), &event);
    apply(&mut model, batch);
    let key = event.license_key();
    let before = place.stored(&key);
    let other = folded(&[used_at(0, 1, 6)]).remove(&key);
    for stands in ["e:3:2", "e:3:1,b:3:1"] {
        let at = stands.parse().unwrap();
        let done = place.rewrite_at(&at, &key, other.as_ref(), &Sums::default());
        assert_eq!(done, Rewritten::Moved, "{stands}");
        assert_eq!(place.stored(&key), before, "{stands}");
    }
    let done = place.rewrite(&key, None, &Sums::default());
    assert_eq!(done, Rewritten::Moved, "a position that is behind");
    // A partition that was never read may be named.
    let named = "e:3:1,e:7:0".parse().unwrap();
    let mut sums = Sums::default();
    sums.add(&folded(&[(at, event)])[&key], -1);
    sums.add(other.as_ref().unwrap(), 1);
    let done = place.rewrite_at(&named, &key, other.as_ref(), &sums);
    assert_eq!(done, Rewritten::Done);
    assert_ne!(place.stored(&key), before);
    sums_are_right(&mut model, "moved");
}

fn who_writes_goes_on_from_what_was_rewritten<P: Rewriting>() {
    let place = P::new();
    let mut model = place.open();
    let first = [used_at(0, 1, 5), used_at(1, 2, 7)];
    apply(&mut model, batch_of(&first));
    let key = used(1, 5).license_key();
    let before = folded(&first).remove(&key).unwrap();
    let after = folded(&first[..1]).remove(&key).unwrap();
    let mut sums = Sums::default();
    sums.add(&before, -1);
    sums.add(&after, 1);
    assert_eq!(place.rewrite(&key, Some(&after), &sums), Rewritten::Done);
    sums_are_right(&mut model, "rewritten");
    apply(&mut model, batch_of(&[used_at(2, 3, 9)]));
    sums_are_right(&mut model, "gone on");
    let expected = folded(&[used_at(0, 1, 5), used_at(2, 3, 9)]);
    let mut kept = RowDigest::default();
    for (_, sum) in model.kept().iter() {
        kept = kept.plus(sum);
    }
    assert_eq!(kept, expected[&key].digest);
    let row = place.lookup().license(&key).unwrap().value.unwrap();
    assert_eq!(row.state.event_count, 2);
    let kinds = model.totals_kept().events.remove("t").unwrap().days;
    let used: i64 = kinds.values().sum();
    assert_eq!(used, 2, "{kinds:?}");
    assert!(
        kinds
            .keys()
            .all(|(_, kind)| *kind == EventKind::UsageRecorded)
    );
}

fn a_conflict_keeps_what_was_done_about_it<P: Rewriting>() {
    let place = P::new();
    let mut model = place.open();
    let said = [used_at(0, 1, 5), used_at(1, 1, 6), used_at(2, 1, 7)];
    apply(&mut model, batch_of(&said));
    let letters = || {
        let query = LetterQuery {
            limit: 10,
            ..LetterQuery::default()
        };
        place.letters().letters(&query).unwrap().items
    };
    let [first, second] = <[_; 2]>::try_from(letters()).unwrap();
    place
        .letters()
        .mark_resolved(&[first.id], "seen", 5)
        .unwrap();
    let before = letters();
    let key = used(1, 5).license_key();
    let change = folded(&said).remove(&key).unwrap();
    place.execute(&format!("delete from rejected where id = {}", second.id));
    place.execute(&format!(
        "update rejected set timestamp_ms = 1 where id = {}",
        first.id
    ));
    place.rewrite(&key, Some(&change), &Sums::default());
    let after = letters();
    assert_eq!(after.len(), 2);
    let kept = after.iter().find(|it| it.id == first.id).unwrap();
    assert_eq!(Some(kept), before.iter().find(|it| it.id == first.id));
    assert_eq!(kept.state(), LetterState::Resolved);
    let again = after.iter().find(|it| it.id != first.id).unwrap();
    assert_eq!((again.at, again.state()), (second.at, LetterState::Open));
}

fn a_letter_is_as_it_was_and_keeps_what_was_done_about_it<P: Rewriting>() {
    let place = P::new();
    let mut model = place.open();
    let key = used(1, 5).license_key();
    let faults = [0, 1, 2].map(|offset| Rejected {
        record: poison(offset),
        fault: Fault::new(Reason::KeyMismatch, "no").naming(Some(key.clone())),
    });
    let mut batch = Batch::default();
    for Rejected { record, fault } in faults.clone() {
        batch.reject(record, fault);
    }
    apply(&mut model, batch);
    let query = LetterQuery {
        limit: 10,
        ..LetterQuery::default()
    };
    let letters = || place.letters().letters(&query).unwrap().items;
    let ids: Vec<i64> = letters().iter().map(|it| it.id).collect();
    place.letters().mark_resolved(&ids, "seen", 5).unwrap();
    let before = (letters(), place.stored(&key));
    assert_eq!(before.1.fates.len(), 3);
    let mut sums = Sums::default();
    sums.letters.put = faults.to_vec();
    place.execute("update rejected set reason = 'tombstone', error = 'x', key = null, value = null, timestamp_ms = 1");
    assert_eq!(place.rewrite(&key, None, &sums), Rewritten::Done);
    assert_eq!((letters(), place.stored(&key)), before);
    // One that is gone is to be sent again, and one that is too many is gone.
    let last = &faults[2].record.at;
    sums.letters.put.pop();
    sums.letters.gone = vec![(last.lane, last.partition, last.offset)];
    place.execute(&format!("delete from rejected where id = {}", ids[0]));
    assert_eq!(place.rewrite(&key, None, &sums), Rewritten::Done);
    let after = letters();
    let offsets = |all: &[LetterRow], state: LetterState| -> Vec<i64> {
        let each = all.iter().filter(|it| it.state() == state);
        each.map(|it| it.at.offset).collect()
    };
    assert_eq!(offsets(&after, LetterState::Open), [0]);
    assert_eq!(offsets(&after, LetterState::Resolved), [1]);
}

fn nothing_stays_of_a_license_that_the_log_has_nothing_of<P: Rewriting>() {
    let place = P::new();
    let mut model = place.open();
    let said = [used_at(0, 1, 5), used_at(1, 1, 6)];
    apply(&mut model, batch_of(&said));
    let key = used(1, 5).license_key();
    let mut sums = Sums::default();
    sums.add(&folded(&said)[&key], -1);
    assert_eq!(place.rewrite(&key, None, &sums), Rewritten::Done);
    assert_eq!(place.stored(&key), StoredLicense::default());
    assert_eq!(model.kept(), licenseflow_core::Buckets::default());
    sums_are_right(&mut model, "removed");
    assert_eq!(
        model.totals_kept(),
        licenseflow_store::KeptTotals::default()
    );
    // The same again, from nothing.
    apply(&mut model, batch_of(&said));
    sums_are_right(&mut model, "anew");
}
