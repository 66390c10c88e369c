//! A schema read whole, in one snapshot over a connection of its own.
//!
//! Reading all takes as long as it takes, and the snapshot may lie still while its reader works on something
//! else: no time of the server's ends either. While it is held, the server keeps what is overwritten.

use futures::TryStreamExt;
use licenseflow_avro::{LicenseKey, Position};
use licenseflow_core::Buckets;
use licenseflow_core::digest::bucket_of;
use std::pin::pin;
use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::connection::Address;
use super::migrate;
use crate::Error;
use crate::audit::{
    Audit, Audited, AuditedAt, DEVICE_OF, EVENT_OF, LICENSE_BESIDE, LICENSE_OF, NumberTable,
    StoredLicense, StoredRow, USAGE_OF, VisitEvent, VisitFate, VisitNumber, VisitRow,
    conflict_columns, conflict_row, device_row, event_columns, license_row, rejected_columns,
    rejected_row, stored_event, usage_row, waiting_columns, waiting_row,
};
use crate::columns::{
    Columns, DEVICE_COLUMNS, LICENSE_COLUMNS, lane_of_number, license_key, needed,
    partition_of_number,
};
use crate::standing::add_bucket;

/// What the snapshot begins with.
const BEGIN: &str = "set statement_timeout to 0;
    set idle_in_transaction_session_timeout to 0;
    begin isolation level repeatable read, read only";

/// One generation in a schema of PostgreSQL, to be read whole. Its calls block, and must not be made from a
/// thread of the runtime that it is given.
pub struct PostgresAudit {
    address: Address,
    runtime: Handle,
}

impl PostgresAudit {
    /// Names what a writer has made; nobody is asked before a snapshot begins. `runtime` moves the bytes.
    ///
    /// # Errors
    /// [`Error::Unusable`] where the address is none.
    pub fn open(url: &str, schema: &str, runtime: Handle) -> Result<Self, Error> {
        let address = Address::parse(url, schema)?;
        Ok(Self { address, runtime })
    }
}

impl Audit for PostgresAudit {
    fn begin(&self) -> Result<Box<dyn Audited + '_>, Error> {
        let begun = async {
            let client = self.address.connect(&self.runtime).await?;
            client.batch_execute(BEGIN).await?;
            // The first read pins the snapshot that all others see.
            let generation = migrate::known(&client, self.address.schema()).await?;
            let position = position(&client, generation.number).await?;
            let at = AuditedAt {
                generation: generation.number,
                position,
                max_future_skew_micros: generation.max_future_skew_micros,
            };
            Ok::<_, Error>((client, at))
        };
        let (client, at) = self.runtime.block_on(begun)?;
        Ok(Box::new(PostgresAudited {
            client,
            runtime: &self.runtime,
            at,
        }))
    }
}

async fn position(client: &Client, generation: i64) -> Result<Position, Error> {
    let sql = "select lane, partition, next_offset from position where generation = $1";
    let mut position = Position::default();
    for row in client.query(sql, &[&generation]).await? {
        let lane = lane_of_number(needed(row.integer(0)?)?)?;
        let partition = partition_of_number(needed(row.integer(1)?)?)?;
        position.set(lane, partition, needed(row.integer(2)?)?);
    }
    Ok(position)
}

struct PostgresAudited<'a> {
    client: Client,
    runtime: &'a Handle,
    at: AuditedAt,
}

/// What a statement is given.
type Given<'v> = &'v [&'v (dyn ToSql + Sync)];

fn licenses(which: &str) -> String {
    format!(
        "select {LICENSE_COLUMNS}, {LICENSE_BESIDE}, tenant_id, license_id from license {which}"
    )
}

fn devices(which: &str) -> String {
    format!(
        "select {DEVICE_COLUMNS}, device_id, license.tenant_id, license.license_id from device
         join license on license.tenant_id = device.tenant_id and license.number = device.license {which}"
    )
}

fn usage(which: &str) -> String {
    format!(
        "select quantity, metric, license.tenant_id, license.license_id from usage
         join license on license.tenant_id = usage.tenant_id and license.number = usage.license {which}"
    )
}

fn events(which: &str) -> String {
    format!(
        "select {}, license.tenant_id, license.license_id from timeline
         join license on license.tenant_id = timeline.tenant_id and license.number = timeline.license {which}",
        event_columns("log_offset")
    )
}

fn conflicts(which: &str) -> String {
    format!(
        "select {}, license.tenant_id, license.license_id from rejected
         left join license on license.tenant_id = rejected.tenant_id and license.number = rejected.license
         where rejected.event_id is not null {which}",
        conflict_columns("log_offset")
    )
}

impl PostgresAudited<'_> {
    /// Hands each row of a statement over, as it comes.
    fn each(
        &self,
        sql: &str,
        given: Given<'_>,
        mut visit: impl FnMut(&Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.runtime.block_on(async {
            let given = given.iter().copied();
            let mut rows = pin!(self.client.query_raw(sql, given).await?);
            while let Some(row) = rows.try_next().await? {
                visit(&row)?;
            }
            Ok(())
        })
    }
}

impl Audited for PostgresAudited<'_> {
    fn at(&self) -> &AuditedAt {
        &self.at
    }

    fn kept(&mut self) -> Result<Buckets, Error> {
        let mut buckets = Buckets::default();
        self.each("select bucket, sum from digest", &[], |row| {
            add_bucket(&mut buckets, row)
        })?;
        Ok(buckets)
    }

    fn rows_in(&mut self, chosen: &dyn Fn(u8) -> bool, visit: VisitRow<'_>) -> Result<(), Error> {
        type ReadRow = fn(&Row) -> Result<StoredRow, Error>;
        let parts: [(String, ReadRow, usize); 3] = [
            (licenses(""), |row| license_row(row), LICENSE_OF),
            (devices(""), |row| device_row(row), DEVICE_OF),
            (usage(""), |row| usage_row(row), USAGE_OF),
        ];
        for (sql, read, of) in parts {
            self.each(&sql, &[], |row| {
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
        self.each(&events(""), &[], |row| {
            visit(&license_key(row, EVENT_OF)?, stored_event(row)?)
        })
    }

    fn fates(&mut self, visit: VisitFate<'_>) -> Result<(), Error> {
        let rejected = format!(
            "select {} from rejected where event_id is null",
            rejected_columns("log_offset")
        );
        self.each(&rejected, &[], |row| visit(rejected_row(row)?))?;
        self.each(&conflicts(""), &[], |row| visit(conflict_row(row)?))?;
        let waiting = format!("select {} from waiting", waiting_columns("log_offset"));
        self.each(&waiting, &[], |row| visit(waiting_row(row)?))
    }

    fn numbers(&mut self, visit: VisitNumber<'_>) -> Result<(), Error> {
        for table in NumberTable::ALL {
            self.each(table.sql(), &[], |row| {
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
                "select count(*) from {table} where not exists (select from license
                   where license.tenant_id = {table}.tenant_id and license.number = {table}.license)"
            );
            self.each(&sql, &[], |row| {
                let count = needed(row.integer(0)?)?;
                if count > 0 {
                    orphans.push((table, count));
                }
                Ok(())
            })?;
        }
        Ok(orphans)
    }

    fn license(&mut self, key: &LicenseKey) -> Result<StoredLicense, Error> {
        let mut stored = StoredLicense::default();
        let StoredLicense {
            rows,
            timeline,
            fates,
        } = &mut stored;
        let names: Given<'_> = &[&key.tenant_id, &key.license_id];
        let of = "where license.tenant_id = $1 and license.license_id = $2";
        self.each(&licenses(of), names, |row| {
            rows.push(license_row(row)?);
            Ok(())
        })?;
        self.each(&devices(of), names, |row| {
            rows.push(device_row(row)?);
            Ok(())
        })?;
        self.each(&usage(of), names, |row| {
            rows.push(usage_row(row)?);
            Ok(())
        })?;
        self.each(&events(of), names, |row| {
            timeline.push(stored_event(row)?);
            Ok(())
        })?;
        let of = "and license.tenant_id = $1 and license.license_id = $2";
        self.each(&conflicts(of), names, |row| {
            fates.push(conflict_row(row)?);
            Ok(())
        })?;
        let rejected = format!(
            "select {} from rejected where event_id is null and tenant_id = $1 and license_id = $2",
            rejected_columns("log_offset")
        );
        self.each(&rejected, names, |row| {
            fates.push(rejected_row(row)?);
            Ok(())
        })?;
        let waiting = format!(
            "select {} from waiting where settled_ms is null and key = $1",
            waiting_columns("log_offset")
        );
        self.each(&waiting, &[&key.license_id.as_bytes()], |row| {
            fates.push(waiting_row(row)?);
            Ok(())
        })?;
        Ok(stored)
    }
}
