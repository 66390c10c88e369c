//! The generations of a store in PostgreSQL: each is a schema of its own, and the book a row of another.
//!
//! ```text
//! licenseflow_g1       generation 1
//! licenseflow_g2       generation 2
//! licenseflow_book     the book; there is none before a second generation is begun
//! ```
//!
//! The pointer moves in the one transaction that takes over what was done, while nothing is written to the
//! live generation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use licenseflow_avro::Position;
use licenseflow_core::crash;
use tokio::runtime::Handle;

use super::audit::PostgresAudit;
use super::connection::{Address, PostgresOptions};
use super::letters::PostgresLetters;
use super::loading::loading;
use super::lookup::PostgresLookup;
use super::rewrite;
use super::session::{Lasting, Session, Work};
use super::takeover;
use super::writer::PostgresModel;
use crate::columns::{Columns, lane_of_number, needed, partition_of_number};
use crate::generations::{
    Begin, Book, Change, FIRST, Generation, Generations, Made, Model, Number, Refused, SwitchError,
};
use crate::loading::{Loading, check_loaded};
use crate::rewrite::{Rewrite, Rewritten};
use crate::{Audit, DeadLetters, Error, Lookup};

/// For so long the book counts as it was read.
const BOOK_IS_GOOD_FOR: Duration = Duration::from_millis(100);

/// How long a statement about generations may take.
const STATEMENT_MAX: Duration = Duration::from_secs(30);

/// Those who advance generations beside the live one hold locks of this kind: "LICP".
const POST: i32 = 0x4c49_4350;

/// The generations in a database.
pub struct PostgresGenerations {
    url: String,
    options: PostgresOptions,
    address: Address,
    runtime: Handle,
    session: Mutex<Option<Session>>,
    seen: Mutex<Option<(Instant, Arc<Book>)>>,
}

impl PostgresGenerations {
    /// Those of the database at this address; nothing is connected. `options` name the first.
    ///
    /// # Errors
    /// [`Error::Unusable`] where the address is none.
    pub fn of(url: &str, options: PostgresOptions, runtime: Handle) -> Result<Self, Error> {
        Ok(Self {
            url: url.to_owned(),
            address: Address::parse(url, &options.schema)?,
            options,
            runtime,
            session: Mutex::default(),
            seen: Mutex::default(),
        })
    }

    /// The schema of a generation.
    #[must_use]
    pub fn schema(&self, number: Number) -> String {
        match number {
            FIRST => self.options.schema.clone(),
            number => format!("{}_g{number}", self.base()),
        }
    }

    fn base(&self) -> &str {
        let first = &self.options.schema;
        first.strip_suffix("_g1").unwrap_or(first)
    }

    /// The schema of the book.
    fn shelf(&self) -> String {
        format!("{}_book", self.base())
    }

    /// Does work in one transaction.
    fn work<T>(&self, task: impl AsyncFnOnce(&Work<'_>) -> Result<T, Error>) -> Result<T, Error> {
        // What a panic leaves behind is a connection that is looked at anew.
        let held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        self.work_over(held, task)
    }

    fn work_over<T>(
        &self,
        mut held: MutexGuard<'_, Option<Session>>,
        task: impl AsyncFnOnce(&Work<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.runtime.block_on(async {
            let mut session = match held.take().filter(|session| !session.is_closed()) {
                Some(session) => session,
                None => self.connect().await?,
            };
            let done = session.transaction(Lasting::AtOnce, task).await;
            if !matches!(done, Err(Error::Away(_))) {
                *held = Some(session);
            }
            done
        })
    }

    async fn connect(&self) -> Result<Session, Error> {
        Session::open(&self.address, STATEMENT_MAX, &self.runtime).await
    }

    async fn read(&self, work: &Work<'_>, lock: Lock) -> Result<Book, Error> {
        let shelf = self.shelf();
        if !self.has_shelf(work).await? {
            return Ok(Book::default());
        }
        let sql = match lock {
            Lock::None => format!("select body from {shelf}.book"),
            Lock::Change => format!("select body from {shelf}.book for update"),
        };
        let rows = work.rows(&sql, &[]).await?;
        let Some(row) = rows.first() else {
            return Ok(Book::default());
        };
        serde_json::from_str(needed(row.text(0)?)?)
            .map_err(|error| Error::Unusable(format!("the book of generations: {error}")))
    }

    async fn has_shelf(&self, work: &Work<'_>) -> Result<bool, Error> {
        let book = format!("{}.book", self.shelf());
        let sql = "select to_regclass($1::text) is not null";
        let rows = work.rows(sql, &[&book]).await?;
        let is_there = rows.first().map(|row| row.boolean(0)).transpose()?;
        Ok(is_there.flatten() == Some(true))
    }

    async fn write(&self, work: &Work<'_>, book: &Book) -> Result<(), Error> {
        let body = serde_json::to_string(book).map_err(|it| Error::Broken(it.into()))?;
        let sql = format!("update {}.book set body = $1", self.shelf());
        work.execute(&sql, &[&body]).await?;
        Ok(())
    }

    /// Makes the book where there is none.
    fn make_shelf(&self) -> Result<(), Error> {
        let shelf = self.shelf();
        let body = serde_json::to_string(&Book::default());
        let body = body.map_err(|it| Error::Broken(it.into()))?;
        self.work(async |work| {
            // Two that make it at once would meet in the middle.
            work.rows(
                "select pg_advisory_xact_lock($1, 0)::text",
                &[&POST],
            )
            .await?;
            if self.has_shelf(work).await? {
                return Ok(());
            }
            work.execute(&format!("create schema if not exists {shelf}"), &[]).await?;
            work.execute(
                &format!(
                    "create table {shelf}.book (number smallint primary key check (number = 1), body text not null)"
                ),
                &[],
            )
            .await?;
            let sql = format!("insert into {shelf}.book (number, body) values (1, $1)");
            work.execute(&sql, &[&body]).await?;
            Ok(())
        })
    }

    fn keep(&self, book: Book) -> Arc<Book> {
        let book = Arc::new(book);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some((Instant::now(), Arc::clone(&book)));
        book
    }

    /// Whoever listens to either generation hears of the switch.
    async fn tell(&self, work: &Work<'_>, numbers: [Number; 2]) -> Result<(), Error> {
        for number in numbers {
            let schema = self.schema(number);
            work.rows("select pg_notify($1, '')::text", &[&schema])
                .await?;
        }
        Ok(())
    }
}

/// Whether the book is read to be changed.
#[derive(Debug, Clone, Copy)]
enum Lock {
    None,
    Change,
}

impl Generations for PostgresGenerations {
    fn book(&self) -> Result<Arc<Book>, Error> {
        let known = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            match seen.as_ref() {
                Some((at, book)) if at.elapsed() < BOOK_IS_GOOD_FOR => {
                    return Ok(Arc::clone(book));
                }
                known => known.map(|(_, book)| Arc::clone(book)),
            }
        };
        let held = match (self.session.try_lock(), known) {
            (Ok(held), _) => held,
            // Somebody asks already, of a database that may be away: nobody else waits for that.
            (Err(TryLockError::WouldBlock), Some(known)) => return Ok(known),
            (Err(TryLockError::WouldBlock), None) => {
                self.session.lock().unwrap_or_else(PoisonError::into_inner)
            }
            (Err(TryLockError::Poisoned(held)), _) => held.into_inner(),
        };
        let book = self.work_over(held, async |work| self.read(work, Lock::None).await)?;
        Ok(self.keep(book))
    }

    fn change(&self, change: Change<'_>) -> Result<Result<Arc<Book>, Refused>, Error> {
        self.make_shelf()?;
        let changed = self.work(async |work| {
            let mut book = self.read(work, Lock::Change).await?;
            if let Err(refused) = change(&mut book) {
                return Ok(Err(refused));
            }
            self.write(work, &book).await?;
            Ok(Ok(book))
        })?;
        Ok(changed.map(|book| self.keep(book)))
    }

    fn open(&self, generation: &Generation, begin: Begin) -> Result<Box<dyn Model>, Error> {
        let options = PostgresOptions {
            schema: self.schema(generation.number),
            generation: generation.number,
            collects: begin == Begin::Collecting,
            ..self.options.clone()
        };
        let mut model = PostgresModel::open(&self.url, &options, self.runtime.clone())?;
        if let Made::Part { begin } = &generation.of {
            model.begin_at(begin)?;
        }
        Ok(Box::new(model))
    }

    fn take_post(&self, number: Number) -> Result<Option<Box<dyn Send>>, Error> {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        self.runtime.block_on(async {
            let mut session = self.connect().await?;
            let sql = "select pg_try_advisory_lock($1, $2)";
            let row = session.client().query_one(sql, &[&POST, &number]).await?;
            let is_taken: bool = row.try_get(0)?;
            // The lock is the connection's, and goes with it.
            Ok(is_taken.then(|| Box::new(session) as Box<dyn Send>))
        })
    }

    fn lookup(&self, number: Number, readers: usize) -> Result<Arc<dyn Lookup>, Error> {
        let (schema, runtime) = (self.schema(number), self.runtime.clone());
        let lookup = PostgresLookup::open(&self.url, &schema, readers, runtime)?;
        Ok(Arc::new(lookup))
    }

    fn audit(&self, number: Number) -> Result<Box<dyn Audit>, Error> {
        check_loaded(number, self.loading(number)?)?;
        let (schema, runtime) = (self.schema(number), self.runtime.clone());
        Ok(Box::new(PostgresAudit::open(&self.url, &schema, runtime)?))
    }

    fn letters(&self, number: Number) -> Result<Arc<dyn DeadLetters>, Error> {
        let (schema, runtime) = (self.schema(number), self.runtime.clone());
        Ok(Arc::new(PostgresLetters::open(
            &self.url, &schema, runtime,
        )?))
    }

    fn rewrite(&self, number: Number, of: &Rewrite<'_>, now: i64) -> Result<Rewritten, Error> {
        let (schema, runtime) = (self.schema(number), &self.runtime);
        runtime.block_on(rewrite::rewrite(&self.url, &schema, runtime, (of, now)))
    }

    fn switch(&self, to: Number, now: i64) -> Result<(), SwitchError> {
        check_loaded(to, self.loading(to)?)?;
        self.make_shelf()?;
        let switched = self.work(async |work| {
            let mut book = self.read(work, Lock::Change).await?;
            let live = book.live;
            if let Err(refused) = book.switch(to, now) {
                return Ok(Err(SwitchError::Refused(refused)));
            }
            let (from, next) = (self.schema(live), self.schema(to));
            // Who applies a batch waits here, and who reads does not.
            let lock = format!("lock table {from}.position in share row exclusive mode");
            work.execute(&lock, &[]).await?;
            if let Some(position) = lead(work, &from, &next).await? {
                return Ok(Err(SwitchError::Behind(position)));
            }
            takeover::take_marks(work, &from, &next).await?;
            crash::point(crash::BEFORE_SWITCH);
            self.write(work, &book).await?;
            self.tell(work, [live, to]).await?;
            Ok(Ok(book))
        })?;
        self.keep(switched?);
        crash::point(crash::AFTER_SWITCH);
        Ok(())
    }

    fn loading(&self, number: Number) -> Result<Option<Loading>, Error> {
        let schema = self.schema(number);
        self.work(async |work| loading(work, &schema).await)
    }

    fn remove(&self, number: Number) -> Result<(), Error> {
        let sql = format!("drop schema if exists {} cascade", self.schema(number));
        self.work(async |work| work.execute(&sql, &[]).await.map(drop))
    }
}

/// How far the live generation is where the next is behind; none: nowhere.
async fn lead(work: &Work<'_>, live: &str, next: &str) -> Result<Option<Position>, Error> {
    let sql = format!(
        "select l.lane, l.partition, l.next_offset from {live}.position as l
         left join {next}.position as n on n.lane = l.lane and n.partition = l.partition
         where l.next_offset > coalesce(n.next_offset, 0)"
    );
    let mut position = Position::default();
    for row in work.rows(&sql, &[]).await? {
        let lane = lane_of_number(needed(row.integer(0)?)?)?;
        let partition = partition_of_number(needed(row.integer(1)?)?)?;
        position.set(lane, partition, needed(row.integer(2)?)?);
    }
    Ok((!position.is_empty()).then_some(position))
}
