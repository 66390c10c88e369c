//! One of the writers: a batch goes in whole, with its positions, or not at all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use licenseflow_avro::{LicenseKey, limits};
use licenseflow_core::fold::{Settled, fold};
use licenseflow_core::{Batch, Buckets, PackedBatch, RowDigest, Span, crash};
use tokio::runtime::Handle;
use tokio::task::unconstrained;
use tokio::time::timeout;
use uuid::Uuid;

use super::change::{self, Written};
use super::connection::{Address, PostgresOptions};
use super::migrate::{Generation, migrate};
use super::ordered::{BEGIN_AT_ONCE, Timeline};
use super::past::{self, Found};
use super::rejected::{self, RejectedRow};
use super::session::{Session, Work, silent};
use super::{applier, outbox, position, recount, totals};
use crate::Error;
use crate::batch::{sorted, unpack};
use crate::journey;
use crate::read_model::{Applied, Letter, Outbox, PartitionEnd, PartitionState, ReadModel};
use crate::timeline::{is_long, void_changes};
use crate::totals::{Difference, KeptTotals, newest_ms};

/// The end does not wait long for a database to hear of it.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// So many licenses, and about so many events, are read and written together.
const LICENSES_AT_ONCE: usize = 4096;
const EVENTS_AT_ONCE: usize = 16_384;

/// One generation in a schema of PostgreSQL, as one of its writers has it: others write beside it, each its
/// own partitions.
///
/// Calls block on the runtime that it was opened with, so they are made from threads that are not the
/// runtime's.
pub struct PostgresModel {
    address: Address,
    runtime: Handle,
    generation: Generation,
    session: Option<Session>,
    statement_max: Duration,
    /// By which it is known among those that write beside it.
    id: Uuid,
}

impl fmt::Debug for PostgresModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresModel")
            .field("schema", &self.address.schema())
            .finish_non_exhaustive()
    }
}

impl PostgresModel {
    /// Connects, makes the generation if it is not there, and migrates it.
    ///
    /// # Errors
    /// [`Error::Away`] where the database cannot be reached, [`Error::Unusable`] where it does not let us in
    /// or holds what is not ours.
    pub fn open(url: &str, options: &PostgresOptions, runtime: Handle) -> Result<Self, Error> {
        let address = Address::parse(url, &options.schema)?;
        let opened = async {
            let mut session = Session::open(&address, options.statement_max, &runtime).await?;
            let generation = migrate(session.client(), &address, options).await?;
            Ok::<_, Error>((session, generation))
        };
        let (session, generation) = runtime.block_on(opened)?;
        Ok(Self {
            address,
            generation,
            session: Some(session),
            statement_max: options.statement_max,
            runtime: runtime.clone(),
            id: Uuid::now_v7(),
        })
    }

    /// The digest of the rows as they are stored, hashed anew; it takes as long as reading them all.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn recount(&mut self) -> Result<Buckets, Error> {
        self.in_transaction(async |work, _| recount::recount(work).await)
    }

    /// The digest as it is kept.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn kept_digest(&mut self) -> Result<Buckets, Error> {
        self.in_transaction(async |work, _| recount::kept(work).await)
    }

    /// Totals and numbers of events as the rows give them; it takes as long as reading them all.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn recount_totals(&mut self) -> Result<KeptTotals, Error> {
        self.in_transaction(async |work, _| totals::recount(work).await)
    }

    /// Totals and numbers of events as they are kept.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn kept_totals(&mut self) -> Result<KeptTotals, Error> {
        self.in_transaction(async |work, _| totals::kept(work).await)
    }

    /// Does work in one transaction, connecting first where there is no connection.
    fn in_transaction<T>(
        &mut self,
        task: impl AsyncFnOnce(&Work<'_>, &Writer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // Statements are sent in the order in which they are asked, and no budget of the runtime's gets
        // between them.
        let runtime = self.runtime.clone();
        runtime.block_on(unconstrained(self.transaction(task)))
    }

    /// After a failure that passes the connection goes: it is lost, or nobody knows what it still does.
    async fn transaction<T>(
        &mut self,
        task: impl AsyncFnOnce(&Work<'_>, &Writer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            Some(_) | None => {
                Session::open(&self.address, self.statement_max, &self.runtime).await?
            }
        };
        let writer = Writer {
            generation: self.generation,
            channel: self.address.schema().to_owned(),
        };
        let done = session.transaction(async |work| task(work, &writer).await);
        let done = done.await;
        if !matches!(done, Err(Error::Away(_))) {
            self.session = Some(session);
        }
        done
    }
}

impl ReadModel for PostgresModel {
    fn positions(&mut self) -> Result<Vec<PartitionState>, Error> {
        self.in_transaction(async |work, writer| {
            position::states(work, writer.generation.number).await
        })
    }

    fn apply(&mut self, batch: Batch, now: i64) -> Result<Applied, Error> {
        let applied =
            self.in_transaction(async |work, writer| writer.apply(work, batch, now).await)?;
        crash::point(crash::AFTER_COMMIT);
        Ok(applied)
    }

    fn note_ends(&mut self, ends: &[PartitionEnd], _now: i64) -> Result<(), Error> {
        self.in_transaction(async |work, writer| {
            position::note_ends(work, writer.generation.number, ends).await?;
            position::tell(work, &writer.channel).await
        })
    }
}

impl Outbox for PostgresModel {
    fn unsent(&mut self, after: i64, limit: usize) -> Result<Vec<Letter>, Error> {
        let holder = self.id;
        self.in_transaction(async |work, _| {
            if outbox::take_turn(work, holder).await? {
                outbox::unsent(work, after, limit).await
            } else {
                Ok(Vec::new())
            }
        })
    }

    fn mark_sent(&mut self, ids: &[i64], now: i64) -> Result<(), Error> {
        let holder = self.id;
        self.in_transaction(async |work, _| {
            outbox::mark_sent(work, ids, now).await?;
            outbox::take_turn(work, holder).await.map(|_| ())
        })
    }

    fn leave(&mut self) -> Result<(), Error> {
        let holder = self.id;
        self.runtime.clone().block_on(async {
            let leaving = self.transaction(async |work, _| outbox::leave_turn(work, holder).await);
            let left = timeout(LEAVE_MAX, leaving).await;
            left.unwrap_or_else(|_| Err(silent(LEAVE_MAX)))
        })
    }
}

/// What writing a batch needs to know beside the batch.
struct Writer {
    generation: Generation,
    /// Where new positions are told.
    channel: String,
}

impl Writer {
    async fn apply(&self, work: &Work<'_>, batch: Batch, now: i64) -> Result<Applied, Error> {
        let seed = self.generation.hash_seed;
        let (number, applier) =
            applier::number_batch(work, &self.channel, batch.records, now).await?;
        let mut applied = Applied {
            batch: number,
            position: licenseflow_avro::Position::default(),
            events: 0,
            letters: batch.rejected.len(),
        };
        write_journey(work, &journey::rows(&batch.journey, seed), number).await?;
        let rows: Vec<RejectedRow<'_>> = batch.rejected.iter().map(RejectedRow::fault).collect();
        rejected::insert(work, &rows, now).await?;
        let newest = newest_ms(&batch);
        let (mut digest, mut difference) = (BTreeMap::new(), Difference::default());
        for licenses in in_parts(batch.licenses) {
            let part = self.write_licenses(work, licenses, now, &mut difference);
            let written = part.await?;
            for license in &written {
                applied.events += license.change.new_events();
                applied.letters += license.change.opened_conflicts();
                let sum: &mut RowDigest = digest.entry(license.change.bucket).or_default();
                *sum = sum.plus(license.change.digest);
            }
        }
        totals::write(work, applier, difference, newest).await?;
        position::add_to_digest(work, applier, &digest).await?;
        crash::point(crash::INSIDE_TRANSACTION);
        let spans: Vec<Span> = batch.spans.into_values().collect();
        position::advance(work, self.generation.number, &spans).await?;
        let states = position::states(work, self.generation.number).await?;
        applied.position = position::position_of(&states);
        position::tell(work, &self.channel).await?;
        crash::point(crash::BEFORE_COMMIT);
        Ok(applied)
    }

    /// Folds and writes licenses, which come sorted by their keys.
    async fn write_licenses(
        &self,
        work: &Work<'_>,
        licenses: Vec<(Arc<LicenseKey>, PackedBatch)>,
        now: i64,
        difference: &mut Difference,
    ) -> Result<Vec<Written>, Error> {
        let seed = self.generation.hash_seed;
        let unpacked = licenses.into_iter().map(|(key, packed)| {
            let batch = unpack(&key, packed)?;
            Ok((key, batch))
        });
        let unpacked = unpacked.collect::<Result<Vec<_>, Error>>()?;
        let found = past::read(work, unpacked, seed).await?;
        let (mut written, mut become_ordered) = (Vec::with_capacity(found.len()), 0);
        for license in found {
            let mut license = folded(work, license, difference).await?;
            if matches!(license.timeline, Timeline::BecomesOrdered) {
                become_ordered += 1;
                if become_ordered > BEGIN_AT_ONCE {
                    license.timeline = Timeline::Unordered;
                }
            }
            written.push(license);
        }
        change::write(work, &written, seed, now).await?;
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
