//! The read side of the embedded store.
//!
//! Each call takes one connection and reads one snapshot, its freshness among it, so that an answer
//! and the position it is said to stand at can never differ. Owns the questions; how rows lie in
//! columns it asks of `rows`, and it writes nothing.

mod devices;
mod history;
mod journey;
mod licenses;
mod pool;
mod said;
#[cfg(test)]
mod steps;
mod timeline;
mod totals;
#[cfg(test)]
mod work;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use licenseflow_avro::LicenseKey;
use licenseflow_core::{Buckets, DeviceState};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use self::pool::{Pool, Reader};
use super::connection;
use super::recount;
use super::rows::{LICENSE_COLUMN_COUNT, LICENSE_COLUMNS, license_state};
use crate::Error;
use crate::dead_letters::{OPEN, OPEN_LETTERS_MAX, OpenLetter, open_letter, open_letter_columns};
use crate::lookup::{
    CustomerTotals, Freshness, History, JourneyQuery, JourneyStep, LicenseParts, LicenseQuery,
    LicenseRow, LicenseView, Lookup, Page, Read, RecordPlace, SaidEvent, SaidQuery, SortKey, Stats,
    TimelineQuery, TimelineRow,
};
use crate::standing::partition_freshness;
use crate::waiting::{waiting_key, waiting_keys};

/// Reads one SQLite file over a few read-only connections.
pub struct SqliteLookup {
    pool: Pool,
    hash_seed: u64,
}

impl SqliteLookup {
    /// Opens the file that a writer has made, for `readers` calls at once.
    ///
    /// # Errors
    /// [`Error::Unusable`] where there is no such file, or it is not of this release.
    pub fn open(path: &Path, readers: usize) -> Result<Self, Error> {
        let pool = Pool::open(path, readers.max(1))?;
        let hash_seed = connection::hash_seed(&pool.take()?.connection)?;
        Ok(Self { pool, hash_seed })
    }

    fn read<T>(
        &self,
        question: impl FnOnce(&Snapshot<'_>) -> Result<T, Error>,
    ) -> Result<Read<T>, Error> {
        let mut reader = self.pool.take()?;
        let Reader { connection, seen } = &mut *reader;
        let snapshot = Snapshot::begin(connection, self.hash_seed)?;
        // The first read pins the snapshot that all others see.
        let version = snapshot.version()?;
        let freshness = match seen {
            Some((seen_at, freshness)) if *seen_at == version => freshness.clone(),
            Some(_) | None => {
                let freshness = snapshot.freshness()?;
                *seen = Some((version, freshness.clone()));
                freshness
            }
        };
        let value = question(&snapshot)?;
        Ok(Read { value, freshness })
    }
}

static LICENSE_OF: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select license.number, license_id, {LICENSE_COLUMNS}, \
           exists (select 1 from rejected indexed by rejected_open_by_license \
             where rejected.tenant_id = ?1 and rejected.license_id = ?2 and {OPEN}) \
         from license join tenant on tenant.number = license.tenant \
         where tenant.tenant_id = ?1 and license.license_id = ?2"
    )
});

static WAITING: LazyLock<String> = LazyLock::new(|| waiting_keys("offset"));

/// One state of the file, as all reads of one call see it.
struct Snapshot<'c> {
    rows: &'c Connection,
    hash_seed: u64,
}

impl<'c> Snapshot<'c> {
    fn begin(rows: &'c Connection, hash_seed: u64) -> Result<Self, Error> {
        // One that could not be ended would be read for ever.
        if !rows.is_autocommit() {
            rows.prepare_cached("rollback")?.execute([])?;
        }
        rows.prepare_cached("begin")?.execute([])?;
        Ok(Self { rows, hash_seed })
    }

    /// Changes with each commit of another connection.
    fn version(&self) -> Result<i64, Error> {
        let mut statement = self.rows.prepare_cached("pragma data_version")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    fn freshness(&self) -> Result<Freshness, Error> {
        let mut statement = self.rows.prepare_cached(
            "select lane, partition, next_offset, end_offset, caught_up_at_ms, last_timestamp_ms \
             from position where generation = ? order by lane, partition",
        )?;
        let generation = connection::generation(self.rows)?;
        let mut rows = statement.query([generation])?;
        let mut freshness = Freshness {
            generation,
            ..Freshness::default()
        };
        while let Some(row) = rows.next()? {
            freshness.partitions.push(partition_freshness(row, 0)?);
        }
        let mut statement = self.rows.prepare_cached(&WAITING)?;
        let mut rows = statement.query([])?;
        let mut waiting = Vec::new();
        while let Some(row) = rows.next()? {
            waiting.push(waiting_key(row)?);
        }
        freshness.waiting = waiting.into();
        Ok(freshness)
    }

    fn tenant(&self, tenant_id: &str) -> Result<Option<i64>, Error> {
        let mut statement = self
            .rows
            .prepare_cached("select number from tenant where tenant_id = ?")?;
        Ok(statement
            .query_row([tenant_id], |row| row.get(0))
            .optional()?)
    }

    fn license_number(&self, key: &LicenseKey) -> Result<Option<i64>, Error> {
        let mut statement = self.rows.prepare_cached(
            "select license.number from license join tenant on tenant.number = license.tenant \
             where tenant.tenant_id = ? and license.license_id = ?",
        )?;
        let found = statement.query_row(params![key.tenant_id, key.license_id], |row| row.get(0));
        Ok(found.optional()?)
    }

    /// A license by its number in the store, which the caller has read in this snapshot.
    fn license(&self, tenant_id: &str, number: i64) -> Result<LicenseRow, Error> {
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!("select number, license_id, {LICENSE_COLUMNS} from license where number = ?")
        });
        let mut statement = self.rows.prepare_cached(&SQL)?;
        let mut rows = statement.query([number])?;
        let row = rows
            .next()?
            .ok_or_else(|| Error::broken(format!("no license of number {number}")))?;
        Ok(numbered(row, tenant_id)?.1)
    }

    /// A license and its number in the store.
    fn license_of(
        &self,
        tenant_id: &str,
        license_id: &str,
    ) -> Result<Option<(i64, LicenseRow)>, Error> {
        let mut statement = self.rows.prepare_cached(&LICENSE_OF)?;
        let mut rows = statement.query([tenant_id, license_id])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let (number, mut license) = numbered(row, tenant_id)?;
        if row.get(2 + LICENSE_COLUMN_COUNT)? {
            license.letters = self.open_letters(tenant_id, license_id)?;
        }
        Ok(Some((number, license)))
    }

    /// The first of the open letters that name a license.
    fn open_letters(&self, tenant_id: &str, license_id: &str) -> Result<Vec<OpenLetter>, Error> {
        let sql = format!(
            "select {} from rejected indexed by rejected_open_by_license \
             where tenant_id = ?1 and license_id = ?2 and {OPEN} order by id limit {OPEN_LETTERS_MAX}",
            open_letter_columns("offset")
        );
        let mut statement = self.rows.prepare_cached(&sql)?;
        let mut rows = statement.query([tenant_id, license_id])?;
        let mut letters = Vec::new();
        while let Some(row) = rows.next()? {
            letters.push(open_letter(row)?);
        }
        Ok(letters)
    }

    /// Asks about a license by its number; none where there is no such license.
    fn of_license<T>(
        &self,
        key: &LicenseKey,
        question: impl FnOnce(i64) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.license_number(key)?.map(question).transpose()
    }

    fn view(&self, key: &LicenseKey, parts: &LicenseParts) -> Result<Option<LicenseView>, Error> {
        let Some((number, license)) = self.license_of(&key.tenant_id, &key.license_id)? else {
            return Ok(None);
        };
        let devices = parts.devices.map(|limit| self.devices(number, None, limit));
        let usage = parts.usage.then(|| self.usage(number));
        let timeline = parts.timeline.map(|limit| {
            let query = TimelineQuery {
                limit,
                ..TimelineQuery::default()
            };
            self.timeline(key, number, &query)
        });
        let customer = match (parts.customer_at, &license.state.customer) {
            (Some(at), Some(held_by)) => self.customer(&key.tenant_id, &held_by.value, at)?,
            (None, _) | (Some(_), None) => None,
        };
        Ok(Some(LicenseView {
            license,
            customer,
            devices: devices.transpose()?,
            usage: usage.transpose()?,
            timeline: timeline.transpose()?,
        }))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // Where it does not end now, it does before the next begins.
        if let Ok(mut rollback) = self.rows.prepare_cached("rollback") {
            let _ = rollback.execute([]);
        }
    }
}

/// Reads a license's number, its id and [`LICENSE_COLUMNS`].
fn numbered(row: &Row<'_>, tenant_id: &str) -> Result<(i64, LicenseRow), Error> {
    let license = LicenseRow {
        key: LicenseKey {
            tenant_id: tenant_id.to_owned(),
            license_id: row.get(1)?,
        },
        state: license_state(row, 2)?,
        letters: Vec::new(),
    };
    Ok((row.get(0)?, license))
}

impl Lookup for SqliteLookup {
    fn is_at_hand(&self) -> bool {
        true
    }

    fn position(&self) -> Result<Read<Buckets>, Error> {
        self.read(|snapshot| recount::kept(snapshot.rows))
    }

    fn freshness(&self) -> Result<Freshness, Error> {
        Ok(self.read(|_| Ok(()))?.freshness)
    }

    fn license(&self, key: &LicenseKey) -> Result<Read<Option<LicenseRow>>, Error> {
        self.read(|snapshot| {
            Ok(snapshot
                .license_of(&key.tenant_id, &key.license_id)?
                .map(|(_, license)| license))
        })
    }

    fn licenses_by_id(
        &self,
        tenant_id: &str,
        ids: &[String],
    ) -> Result<Read<Vec<Option<LicenseRow>>>, Error> {
        self.read(|snapshot| snapshot.licenses_by_id(tenant_id, ids))
    }

    fn history(&self, key: &LicenseKey, limit: usize) -> Result<Read<Option<History>>, Error> {
        self.read(|snapshot| {
            snapshot.of_license(key, |number| snapshot.history(key, number, limit))
        })
    }

    fn license_with(
        &self,
        key: &LicenseKey,
        parts: &LicenseParts,
    ) -> Result<Read<Option<LicenseView>>, Error> {
        self.read(|snapshot| snapshot.view(key, parts))
    }

    fn licenses(&self, query: &LicenseQuery) -> Result<Read<Page<LicenseRow, SortKey>>, Error> {
        self.read(|snapshot| snapshot.licenses(query))
    }

    fn customer(
        &self,
        tenant_id: &str,
        customer_id: &str,
        at: i64,
    ) -> Result<Read<Option<CustomerTotals>>, Error> {
        self.read(|snapshot| snapshot.customer(tenant_id, customer_id, at))
    }

    fn stats(&self, tenant_id: &str, at: i64) -> Result<Read<Stats>, Error> {
        self.read(|snapshot| snapshot.stats(tenant_id, at))
    }

    fn devices(
        &self,
        key: &LicenseKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Read<Option<Page<(String, DeviceState), String>>>, Error> {
        self.read(|snapshot| {
            snapshot.of_license(key, |number| snapshot.devices(number, after, limit))
        })
    }

    fn usage(&self, key: &LicenseKey) -> Result<Read<Option<BTreeMap<String, i64>>>, Error> {
        self.read(|snapshot| snapshot.of_license(key, |number| snapshot.usage(number)))
    }

    fn timeline(
        &self,
        key: &LicenseKey,
        query: &TimelineQuery,
    ) -> Result<Read<Option<Page<TimelineRow, (i64, u8, Uuid)>>>, Error> {
        self.read(|snapshot| {
            snapshot.of_license(key, |number| snapshot.timeline(key, number, query))
        })
    }

    fn said(&self, query: &SaidQuery) -> Result<Read<Page<SaidEvent, RecordPlace>>, Error> {
        self.read(|snapshot| snapshot.said_page(query))
    }

    fn journey(&self, query: &JourneyQuery) -> Result<Read<Page<JourneyStep, RecordPlace>>, Error> {
        self.read(|snapshot| snapshot.journey(query))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::sqlite::{SqliteModel, SqliteOptions};

    #[test]
    fn the_look_up_of_a_license_is_planned_once_whichever_is_asked_for() {
        let folder = steps::Folder::new("plans");
        let path = folder.file();
        drop(SqliteModel::open(&path, SqliteOptions::default()).unwrap());
        let lookup = SqliteLookup::open(&path, 1).unwrap();
        for license_id in ["a", "b", "c"] {
            let key = LicenseKey {
                tenant_id: "t".to_owned(),
                license_id: license_id.to_owned(),
            };
            assert!(lookup.license(&key).unwrap().value.is_none());
        }
        let reader = lookup.pool.take().unwrap();
        let statement = reader.connection.prepare_cached(&LICENSE_OF).unwrap();
        let times = [StatementStatus::Run, StatementStatus::RePrepare];
        let times = times.map(|which| statement.get_status(which));
        assert_eq!(times, [3, 0]);
    }
}
