//! The gate: two generations at one position, compared as they are stored.
//!
//! First what became of records that did not count, since whatever differs there explains what differs in
//! rows; then the sums of the rows' buckets, and of those that differ the rows. Nothing but sums is held
//! where all is the same.

use std::collections::{BTreeMap, BTreeSet};

use licenseflow_avro::{LicenseKey, Position, Topics};
use licenseflow_core::Buckets;
use licenseflow_store::audit::{Fate, FateRow, StoredEvent};
use licenseflow_store::generations::{Different, Gate, Number};
use licenseflow_store::{Audited, Error};

/// So many differences are shown; all are counted.
const SHOWN_MAX: usize = 100;

/// So many events are named behind a license that differs.
const EVENTS_MAX: usize = 20;

/// Buckets are gone through so many at a time: the rows of these are held together.
const BUCKETS_AT_ONCE: usize = 8;

/// Both generations, each in a snapshot.
pub(super) struct Both<'a> {
    pub(super) live: &'a mut dyn Audited,
    pub(super) next: &'a mut dyn Audited,
}

/// Compares them; both stand at `position`.
pub(super) fn compare(
    mut both: Both<'_>,
    (with, position): (Number, Position),
    topics: &Topics,
    now: i64,
) -> Result<Gate, Error> {
    let (fates, fates_that_differ) = fates(&mut both)?;
    let (live, next) = (both.live.stored()?, both.next.stored()?);
    let kept = both.next.kept()?;
    let (licenses, differences) = rows(&mut both, &differing(&live, &next), topics)?;
    Ok(Gate {
        with,
        at: now,
        position,
        is_equal: licenses == 0 && fates == 0 && live == next && kept == next,
        licenses,
        differences,
        fates,
        fates_that_differ,
    })
}

fn differing(one: &Buckets, other: &Buckets) -> Vec<u8> {
    let sums = |buckets: &Buckets| buckets.iter().collect::<BTreeMap<u8, _>>();
    let (one, other) = (sums(one), sums(other));
    let of = |sums: &BTreeMap<u8, licenseflow_core::RowDigest>, bucket| {
        sums.get(&bucket).copied().unwrap_or_default()
    };
    let all = 0..=u8::MAX;
    all.filter(|bucket| of(&one, *bucket) != of(&other, *bucket))
        .collect()
}

/// A fate in words that are the same for the same fate, in whichever generation.
fn words(row: &FateRow) -> Option<String> {
    let place = format!(
        "{} partition {} offset {}",
        row.at.lane, row.at.partition, row.at.offset
    );
    let license = row.license.as_ref().map_or(String::new(), |key| {
        format!(", license {} of {}", key.license_id, key.tenant_id)
    });
    match &row.fate {
        Fate::Rejected { .. } => Some(format!("{place}: rejected as {}{license}", row.reason)),
        Fate::Conflict {
            of, event_id, body, ..
        } => {
            let of = of.as_ref().map_or(String::new(), |key| {
                format!("license {} of {}", key.license_id, key.tenant_id)
            });
            let content = licenseflow_core::batch::content_hash(body);
            Some(format!(
                "{of}: event {event_id} has a conflict of content {content:016x}"
            ))
        }
        // Settled rows are a memory of tries, and no fate.
        Fate::Waiting { content: None, .. } => None,
        Fate::Waiting { .. } => Some(format!("{place}: waits as {}{license}", row.reason)),
    }
}

fn fate_words(of: &mut dyn Audited) -> Result<(u128, u64), Error> {
    let (mut sum, mut count) = (0u128, 0);
    of.fates(&mut |row| {
        if let Some(words) = words(&row) {
            let hash = licenseflow_core::RowDigest::of(&words);
            (sum, count) = (sum.wrapping_add(hash.0), count + 1);
        }
        Ok(())
    })?;
    Ok((sum, count))
}

/// How many fates stand in one alone, and the first of them.
fn fates(both: &mut Both<'_>) -> Result<(u64, Vec<String>), Error> {
    if fate_words(both.live)? == fate_words(both.next)? {
        return Ok((0, Vec::new()));
    }
    let mut all = BTreeSet::new();
    both.live.fates(&mut |row| {
        all.extend(words(&row));
        Ok(())
    })?;
    let mut next_alone = Vec::new();
    let mut next_count = 0;
    both.next.fates(&mut |row| {
        if let Some(words) = words(&row)
            && !all.remove(&words)
        {
            next_count += 1;
            if next_alone.len() < SHOWN_MAX {
                next_alone.push(format!("only in the new one: {words}"));
            }
        }
        Ok(())
    })?;
    let count = all.len() as u64 + next_count;
    let live_alone = all.iter().map(|it| format!("only in the live one: {it}"));
    let shown = live_alone.take(SHOWN_MAX).chain(next_alone);
    Ok((count, shown.take(SHOWN_MAX).collect()))
}

type Rows = BTreeMap<LicenseKey, BTreeSet<String>>;

fn rows_in(of: &mut dyn Audited, buckets: &[u8]) -> Result<Rows, Error> {
    let mut rows = Rows::new();
    of.rows_in(&|bucket| buckets.contains(&bucket), &mut |key, row| {
        let text = row.canonical(key);
        let text = text.unwrap_or_else(|| format!("{:?}", row.name()));
        rows.entry(key.clone()).or_default().insert(text);
        Ok(())
    })?;
    Ok(rows)
}

/// How many licenses differ in these buckets, and the first of them.
fn rows(
    both: &mut Both<'_>,
    buckets: &[u8],
    topics: &Topics,
) -> Result<(u64, Vec<Different>), Error> {
    let (mut count, mut shown) = (0, Vec::new());
    for buckets in buckets.chunks(BUCKETS_AT_ONCE) {
        let live = rows_in(both.live, buckets)?;
        let mut next = rows_in(both.next, buckets)?;
        let mut pairs: Vec<(LicenseKey, BTreeSet<String>, BTreeSet<String>)> = live
            .into_iter()
            .map(|(key, rows)| {
                let other = next.remove(&key).unwrap_or_default();
                (key, rows, other)
            })
            .collect();
        let alone = next.into_iter();
        pairs.extend(alone.map(|(key, rows)| (key, BTreeSet::new(), rows)));
        for (key, live, next) in pairs {
            if live == next {
                continue;
            }
            count += 1;
            if shown.len() < SHOWN_MAX {
                let events = events(both, &key, topics)?;
                shown.push(Different {
                    live: live.difference(&next).cloned().collect(),
                    next: next.difference(&live).cloned().collect(),
                    tenant_id: key.tenant_id,
                    license_id: key.license_id,
                    events,
                });
            }
        }
    }
    Ok((count, shown))
}

/// Where the events of a license lie, as far as either generation knows them.
fn events(both: &mut Both<'_>, key: &LicenseKey, topics: &Topics) -> Result<Vec<String>, Error> {
    let mut places = BTreeSet::new();
    for of in [&mut *both.live, &mut *both.next] {
        let stored = of.license(key)?;
        places.extend(stored.timeline.iter().filter_map(|event| match event {
            StoredEvent::Event { at, .. } => Some((at.timestamp, at.lane, at.partition, at.offset)),
            StoredEvent::Unreadable { .. } => None,
        }));
    }
    let each = places.into_iter().map(|(_, lane, partition, offset)| {
        let topic = topics.lane(lane);
        format!("{topic}:{partition}:{offset}")
    });
    Ok(each.take(EVENTS_MAX).collect())
}
