//! One of the writers: a batch goes in whole, with its positions, or not at all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use licenseflow_avro::{LicenseKey, limits};
use licenseflow_core::fold::{Settled, fold};
use licenseflow_core::{Batch, Buckets, PackedBatch, RowDigest, Span, crash};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::change::{self, Written};
use super::connection::{Address, PostgresOptions};
use super::migrate::{Generation, migrate};
use super::ordered::Timeline;
use super::past::{self, Found};
use super::rejected::{self, RejectedRow};
use super::session::{Session, Work};
use super::{applier, outbox, position, recount, totals};
use crate::Error;
use crate::batch::{sorted, unpack};
use crate::journey;
use crate::read_model::{Applied, Letter, Outbox, PartitionEnd, PartitionState, ReadModel};
use crate::timeline::{is_long, void_changes};
use crate::totals::{Difference, KeptTotals, newest_ms};

/// A call that takes longer is given up, with its connection: a database that stands still must not have
/// its projector stand still unheard.
const CALL_MAX: Duration = Duration::from_secs(60);

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
            let mut session = Session::open(&address, &runtime).await?;
            let generation = migrate(session.client(), &address, options).await?;
            Ok::<_, Error>((session, generation))
        };
        let (session, generation) = runtime.block_on(opened)?;
        Ok(Self {
            address,
            generation,
            session: Some(session),
            runtime: runtime.clone(),
            id: Uuid::now_v7(),
        })
    }

    /// The digest of the rows as they are stored, hashed anew; it takes as long as reading them all.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn recount(&mut self) -> Result<Buckets, Error> {
        self.in_transaction(None, async |mut work, _| {
            let buckets = recount::recount(&mut work).await?;
            work.commit().await?;
            Ok(buckets)
        })
    }

    /// The digest as it is kept.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn kept_digest(&mut self) -> Result<Buckets, Error> {
        self.in_transaction(Some(CALL_MAX), async |mut work, _| {
            let buckets = recount::kept(&mut work).await?;
            work.commit().await?;
            Ok(buckets)
        })
    }

    /// Totals and numbers of events as the rows give them; it takes as long as reading them all.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn recount_totals(&mut self) -> Result<KeptTotals, Error> {
        self.in_transaction(None, async |mut work, _| {
            let totals = totals::recount(&mut work).await?;
            work.commit().await?;
            Ok(totals)
        })
    }

    /// Totals and numbers of events as they are kept.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn kept_totals(&mut self) -> Result<KeptTotals, Error> {
        self.in_transaction(None, async |mut work, _| {
            let totals = totals::kept(&mut work).await?;
            work.commit().await?;
            Ok(totals)
        })
    }

    /// Does work in one transaction, connecting first where there is no connection. After a failure the
    /// connection goes where it is lost, or where the work did not end in its time.
    fn in_transaction<T>(
        &mut self,
        longest: Option<Duration>,
        task: impl AsyncFnOnce(Work<'_>, &Writer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let writer = Writer {
            generation: self.generation,
            channel: self.address.schema().to_owned(),
        };
        let (address, runtime) = (&self.address, &self.runtime);
        let session = &mut self.session;
        let done = async {
            let at_hand = match session.take() {
                Some(session) if !session.is_closed() => session,
                Some(_) | None => Session::open(address, runtime).await?,
            };
            let session = session.insert(at_hand);
            task(session.begin().await?, &writer).await
        };
        let done = runtime.block_on(async {
            match longest {
                None => Ok(done.await),
                Some(longest) => tokio::time::timeout(longest, done)
                    .await
                    .map_err(|_| longest),
            }
        });
        done.unwrap_or_else(|longest| {
            self.session = None;
            let why = format!("PostgreSQL gave no answer within {} s", longest.as_secs());
            Err(Error::Away(why.into()))
        })
    }
}

impl ReadModel for PostgresModel {
    fn positions(&mut self) -> Result<Vec<PartitionState>, Error> {
        self.in_transaction(Some(CALL_MAX), async |mut work, writer| {
            let states = position::states(&mut work, writer.generation.number).await?;
            work.commit().await?;
            Ok(states)
        })
    }

    fn apply(&mut self, batch: Batch, now: i64) -> Result<Applied, Error> {
        self.in_transaction(Some(CALL_MAX), async |work, writer| {
            writer.apply(work, batch, now).await
        })
    }

    fn note_ends(&mut self, ends: &[PartitionEnd], _now: i64) -> Result<(), Error> {
        self.in_transaction(Some(CALL_MAX), async |mut work, writer| {
            position::note_ends(&mut work, writer.generation.number, ends).await?;
            position::tell(&mut work, &writer.channel).await?;
            work.commit().await
        })
    }
}

impl Outbox for PostgresModel {
    fn unsent(&mut self, after: i64, limit: usize) -> Result<Vec<Letter>, Error> {
        let holder = self.id;
        self.in_transaction(Some(CALL_MAX), async |mut work, _| {
            let letters = if outbox::take_turn(&mut work, holder).await? {
                outbox::unsent(&mut work, after, limit).await?
            } else {
                Vec::new()
            };
            work.commit().await?;
            Ok(letters)
        })
    }

    fn mark_sent(&mut self, ids: &[i64], now: i64) -> Result<(), Error> {
        let holder = self.id;
        self.in_transaction(Some(CALL_MAX), async |mut work, _| {
            outbox::mark_sent(&mut work, ids, now).await?;
            outbox::take_turn(&mut work, holder).await?;
            work.commit().await
        })
    }

    fn leave(&mut self) -> Result<(), Error> {
        let holder = self.id;
        self.in_transaction(Some(LEAVE_MAX), async |mut work, _| {
            outbox::leave_turn(&mut work, holder).await?;
            work.commit().await
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
    async fn apply(&self, mut work: Work<'_>, batch: Batch, now: i64) -> Result<Applied, Error> {
        let seed = self.generation.hash_seed;
        let (number, applier) =
            applier::number_batch(&mut work, &self.channel, batch.records, now).await?;
        let mut applied = Applied {
            batch: number,
            position: licenseflow_avro::Position::default(),
            events: 0,
            letters: batch.rejected.len(),
        };
        write_journey(&mut work, &journey::rows(&batch.journey, seed), number).await?;
        let rows: Vec<RejectedRow<'_>> = batch.rejected.iter().map(RejectedRow::fault).collect();
        rejected::insert(&mut work, &rows, now).await?;
        let newest = newest_ms(&batch);
        let (mut digest, mut difference) = (BTreeMap::new(), Difference::default());
        for licenses in in_parts(batch.licenses) {
            let part = self.write_licenses(&mut work, licenses, now, &mut difference);
            let written = part.await?;
            for license in &written {
                applied.events += license.change.new_events();
                applied.letters += license.change.opened_conflicts();
                let sum: &mut RowDigest = digest.entry(license.change.bucket).or_default();
                *sum = sum.plus(license.change.digest);
            }
        }
        totals::write(&mut work, applier, difference, newest).await?;
        position::add_to_digest(&mut work, applier, &digest).await?;
        crash::point(crash::INSIDE_TRANSACTION);
        let spans: Vec<Span> = batch.spans.into_values().collect();
        position::advance(&mut work, self.generation.number, &spans).await?;
        let states = position::states(&mut work, self.generation.number).await?;
        applied.position = position::position_of(&states);
        position::tell(&mut work, &self.channel).await?;
        crash::point(crash::BEFORE_COMMIT);
        work.commit().await?;
        crash::point(crash::AFTER_COMMIT);
        Ok(applied)
    }

    /// Folds and writes licenses, which come sorted by their keys.
    async fn write_licenses(
        &self,
        work: &mut Work<'_>,
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
        let mut written = Vec::with_capacity(found.len());
        for license in found {
            written.push(folded(work, license, difference).await?);
        }
        change::write(work, &written, seed, now).await?;
        Ok(written)
    }
}

async fn folded(
    work: &mut Work<'_>,
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
    work: &mut Work<'_>,
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
