//! What a generation collects before it loads, in a file of its own beside it.
//!
//! Shares are appended, and committed before the generation's own transaction, which then says how many count:
//! what a death leaves over that is taken away by whoever appends next. SQLite sorts them when they are read,
//! in its temporary files where they are many.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use licenseflow_avro::LicenseKey;
use licenseflow_core::PackedBatch;
use rusqlite::{Connection, TransactionBehavior, params};

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
             ) strict",
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
        let mut statement = connection.prepare(
            "select tenant_id, license_id, share from collected
             where number <= ?1 and (?2 is null or (tenant_id, license_id) > (?2, ?3))
             order by tenant_id, license_id",
        )?;
        let after = self.after.as_ref();
        let after = (
            after.map(|it| &it.tenant_id),
            after.map(|it| &it.license_id),
        );
        let mut rows = statement.query(params![self.count, after.0, after.1])?;
        let mut parts = Parts::new(reins.part_bytes(), hand_on);
        while let Some(row) = rows.next()? {
            let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
            let share = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            parts.take(text(0)?, text(1)?, share)?;
        }
        parts.end()
    }
}
