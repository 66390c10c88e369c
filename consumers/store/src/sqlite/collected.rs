//! What a generation collects before it loads, in a file of its own beside it.
//!
//! Shares are appended, and committed before the generation's own transaction, which then says how many count:
//! what a death leaves over that is taken away by whoever appends next. Those of one batch are a run, in the order
//! of their licenses: runs are merged when they are read, and where there are too many to be read at once, SQLite
//! sorts them all, in its temporary files.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use licenseflow_avro::LicenseKey;
use licenseflow_core::PackedBatch;
use rusqlite::{Connection, Rows, TransactionBehavior, params};

use super::generations::with_ending;
use crate::Error;
use crate::loading::{Part, Parts, Reins, read};

/// How the file's name ends.
const ENDING: &str = ".collected";

/// So many steps of SQLite's are done between two looks at whether it is to stop.
pub(super) const STEPS: i32 = 100_000;

/// The shares that were put aside.
#[derive(Debug)]
pub(super) struct Collected {
    connection: Connection,
    path: PathBuf,
}

impl Collected {
    /// The file of a generation, made where there is none.
    pub(super) fn beside(generation: &Path) -> Result<Self, Error> {
        let path = with_ending(generation, ENDING);
        let connection = Connection::open(&path)?;
        connection.pragma_update(None, "page_size", 8192)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // What the generation says of it is never more than what is there, also after a loss of power.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.execute_batch(
            "create table if not exists collected (
               number integer primary key, tenant_id text not null, license_id text not null, share blob not null
             ) strict;
             create table if not exists run (first integer primary key, last integer not null) strict",
        )?;
        Ok(Self { connection, path })
    }

    /// All the files of a generation that collects.
    pub(super) fn files(generation: &Path) -> [PathBuf; 3] {
        ["-wal", "-shm", ""].map(|last| with_ending(generation, &format!("{ENDING}{last}")))
    }

    /// Puts the shares of a batch aside, behind the first `count`; gives how many there are then.
    pub(super) fn add(
        &mut self,
        count: i64,
        licenses: &[(Arc<LicenseKey>, PackedBatch)],
    ) -> Result<i64, Error> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        transaction
            .prepare_cached("delete from collected where number > ?1")?
            .execute([count])?;
        transaction
            .prepare_cached("delete from run where last > ?1")?
            .execute([count])?;
        let (mut number, mut share) = (count, Vec::new());
        {
            let sql = "insert into collected (number, tenant_id, license_id, share) values (?1, ?2, ?3, ?4)";
            let mut insert = transaction.prepare_cached(sql)?;
            for (key, batch) in licenses {
                number += 1;
                share.clear();
                batch.write(&mut share);
                insert.execute(params![number, key.tenant_id, key.license_id, share])?;
            }
        }
        transaction
            .prepare_cached("insert into run (first, last) values (?1, ?2)")?
            .execute([count + 1, number])?;
        transaction.commit()?;
        Ok(number)
    }

    /// Reads the first `count` shares, those of licenses behind `after`, in the order of the licenses. It has
    /// a connection of its own, for a thread of its own.
    pub(super) fn reader(&self, count: i64, after: Option<LicenseKey>) -> Reader {
        Reader {
            path: self.path.clone(),
            count,
            after,
        }
    }

    /// The shares of one license, as batches that are not too large.
    pub(super) fn each_of(
        &self,
        key: &LicenseKey,
        (count, part_bytes): (i64, usize),
        mut visit: impl FnMut(PackedBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut statement = self.connection.prepare(
            "select share from collected where number <= ?1 and tenant_id = ?2 and license_id = ?3
             order by number",
        )?;
        let mut rows = statement.query(params![count, key.tenant_id, key.license_id])?;
        let (mut batch, mut bytes) = (PackedBatch::default(), 0);
        while let Some(row) = rows.next()? {
            let share = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            read(&mut batch, &key.license_id, share)?;
            bytes += share.len();
            if bytes >= part_bytes {
                visit(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        visit(batch)
    }
}

/// Reads what was collected.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    count: i64,
    after: Option<LicenseKey>,
}

impl Reader {
    pub(super) fn read(
        self,
        reins: &Reins,
        hand_on: &mut dyn FnMut(Part) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut connection = Connection::open(&self.path)?;
        connection.pragma_update(None, "temp_store", "file")?;
        // As much of it is sorted in memory at once, in KiB.
        connection.pragma_update(None, "cache_size", -32 * 1024)?;
        let asked = reins.clone();
        connection.progress_handler(STEPS, Some(move || asked.is_stopped()))?;
        let runs: i64 = connection.query_row("select count(*) from run", [], |row| row.get(0))?;
        let mut parts = Parts::new(reins.part_bytes(), hand_on);
        let mut take = |tenant: &str, license: &str, share: &[u8]| match &self.after {
            Some(after) if (tenant, license) <= (&after.tenant_id, &after.license_id) => Ok(()),
            Some(_) | None => parts.take(tenant, license, share),
        };
        if runs as usize <= reins.runs_max() {
            self.merged(&connection, &mut take)?;
        } else {
            self.sorted(&connection, &mut take)?;
        }
        parts.end()
    }

    /// All runs at once, each from its first share on.
    fn merged(&self, connection: &Connection, take: Take<'_>) -> Result<(), Error> {
        let mut statement =
            connection.prepare("select first, last from run where last <= ?1 order by first")?;
        let runs = statement.query_map([self.count], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let runs: Vec<(i64, i64)> = runs.collect::<Result<_, _>>()?;
        let sql =
            "select tenant_id, license_id, share from collected where number between ?1 and ?2
             order by number";
        let statements: Result<Vec<_>, _> = runs.iter().map(|_| connection.prepare(sql)).collect();
        let mut statements = statements?;
        let mut each = Vec::with_capacity(runs.len());
        for (statement, (first, last)) in statements.iter_mut().zip(&runs) {
            each.push(statement.query([first, last])?);
        }
        let mut heads = BinaryHeap::with_capacity(each.len());
        for (run, rows) in each.iter_mut().enumerate() {
            heads.extend(Head::next(rows, run)?.map(Reverse));
        }
        while let Some(Reverse(head)) = heads.pop() {
            take(&head.tenant_id, &head.license_id, &head.share)?;
            if let Some(rows) = each.get_mut(head.run) {
                heads.extend(Head::next(rows, head.run)?.map(Reverse));
            }
        }
        Ok(())
    }

    fn sorted(&self, connection: &Connection, take: Take<'_>) -> Result<(), Error> {
        let mut statement = connection.prepare(
            "select tenant_id, license_id, share from collected where number <= ?1
             order by tenant_id, license_id",
        )?;
        let mut rows = statement.query([self.count])?;
        while let Some(row) = rows.next()? {
            let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
            let share = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            take(text(0)?, text(1)?, share)?;
        }
        Ok(())
    }
}

/// What is done with a share, and whose it is.
type Take<'t> = &'t mut dyn FnMut(&str, &str, &[u8]) -> Result<(), Error>;

/// The next share of a run.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    tenant_id: String,
    license_id: String,
    run: usize,
    share: Vec<u8>,
}

impl Head {
    fn next(rows: &mut Rows<'_>, run: usize) -> Result<Option<Self>, Error> {
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            tenant_id: row.get(0)?,
            license_id: row.get(1)?,
            run,
            share: row.get(2)?,
        }))
    }
}
