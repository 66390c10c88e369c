//! One license held against the log: by the records that its rows name, in milliseconds, or by all of the log.

use std::collections::BTreeSet;

use licenseflow_avro::judgement::Schemas;
use licenseflow_avro::{Coordinates, LicenseKey, Position, RawRecord};
use licenseflow_store::Audit;
use licenseflow_store::audit::{Fate, FateRow, StoredEvent, StoredLicense, StoredRow};

use super::difference::{Difference, Part};
use super::fates::{Apart, Decided, decide};
use super::lanes::Lanes;
use super::letters::{Letters, named};
use super::reading::{Log, place};
use super::telling::tell;
use super::whole::{Progress, Way, made_of};
use crate::Result;

/// What is not known of a license of which only the recorded places were read.
const NOT_CHECKED: [&str; 4] = [
    "completeness: what the log has of it and the read model does not know of",
    "last_seen_at, as far as heartbeats say it",
    "devices that only beat",
    "totals, numbers of events and the digest",
];

/// The same of one for which all of the log was read.
const NOT_CHECKED_BY_SCAN: [&str; 1] = [NOT_CHECKED[3]];

/// What a verification of one license is given.
pub struct License<'a> {
    /// The log.
    pub lanes: &'a dyn Lanes,
    /// The generation.
    pub audit: &'a dyn Audit,
    /// The schemas of what is in the log.
    pub schemas: &'a dyn Schemas,
    /// Where each partition that it is made of begins; none: it is made of all there is.
    pub begin: Option<Position>,
    /// Which license.
    pub key: &'a LicenseKey,
    /// What is read of the log.
    pub extent: Extent,
}

/// What is read of the log for one license.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The records that its rows name.
    Recorded,
    /// Every record of every partition.
    All,
}

/// What the comparison of one license gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicenseReport {
    /// Whether there is such a license, in the read model or in what was read of the log.
    pub exists: bool,
    /// Whether what is stored is what was read says.
    pub equal: bool,
    /// The position at which they were compared.
    pub position: Position,
    /// The generation.
    pub generation: i64,
    /// Records that were read.
    pub records: u64,
    /// Events of its timeline as it is stored.
    pub events: u64,
    /// All differences.
    pub differences: Vec<Difference>,
    /// Its records that did not count then and would now, or the reverse.
    pub apart: Vec<Apart>,
    /// What was not looked at.
    pub not_checked: &'static [&'static str],
}

/// Holds one license against the log, folded by the naive way.
///
/// # Errors
/// From the log and from the store; [`Error::Schemas`](crate::Error::Schemas) where a schema cannot be had now.
pub fn verify_license(
    asked: &License<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<LicenseReport> {
    let key = asked.key;
    let mut audited = asked.audit.begin()?;
    let mut stored = audited.license(key)?;
    let mut log = Log::new(asked.schemas, Way::Naive, Some(key.clone()));
    log.max_future_skew_micros = audited.at().max_future_skew_micros;
    let mut letters = Letters::default();
    let mut missing = Vec::new();
    for fate in stored.fates.iter().filter(|row| !is_conflict(row)) {
        letters.take(fate.clone());
    }
    match asked.extent {
        Extent::Recorded => {
            log.watched.extend(letters.places());
            let records = recorded(asked.lanes, &stored, &audited.at().position)?;
            missing = missing_of(key, &stored, &records);
            trust_heartbeats(&mut log, key, &stored);
            log.read(Box::new(records.into_iter().map(Ok)), progress)?;
        }
        Extent::All => {
            letters = Letters::of_all(&mut *audited)?;
            log.watched.extend(letters.places());
            let from = asked.begin.clone().unwrap_or_default();
            let to = made_of(&asked.begin, &audited.at().position);
            let records = asked.lanes.between(&from, &to)?;
            log.read(records, progress)?;
        }
    }
    for event in &stored.timeline {
        log.stored_event(key, event);
    }
    let decided = decided_of(key, &mut log, &letters)?;
    let expected = log.licenses.get(key);
    let expected = expected.map(|license| license.expected(key, Way::Naive));
    let expected = expected.transpose()?.unwrap_or_default();
    let exists = !expected.rows.is_empty() || stored != StoredLicense::default();
    let events = stored.timeline.len() as u64;
    // What lies nowhere in the log is told once.
    let is_missing = |event: &StoredEvent| match event {
        StoredEvent::Event { event_id, .. } => {
            missing.iter().any(|it| it.name == event_id.to_string())
        }
        StoredEvent::Unreadable { .. } => false,
    };
    stored.timeline.retain(|event| !is_missing(event));
    let mut differences = missing;
    differences.extend(decided.differences);
    differences.extend(tell(key, &expected, &stored));
    Ok(LicenseReport {
        exists,
        equal: differences.is_empty(),
        position: audited.at().position.clone(),
        generation: audited.at().generation,
        records: log.read,
        events,
        differences,
        apart: decided.apart,
        not_checked: match asked.extent {
            Extent::Recorded => &NOT_CHECKED,
            Extent::All => &NOT_CHECKED_BY_SCAN,
        },
    })
}

fn is_conflict(row: &FateRow) -> bool {
    matches!(row.fate, Fate::Conflict { .. })
}

/// The records that a license's rows name. Where the store does not stand yet, nothing can lie that it has.
fn recorded(
    lanes: &dyn Lanes,
    stored: &StoredLicense,
    position: &Position,
) -> Result<Vec<RawRecord>> {
    let events = stored.timeline.iter().filter_map(|event| match event {
        StoredEvent::Event { at, .. } => Some(*at),
        StoredEvent::Unreadable { .. } => None,
    });
    let fates = stored.fates.iter().map(|row| row.at);
    let is_read = |at: &Coordinates| {
        let next = position.get(at.lane, at.partition);
        next.is_some_and(|next| (0..next).contains(&at.offset))
    };
    let places: Vec<Coordinates> = events.chain(fates).filter(is_read).collect();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    lanes.at(&places)
}

/// The events whose places hold no record; letters at such places are told as what they are.
fn missing_of(key: &LicenseKey, stored: &StoredLicense, records: &[RawRecord]) -> Vec<Difference> {
    let found: BTreeSet<_> = records.iter().map(|record| place(&record.at)).collect();
    let missing = stored.timeline.iter().filter_map(|event| match event {
        StoredEvent::Event { event_id, at, .. } if !found.contains(&place(at)) => {
            let difference = Difference::of(key, Part::Timeline, event_id.to_string());
            Some(difference.stored(format!("{}, where the log has no record", named(at))))
        }
        StoredEvent::Event { .. } | StoredEvent::Unreadable { .. } => None,
    });
    missing.collect()
}

/// Heartbeats are in no timeline: what is stored of them is taken as it is.
fn trust_heartbeats(log: &mut Log<'_>, key: &LicenseKey, stored: &StoredLicense) {
    for row in &stored.rows {
        if let StoredRow::Device { device_id, state } = row
            && let Some(seen) = state.seen_in_heartbeat
        {
            let license = log.licenses.entry(key.clone()).or_default();
            license.beats.insert(device_id.clone(), seen);
        }
    }
}

/// What came of the license's records in doubt.
fn decided_of(key: &LicenseKey, log: &mut Log<'_>, letters: &Letters) -> Result<Decided> {
    let mut decided = decide(std::mem::take(&mut log.doubtful), letters);
    for counting in std::mem::take(&mut decided.counting) {
        if counting.event.license_key() == *key {
            log.count(counting.at, counting.request, counting.event)?;
        }
    }
    decided.differences.retain(|difference| {
        difference.tenant_id.as_deref() == Some(&key.tenant_id)
            && difference.license_id.as_deref() == Some(&key.license_id)
    });
    decided
        .apart
        .retain(|apart| apart.license.as_ref() == Some(key));
    Ok(decided)
}
