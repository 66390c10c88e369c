//! A file read whole, in one snapshot beside its writer.
//!
//! The snapshot is a read transaction on a connection that can only read. While it is held, the log of writes
//! cannot begin anew, and grows.

use std::path::{Path, PathBuf};

use licenseflow_avro::{LicenseKey, Position};
use licenseflow_core::Buckets;
use licenseflow_core::digest::bucket_of;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::connection;
use super::recount;
use super::rows::{DEVICE_COLUMNS, LICENSE_COLUMNS, lane_of_number};
use crate::Error;
use crate::audit::{
    Audit, Audited, AuditedAt, DEVICE_OF, EVENT_OF, FateRow, LICENSE_BESIDE, LICENSE_OF,
    NumberTable, StoredEvent, StoredLicense, StoredRow, USAGE_OF, VisitEvent, VisitFate,
    VisitNumber, VisitRow, conflict_columns, conflict_row, device_row, event_columns, license_row,
    rejected_columns, rejected_row, stored_event, usage_row, waiting_columns, waiting_row,
};
use crate::columns::license_key;

/// One SQLite file, to be read whole.
#[derive(Debug)]
pub struct SqliteAudit {
    path: PathBuf,
}

impl SqliteAudit {
    /// Opens the file that a writer has made.
    ///
    /// # Errors
    /// [`Error::Unusable`] where there is no such file, or it is not of this release, [`Error::Away`] where it
    /// has no read model yet.
    pub fn open(path: &Path) -> Result<Self, Error> {
        connection::open_reader(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }
}

impl Audit for SqliteAudit {
    fn begin(&self) -> Result<Box<dyn Audited + '_>, Error> {
        let connection = connection::open_reader(&self.path)?;
        connection.execute_batch("begin")?;
        // The first read pins the snapshot that all others see.
        let at = at(&connection)?;
        Ok(Box::new(SqliteAudited { connection, at }))
    }
}

fn at(connection: &Connection) -> Result<AuditedAt, Error> {
    let generation = connection::generation(connection)?;
    let mut position = Position::default();
    let sql = "select lane, partition, next_offset from position where generation = ?1";
    each(connection, sql, [generation], |row| {
        position.set(lane_of_number(row.get(0)?)?, row.get(1)?, row.get(2)?);
        Ok(())
    })?;
    Ok(AuditedAt {
        generation,
        position,
        max_future_skew_micros: connection::max_future_skew_micros(connection)?,
    })
}

struct SqliteAudited {
    connection: Connection,
    at: AuditedAt,
}

/// Hands each row of a statement over.
fn each(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    visit: impl FnMut(&Row<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    recount::each_row(connection, sql, values, visit)
}

fn licenses(which: &str) -> String {
    format!(
        "select {LICENSE_COLUMNS}, {LICENSE_BESIDE}, tenant.tenant_id, license.license_id
         from license join tenant on tenant.number = license.tenant {which}"
    )
}

fn devices(which: &str) -> String {
    format!(
        "select {DEVICE_COLUMNS}, device_id, tenant.tenant_id, license.license_id
         from device join license on license.number = device.license
         join tenant on tenant.number = license.tenant {which}"
    )
}

fn usage(which: &str) -> String {
    format!(
        "select quantity, metric, tenant.tenant_id, license.license_id
         from usage join license on license.number = usage.license
         join tenant on tenant.number = license.tenant {which}"
    )
}

/// Events are read in the order in which they lie, and not license by license.
fn events(which: &str) -> String {
    format!(
        "select {}, tenant.tenant_id, license.license_id
         from timeline cross join license on license.number = timeline.license
         cross join tenant on tenant.number = license.tenant {which}",
        event_columns("offset")
    )
}

fn conflicts(which: &str) -> String {
    format!(
        "select {}, tenant.tenant_id, license.license_id
         from rejected left join license on license.number = rejected.license
         left join tenant on tenant.number = license.tenant
         where rejected.event_id is not null {which}",
        conflict_columns("offset")
    )
}

impl Audited for SqliteAudited {
    fn at(&self) -> &AuditedAt {
        &self.at
    }

    fn kept(&mut self) -> Result<Buckets, Error> {
        recount::kept(&self.connection)
    }

    fn rows_in(&mut self, chosen: &dyn Fn(u8) -> bool, visit: VisitRow<'_>) -> Result<(), Error> {
        type ReadRow = fn(&Row<'_>) -> Result<StoredRow, Error>;
        let parts: [(String, ReadRow, usize); 3] = [
            (licenses(""), |row| license_row(row), LICENSE_OF),
            (devices(""), |row| device_row(row), DEVICE_OF),
            (usage(""), |row| usage_row(row), USAGE_OF),
        ];
        for (sql, read, of) in parts {
            each(&self.connection, &sql, [], |row| {
                let key = license_key(row, of)?;
                if chosen(bucket_of(&key)) {
                    visit(&key, read(row)?)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn timeline(&mut self, visit: VisitEvent<'_>) -> Result<(), Error> {
        each(&self.connection, &events(""), [], |row| {
            visit(&license_key(row, EVENT_OF)?, stored_event(row)?)
        })
    }

    fn fates(&mut self, visit: VisitFate<'_>) -> Result<(), Error> {
        let rejected = format!(
            "select {} from rejected where event_id is null",
            rejected_columns("offset")
        );
        each(&self.connection, &rejected, [], |row| {
            visit(rejected_row(row)?)
        })?;
        each(&self.connection, &conflicts(""), [], |row| {
            visit(conflict_row(row)?)
        })?;
        let waiting = format!("select {} from waiting", waiting_columns("offset"));
        each(&self.connection, &waiting, [], |row| {
            visit(waiting_row(row)?)
        })
    }

    fn numbers(&mut self, visit: VisitNumber<'_>) -> Result<(), Error> {
        for table in NumberTable::ALL {
            let sql = format!("{} join tenant on number = tenant", table.sql());
            each(&self.connection, &sql, [], |row| {
                let (what, values) = table.read(row)?;
                visit(what, values)
            })?;
        }
        Ok(())
    }

    fn orphans(&mut self) -> Result<Vec<(&'static str, i64)>, Error> {
        let mut orphans = Vec::new();
        for table in ["device", "usage", "timeline"] {
            let sql = format!(
                "select count(*) from {table} where not exists
                   (select 1 from license where license.number = {table}.license)"
            );
            let count = self.connection.query_row(&sql, [], |row| row.get(0))?;
            if count > 0 {
                orphans.push((table, count));
            }
        }
        Ok(orphans)
    }

    fn license(&mut self, key: &LicenseKey) -> Result<StoredLicense, Error> {
        let connection = &self.connection;
        let names = params![key.tenant_id, key.license_id];
        let sql = "select license.number from license join tenant on tenant.number = license.tenant
             where tenant.tenant_id = ?1 and license.license_id = ?2";
        let number = connection
            .query_row(sql, names, |row| row.get(0))
            .optional()?;
        let mut stored = match number {
            Some(number) => self.numbered(number)?,
            None => StoredLicense::default(),
        };
        let rejected = format!(
            "select {} from rejected where event_id is null and tenant_id = ?1 and license_id = ?2",
            rejected_columns("offset")
        );
        let fates = &mut stored.fates;
        each(connection, &rejected, names, |row| {
            fates.push(rejected_row(row)?);
            Ok(())
        })?;
        let waiting = format!(
            "select {} from waiting where settled_ms is null and key = ?1",
            waiting_columns("offset")
        );
        each(connection, &waiting, [key.license_id.as_bytes()], |row| {
            fates.push(waiting_row(row)?);
            Ok(())
        })?;
        Ok(stored)
    }
}

impl SqliteAudited {
    /// What is stored of a license under its number.
    fn numbered(&self, number: i64) -> Result<StoredLicense, Error> {
        let connection = &self.connection;
        let mut rows: Vec<StoredRow> = Vec::new();
        let sql = licenses("where license.number = ?1");
        each(connection, &sql, [number], |row| {
            rows.push(license_row(row)?);
            Ok(())
        })?;
        let sql = devices("where device.license = ?1");
        each(connection, &sql, [number], |row| {
            rows.push(device_row(row)?);
            Ok(())
        })?;
        let sql = usage("where usage.license = ?1");
        each(connection, &sql, [number], |row| {
            rows.push(usage_row(row)?);
            Ok(())
        })?;
        let mut timeline: Vec<StoredEvent> = Vec::new();
        let sql = events("where timeline.license = ?1");
        each(connection, &sql, [number], |row| {
            timeline.push(stored_event(row)?);
            Ok(())
        })?;
        let mut fates: Vec<FateRow> = Vec::new();
        let sql = conflicts("and rejected.license = ?1");
        each(connection, &sql, [number], |row| {
            fates.push(conflict_row(row)?);
            Ok(())
        })?;
        Ok(StoredLicense {
            rows,
            timeline,
            fates,
        })
    }
}
