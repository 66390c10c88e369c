//! A whole generation held against the log, at one position, while writes go on.
//!
//! Most of the log is read and folded before the snapshot begins, up to where the store stands then; what came
//! since is read once its position is known. So the snapshot is held for as long as the store's rows take, and
//! not for as long as the log does.

use std::collections::BTreeSet;

use licenseflow_avro::judgement::Schemas;
use licenseflow_avro::{LicenseKey, Position};
use licenseflow_core::Buckets;
use licenseflow_core::digest::bucket_of;
use licenseflow_core::totals::TotalsChange;
use licenseflow_store::audit::{Fate, Numbers, StoredRow, numbers_of};
use licenseflow_store::{Audit, Audited, Error as StoreError};

use super::difference::{Difference, Part};
use super::fates::{Decided, decide};
use super::lanes::Lanes;
use super::letters::Letters;
use super::numbers::{self, Digests};
use super::reading::{Log, place};
use super::report::WholeReport;
use super::telling::tell;
use crate::Result;

/// By which fold the log is folded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The naive one, which shares no code with the projector's.
    Naive,
    /// The projector's own, which is somewhat quicker.
    Fast,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many records were read.
    Records(u64),
    /// So many rows were read.
    Rows(u64),
}

/// What a whole verification is given.
pub struct Whole<'a> {
    /// The log.
    pub lanes: &'a dyn Lanes,
    /// The generation.
    pub audit: &'a dyn Audit,
    /// The schemas of what is in the log.
    pub schemas: &'a dyn Schemas,
    /// Where each partition that it is made of begins; none: it is made of all there is.
    pub begin: Option<Position>,
    /// By which fold.
    pub way: Way,
    /// So many differences are told.
    pub differences_max: usize,
}

/// Holds a whole generation against the log.
///
/// # Errors
/// From the log and from the store; [`Error::Schemas`](crate::Error::Schemas) where a schema cannot be had now.
pub fn verify_whole(asked: &Whole<'_>, progress: &mut dyn FnMut(Progress)) -> Result<WholeReport> {
    let mut log = Log::new(asked.schemas, asked.way, None);
    let before = begin(asked.audit, &mut log)?;
    let from = asked.begin.clone().unwrap_or_default();
    let known = made_of(&asked.begin, &before);
    log.read(asked.lanes.between(&from, &known)?, progress)?;
    log.settle()?;

    let mut audited = asked.audit.begin()?;
    let position = audited.at().position.clone();
    if !position.covers(&before) {
        let why = "the read model went back while it was verified; verify it again";
        return Err(StoreError::Unusable(why.to_owned()).into());
    }
    let mut letters = Letters::default();
    audited.fates(&mut |row| {
        if !log.stored_conflict(&row) {
            letters.take(row);
        }
        Ok(())
    })?;
    log.watched.extend(letters.places());
    let since = from_on(&from, &known);
    let all = made_of(&asked.begin, &position);
    log.read(asked.lanes.between(&since, &all)?, progress)?;
    let mut rows = Rows::new(progress);
    audited.timeline(&mut |key, event| {
        rows.count();
        log.stored_event(key, &event);
        Ok(())
    })?;
    let mut decided = decide(std::mem::take(&mut log.doubtful), &letters);
    for counting in std::mem::take(&mut decided.counting) {
        log.count(counting.at, counting.request, counting.event)?;
    }
    log.settle()?;
    audited.rows_in(&|_| true, &mut |key, row| {
        rows.take(key, &row, &mut log);
        Ok(())
    })?;
    compared(asked, &log, &mut *audited, decided, rows)
}

/// The part of a position that a generation is made of.
pub(super) fn made_of(begin: &Option<Position>, position: &Position) -> Position {
    let is_made_of = |lane, partition| match begin {
        Some(begin) => begin.get(lane, partition).is_some(),
        None => true,
    };
    let named = position.iter();
    named
        .filter(|(lane, partition, _)| is_made_of(*lane, *partition))
        .collect()
}

/// Where the reading goes on: where it ended, and where it begins in partitions that it has not read yet.
fn from_on(begin: &Position, read: &Position) -> Position {
    let mut from = begin.clone();
    from.raise_to(read);
    from
}

/// Notes what the log must be asked about beside its events, and where the store stands.
fn begin(audit: &dyn Audit, log: &mut Log<'_>) -> Result<Position> {
    let mut audited = audit.begin()?;
    log.max_future_skew_micros = audited.at().max_future_skew_micros;
    // Whatever is rejected or waits below this position is known now: rows of it come with the position.
    let watched = &mut log.watched;
    audited.fates(&mut |row| {
        if !matches!(row.fate, Fate::Conflict { .. }) {
            watched.insert(place(&row.at));
        }
        Ok(())
    })?;
    Ok(audited.at().position.clone())
}

/// What the rows give, beside what is taken away from the log's sums.
struct Rows<'p> {
    digest: Buckets,
    totals: TotalsChange,
    read: u64,
    progress: &'p mut dyn FnMut(Progress),
}

impl<'p> Rows<'p> {
    fn new(progress: &'p mut dyn FnMut(Progress)) -> Self {
        Self {
            digest: Buckets::default(),
            totals: TotalsChange::default(),
            read: 0,
            progress,
        }
    }

    fn count(&mut self) {
        self.read += 1;
        if self.read.is_multiple_of(PROGRESS_EVERY) {
            (self.progress)(Progress::Rows(self.read));
        }
    }

    fn take(&mut self, key: &LicenseKey, row: &StoredRow, log: &mut Log<'_>) {
        self.count();
        self.digest.add(bucket_of(key), row.digest(key));
        if let StoredRow::License(stored) = row {
            self.totals
                .license(&key.tenant_id, None, Some(&stored.state));
        }
        log.stored_row(key, row);
    }
}

const PROGRESS_EVERY: u64 = 10_000;

fn compared(
    asked: &Whole<'_>,
    log: &Log<'_>,
    audited: &mut dyn Audited,
    decided: Decided,
    rows: Rows<'_>,
) -> Result<WholeReport> {
    let kept = audited.kept()?;
    let digests = Digests {
        kept: &kept,
        rows: &rows.digest,
        log: &log.buckets,
    };
    let mut differences = decided.differences;
    let mut differing: BTreeSet<LicenseKey> = named_by(&differences).collect();
    let mut is_any_gone = false;
    let mut changed: Vec<&LicenseKey> = Vec::new();
    for (key, license) in &log.licenses {
        is_any_gone |= !license.entry.has_row();
        if license.entry.differs() {
            changed.push(key);
        }
    }
    changed.sort();
    differing.extend(changed.iter().map(|key| (*key).clone()));
    let mut untold = 0;
    for key in changed {
        if differences.len() >= asked.differences_max {
            untold += 1;
            continue;
        }
        let license = log.licenses.get(key);
        let expected = license.map(|license| license.expected(key, asked.way));
        let expected = expected.transpose()?.unwrap_or_default();
        differences.extend(tell(key, &expected, &audited.license(key)?));
    }
    if !is_any_gone {
        // Where a license's row is gone, its others are of none, and it is named already.
        differences.extend(orphans(audited)?);
    }
    differences.extend(kept_numbers(log, audited, rows.totals)?);
    differences.extend(digests.differences());
    differences.sort_by_key(|it| {
        let license = (it.tenant_id.clone(), it.license_id.clone());
        (it.license_id.is_none(), license, it.part, it.name.clone())
    });
    let differences_count = differences.len() as u64 + untold;
    differences.truncate(asked.differences_max);
    let mut apart = decided.apart;
    let apart_count = apart.len() as u64;
    apart.truncate(asked.differences_max);
    Ok(WholeReport {
        equal: differences_count == 0,
        expected: log.buckets.text(),
        found: kept.text(),
        rows: rows.digest.text(),
        position: audited.at().position.clone(),
        generation: audited.at().generation,
        buckets_that_differ: digests.buckets_that_differ(),
        records: log.read,
        accepted: log.accepted,
        licenses_that_differ: differing.len() as u64,
        differences,
        differences_count,
        apart,
        apart_count,
        retried: decided.retried,
    })
}

fn named_by(differences: &[Difference]) -> impl Iterator<Item = LicenseKey> {
    differences.iter().filter_map(|it| {
        Some(LicenseKey {
            tenant_id: it.tenant_id.clone()?,
            license_id: it.license_id.clone()?,
        })
    })
}

fn orphans(audited: &mut dyn Audited) -> Result<Vec<Difference>> {
    let orphans = audited.orphans()?.into_iter();
    let told = orphans.map(|(table, count)| {
        let part = match table {
            "device" => Part::Device,
            "usage" => Part::Usage,
            _ => Part::Timeline,
        };
        Difference::of_none(part, "rows of no license").stored(count)
    });
    Ok(told.collect())
}

fn kept_numbers(
    log: &Log<'_>,
    audited: &mut dyn Audited,
    rows: TotalsChange,
) -> Result<Vec<Difference>> {
    let mut kept = Numbers::new();
    audited.numbers(&mut |what, values| {
        numbers::add(&mut kept, what, values);
        Ok(())
    })?;
    let rows = numbers_of(&rows.into_groups());
    let kept_from = numbers::kept_from(log.newest_ms);
    let log = log.account.numbers();
    Ok(numbers::differences(&log, &rows, &kept, kept_from))
}
