//! One of the writers: a batch goes in whole, with its positions, or not at all.

use std::fmt;
use std::time::Duration;

use licenseflow_avro::{Lane, PartitionId, Position};
use licenseflow_core::{Batch, Buckets, crash};
use tokio::runtime::Handle;
use tokio::task::unconstrained;
use tokio::time::timeout;
use uuid::Uuid;

use super::apply::Writer;
use super::connection::{Address, PostgresOptions};
use super::migrate::{Generation, migrate};
use super::session::{Lasting, Session, Work, silent};
use super::{loading, outbox, position, recount, totals, waiting};
use crate::batch::sorted;
use crate::read_model::{Applied, Letter, Outbox, PartitionEnd, PartitionState, ReadModel};
use crate::totals::KeptTotals;
use crate::waiting::{Done, Due};
use crate::{Error, Ground};

/// The end does not wait long for a database to hear of it.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// One generation in a schema of PostgreSQL, as one of its writers has it: others write beside it, each its
/// own partitions.
///
/// Calls block on the runtime that it was opened with, so they are made from threads that are not the
/// runtime's.
pub struct PostgresModel {
    pub(super) address: Address,
    pub(super) runtime: Handle,
    generation: Generation,
    /// Whether what it is given is put aside.
    pub(super) collects: bool,
    session: Option<Session>,
    pub(super) statement_max: Duration,
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
            let collects = loading::is_collecting(session.client()).await?;
            Ok::<_, Error>((session, generation, collects))
        };
        let (session, generation, collects) = runtime.block_on(opened)?;
        Ok(Self {
            address,
            generation,
            collects,
            session: Some(session),
            statement_max: options.statement_max,
            runtime: runtime.clone(),
            id: Uuid::now_v7(),
        })
    }

    /// Has partitions begin there which the generation does not know yet.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn begin_at(&mut self, begin: &Position) -> Result<(), Error> {
        self.in_transaction(Lasting::AtOnce, async |work, writer| {
            position::begin_at(work, writer.generation.number, begin).await
        })
    }

    /// The digest of the rows as they are stored, hashed anew; it takes as long as reading them all.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn recount(&mut self) -> Result<Buckets, Error> {
        self.in_transaction(Lasting::AtOnce, async |work, _| {
            recount::recount(work).await
        })
    }

    /// The digest as it is kept.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn kept_digest(&mut self) -> Result<Buckets, Error> {
        self.in_transaction(Lasting::AtOnce, async |work, _| recount::kept(work).await)
    }

    /// Totals and numbers of events as the rows give them; it takes as long as reading them all.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn recount_totals(&mut self) -> Result<KeptTotals, Error> {
        self.in_transaction(Lasting::AtOnce, async |work, _| totals::recount(work).await)
    }

    /// Totals and numbers of events as they are kept.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`].
    pub fn kept_totals(&mut self) -> Result<KeptTotals, Error> {
        self.in_transaction(Lasting::AtOnce, async |work, _| totals::kept(work).await)
    }

    /// Does work in one transaction, connecting first where there is no connection.
    pub(super) fn in_transaction<T>(
        &mut self,
        lasting: Lasting,
        task: impl AsyncFnOnce(&Work<'_>, &Writer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // Statements are sent in the order in which they are asked, and no budget of the runtime's gets
        // between them.
        let runtime = self.runtime.clone();
        runtime.block_on(unconstrained(self.transaction(lasting, task)))
    }

    /// After a failure that passes the connection goes: it is lost, or nobody knows what it still does.
    async fn transaction<T>(
        &mut self,
        lasting: Lasting,
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
        let done = session.transaction(lasting, async |work| task(work, &writer).await);
        let done = done.await;
        if !matches!(done, Err(Error::Away(_))) {
            self.session = Some(session);
        }
        done
    }
}

impl ReadModel for PostgresModel {
    fn begin_on(&mut self, ground: &Ground) -> Result<(), Error> {
        self.in_transaction(Lasting::AtOnce, async |work, _| {
            position::begin_on(work, ground).await
        })
    }

    fn positions(&mut self) -> Result<Vec<PartitionState>, Error> {
        self.in_transaction(Lasting::AtOnce, async |work, writer| {
            position::states(work, writer.generation.number).await
        })
    }

    fn apply(&mut self, batch: Batch, now: i64) -> Result<Applied, Error> {
        let (mut batch, collects) = (batch, self.collects);
        let applied = self.in_transaction(Lasting::Soon, async |work, writer| {
            if collects {
                let licenses = std::mem::take(&mut batch.licenses);
                loading::collect(work, sorted(licenses)).await?;
            }
            writer.apply(work, batch, now).await
        })?;
        crash::point(crash::AFTER_COMMIT);
        Ok(applied)
    }

    fn note_ends(&mut self, ends: &[PartitionEnd], _now: i64) -> Result<(), Error> {
        self.in_transaction(Lasting::Soon, async |work, writer| {
            work.tell(&writer.channel);
            position::note_ends(work, writer.generation.number, ends).await
        })
    }
}

impl Outbox for PostgresModel {
    fn unsent(
        &mut self,
        after: i64,
        limit: usize,
        except: &[(Lane, PartitionId)],
    ) -> Result<Vec<Letter>, Error> {
        let holder = self.id;
        self.in_transaction(Lasting::AtOnce, async |work, _| {
            if outbox::take_turn(work, holder).await? {
                outbox::unsent(work, after, limit, except).await
            } else {
                Ok(Vec::new())
            }
        })
    }

    fn mark_sent(&mut self, ids: &[i64], now: i64) -> Result<(), Error> {
        let holder = self.id;
        self.in_transaction(Lasting::AtOnce, async |work, _| {
            outbox::mark_sent(work, ids, now).await?;
            outbox::take_turn(work, holder).await.map(|_| ())
        })
    }

    fn due(&mut self, now: i64, limit: usize) -> Result<Due, Error> {
        let holder = self.id;
        self.in_transaction(Lasting::AtOnce, async |work, _| {
            if outbox::take_turn(work, holder).await? {
                waiting::due(work, now, limit).await
            } else {
                Ok(Due::default())
            }
        })
    }

    fn mark_done(&mut self, done: &[Done], now: i64) -> Result<(), Error> {
        self.in_transaction(Lasting::AtOnce, async |work, _| {
            waiting::mark_done(work, done, now).await
        })
    }

    fn leave(&mut self) -> Result<(), Error> {
        let holder = self.id;
        self.runtime.clone().block_on(async {
            let leaving = self.transaction(Lasting::AtOnce, async |work, _| {
                outbox::leave_turn(work, holder).await
            });
            let left = timeout(LEAVE_MAX, leaving).await;
            left.unwrap_or_else(|_| Err(silent(LEAVE_MAX)))
        })
    }
}
