//! One batch in one transaction: what is asked together, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use licenseflow_avro::{LicenseKey, limits};
use licenseflow_core::batch::LicenseBatch;
use licenseflow_core::digest::bucket_of;
use licenseflow_core::fold::{Settled, fold};
use licenseflow_core::{Batch, PackedBatch, RowDigest, Span, crash};

use super::change::{self, Written};
use super::migrate::Generation;
use super::ordered::{BEGIN_AT_ONCE, Timeline};
use super::past::{self, Found};
use super::rejected::{self, RejectedRow};
use super::session::Work;
use super::{applier, position, totals, waiting};
use crate::Error;
use crate::batch::{sorted, unpack};
use crate::journey;
use crate::read_model::Applied;
use crate::timeline::{is_long, void_changes};
use crate::totals::{Difference, newest_ms};

/// So many licenses, and about so many events, are read and written together.
const LICENSES_AT_ONCE: usize = 4096;
const EVENTS_AT_ONCE: usize = 16_384;

/// What writing a batch needs to know beside the batch.
pub(super) struct Writer {
    pub(super) generation: Generation,
    /// Where new positions are told.
    pub(super) channel: String,
}

impl Writer {
    /// What can be asked at once is sent at once, since each way to the server and back counts: a batch of
    /// one part is four of them.
    ///
    /// | together | it needs |
    /// |---|---|
    /// | what becomes of records that wait, one after the other; there are few | |
    /// | the batch's number, the locks of its licenses | |
    /// | journeys and rejected records, what is read of the licenses' past, the locks of the digest | the number, the locks |
    /// | what the licenses became, totals, digest, positions | the past, folded |
    /// | the word to those who listen, and the end | positions that stood where they had to |
    pub(super) async fn apply(
        &self,
        work: &Work<'_>,
        mut batch: Batch,
        now: i64,
    ) -> Result<Applied, Error> {
        waiting::write(work, &mut batch, now).await?;
        let seed = self.generation.hash_seed;
        let newest = newest_ms(&batch);
        let buckets: BTreeSet<u8> = batch.licenses.keys().map(|key| bucket_of(key)).collect();
        let mut parts = in_parts(batch.licenses).into_iter();
        let first = unpacked(parts.next().unwrap_or_default())?;
        let (begun, found) = tokio::try_join!(
            biased;
            applier::begin_batch(work, &self.channel, batch.records, now),
            past::lock(work, first)
        )?;
        let journeys = journey::rows(&batch.journey, seed);
        let rejected: Vec<RejectedRow<'_>> =
            batch.rejected.iter().map(RejectedRow::fault).collect();
        let (all, none) = (buckets, BTreeSet::new());
        // Locked behind the last of the licenses.
        let locked = |parts_left: usize| if parts_left == 0 { &all } else { &none };
        let ((), (), waiting, found, mut digest) = tokio::try_join!(
            biased;
            write_journey(work, &journeys, begun.number),
            rejected::insert(work, &rejected, now),
            waiting::open(work),
            past::read(work, found, seed),
            position::lock_digest(work, begun.applier, locked(parts.len()))
        )?;
        let mut sums = Sums::default();
        let mut written = sums.fold(work, found).await?;
        while let Some(part) = parts.next() {
            change::write(work, &written, seed, now).await?;
            let found = past::lock(work, unpacked(part)?).await?;
            let left = locked(parts.len());
            let reading = past::read(work, found, seed);
            let locking = position::lock_digest(work, begun.applier, left);
            let (found, parts) = tokio::try_join!(biased; reading, locking)?;
            digest = parts;
            written = sums.fold(work, found).await?;
        }
        let spans: Vec<Span> = batch.spans.into_values().collect();
        let positions = async {
            crash::point(crash::INSIDE_TRANSACTION);
            position::advance(work, self.generation.number, &spans).await
        };
        let ((), (), (), position) = tokio::try_join!(
            biased;
            change::write(work, &written, seed, now),
            totals::write(work, begun.applier, sums.difference, (newest, begun.newest_ms)),
            position::add_to_digest(work, begun.applier, &digest, &sums.digest),
            positions
        )?;
        work.tell(&self.channel);
        crash::point(crash::BEFORE_COMMIT);
        Ok(Applied {
            batch: begun.number,
            position,
            events: sums.events,
            letters: batch.rejected.len() + sums.conflicts,
            waiting,
        })
    }
}

fn unpacked(
    licenses: Vec<(Arc<LicenseKey>, PackedBatch)>,
) -> Result<Vec<(Arc<LicenseKey>, LicenseBatch)>, Error> {
    let unpacked = licenses.into_iter().map(|(key, packed)| {
        let batch = unpack(&key, packed)?;
        Ok((key, batch))
    });
    unpacked.collect()
}

/// What a batch comes to beside its rows.
#[derive(Default)]
struct Sums {
    events: usize,
    conflicts: usize,
    difference: Difference,
    digest: BTreeMap<u8, RowDigest>,
}

impl Sums {
    /// Folds a part of a batch's licenses as they are to be written.
    async fn fold(&mut self, work: &Work<'_>, found: Vec<Found>) -> Result<Vec<Written>, Error> {
        let (mut written, mut become_ordered) = (Vec::with_capacity(found.len()), 0);
        for license in found {
            let mut license = folded(work, license, &mut self.difference).await?;
            if matches!(license.timeline, Timeline::BecomesOrdered) {
                become_ordered += 1;
                if become_ordered > BEGIN_AT_ONCE {
                    license.timeline = Timeline::Unordered;
                }
            }
            self.events += license.change.new_events();
            self.conflicts += license.change.opened_conflicts();
            let sum = self.digest.entry(license.change.bucket).or_default();
            *sum = sum.plus(license.change.digest);
            written.push(license);
        }
        Ok(written)
    }
}

async fn folded(
    work: &Work<'_>,
    mut license: Found,
    difference: &mut Difference,
) -> Result<Written, Error> {
    let batch = std::mem::take(&mut license.batch);
    let settled = Settled::of(license.key.clone(), batch, &license.past);
    let whole = if settled.needs_whole_past(&license.past) {
        Some(past::whole(work, &mut license).await?)
    } else {
        None
    };
    let change = fold(settled, &license.past, whole);
    difference.license(license.past.state.as_ref(), &change);
    let before = license.past.state.as_ref().filter(|_| license.ordered);
    Ok(Written {
        number: license.number,
        timeline: match before {
            Some(before) => Timeline::Ordered(void_changes(before, &change.state)),
            None if is_long(&change.state) => Timeline::BecomesOrdered,
            None => Timeline::Unordered,
        },
        is_changed: license.past.state.as_ref() != Some(&change.state),
        change,
    })
}

/// The licenses in the order in which they are locked, in parts that fit in memory unpacked.
fn in_parts(
    licenses: impl IntoIterator<Item = (Arc<LicenseKey>, PackedBatch)>,
) -> Vec<Vec<(Arc<LicenseKey>, PackedBatch)>> {
    let mut parts = Vec::new();
    let (mut part, mut events) = (Vec::new(), 0);
    for license in sorted(licenses) {
        events += license.1.events();
        part.push(license);
        if part.len() >= LICENSES_AT_ONCE || events >= EVENTS_AT_ONCE {
            parts.push(std::mem::take(&mut part));
            events = 0;
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// Writes the journeys of a batch. A tenant that cannot be one is none: nobody can ask for it, and an index
/// need not hold it.
async fn write_journey(
    work: &Work<'_>,
    rows: &[journey::JourneyRow<'_>],
    batch: i64,
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let tenants = rows.iter().map(|row| row.tenant_id);
    let tenants: Vec<&str> = tenants
        .map(|tenant| tenant.filter(|id| limits::valid_id(id)).unwrap_or(""))
        .collect();
    let hashes: Vec<i64> = rows.iter().map(|row| row.hash).collect();
    let requests: Vec<Option<&str>> = rows.iter().map(|row| row.request_id).collect();
    let entries: Vec<&[u8]> = rows.iter().map(|row| row.entries.as_slice()).collect();
    let sql = "insert into journey (tenant_id, hash, batch, request_id, entries)
         select tenant_id, hash, $5::bigint, request_id, entries
         from unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[])
           as it (tenant_id, hash, request_id, entries)";
    work.execute(sql, &[&tenants, &hashes, &requests, &entries, &batch])
        .await?;
    Ok(())
}
