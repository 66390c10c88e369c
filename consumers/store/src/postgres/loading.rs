//! How a generation in PostgreSQL collects and loads: what is put aside lies in a table of its schema, so that
//! whichever process goes on finds it, and PostgreSQL sorts it when it is read.
//!
//! The table `loading` is there as long as it does; it goes in the transaction that ends it.

use std::sync::Arc;
use std::time::Duration;

use licenseflow_avro::LicenseKey;
use licenseflow_core::{Batch, PackedBatch, crash};
use tokio::runtime::Handle;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::apply::Writer;
use super::connection::Address;
use super::session::{Lasting, Session, Work};
use super::writer::PostgresModel;
use crate::Error;
use crate::columns::{Columns, needed};
use crate::generations::Model;
use crate::loading::{Loaded, Loading, Part, Parts, Reins, read, side_by_side};

/// Made with a generation that collects. `late` are the licenses that have too much to be folded at once.
pub(super) const TABLES: &str = r#"
create table loading (
  number smallint primary key check (number = 1),
  collected bigint not null, loaded bigint not null,
  tenant_id text collate "C", license_id text collate "C"
);
insert into loading (number, collected, loaded) values (1, 0, 0);
create table collected (tenant_id text collate "C" not null, license_id text collate "C" not null, share bytea not null);
create table late (tenant_id text collate "C" not null, license_id text collate "C" not null,
  primary key (tenant_id, license_id));"#;

/// Made when everything is in its place.
pub(super) const INDEXES: &str = include_str!("indexes.sql");

/// What was collected behind what is loaded, in the order of the licenses.
const SORTED: &str =
    "select collected.tenant_id, collected.license_id, share from collected, loading
     where loading.tenant_id is null
       or (collected.tenant_id, collected.license_id) > (loading.tenant_id, loading.license_id)
     order by collected.tenant_id, collected.license_id";

/// Whether the schema is of a generation that collects.
pub(super) async fn is_collecting(client: &Client) -> Result<bool, Error> {
    let sql = "select to_regclass('loading') is not null";
    Ok(client.query_one(sql, &[]).await?.try_get(0)?)
}

/// How far a generation is that is being built; none: it is built.
pub(super) async fn loading(work: &Work<'_>, schema: &str) -> Result<Option<Loading>, Error> {
    let table = format!("{schema}.loading");
    let sql = "select to_regclass($1::text) is not null";
    let rows = work.rows(sql, &[&table]).await?;
    let is_there = rows.first().map(|row| row.boolean(0)).transpose()?;
    if is_there.flatten() != Some(true) {
        return Ok(None);
    }
    let sql = format!("select collected, loaded from {table}");
    let rows = work.rows(&sql, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let count = |column| Ok::<_, Error>(needed(row.integer(column)?)?.unsigned_abs());
    Ok(Some(Loading {
        collected: count(0)?,
        loaded: count(1)?,
    }))
}

/// Puts a batch's licenses aside.
pub(super) async fn collect(
    work: &Work<'_>,
    licenses: Vec<(Arc<LicenseKey>, PackedBatch)>,
) -> Result<(), Error> {
    if licenses.is_empty() {
        return Ok(());
    }
    let sql = "copy collected (tenant_id, license_id, share) from stdin binary";
    let types = [Type::TEXT, Type::TEXT, Type::BYTEA];
    let count = licenses.len() as i64;
    work.copy(sql, &types, async |mut writer| {
        let mut share = Vec::new();
        for (key, batch) in &licenses {
            share.clear();
            batch.write(&mut share);
            let row: [&(dyn ToSql + Sync); 3] = [&key.tenant_id, &key.license_id, &share];
            writer.as_mut().write(&row).await?;
        }
        Ok(())
    })
    .await?;
    crash::point(crash::AFTER_COLLECTING);
    let sql = "update loading set collected = collected + $1";
    work.execute(sql, &[&count]).await?;
    Ok(())
}

impl Model for PostgresModel {
    fn is_collecting(&self) -> bool {
        self.collects
    }

    fn load(&mut self, now: i64, reins: &Reins) -> Result<Loaded, Error> {
        if !self.collects {
            return Ok(Loaded::Whole);
        }
        let reader = self.reader(reins);
        let loaded = side_by_side(
            reins,
            |hand_on| reader.sorted(hand_on),
            |part| self.load_part(part, now),
        )?;
        if loaded == Loaded::Stopped {
            return Ok(loaded);
        }
        crash::point(crash::BEFORE_INDEXES);
        for index in INDEXES
            .split_inclusive(';')
            .filter(|it| it.contains("create"))
        {
            if reins.is_stopped() {
                return Ok(Loaded::Stopped);
            }
            self.in_transaction(Lasting::AtOnce, async |work, _| {
                work.takes_long().await?;
                work.execute(index, &[]).await
            })?;
        }
        if self.load_late(now, reins)? == Loaded::Stopped {
            return Ok(Loaded::Stopped);
        }
        crash::point(crash::BEFORE_LOADED);
        self.in_transaction(Lasting::AtOnce, async |work, _| {
            work.execute("drop table loading, collected, late", &[])
                .await
        })?;
        self.collects = false;
        Ok(Loaded::Whole)
    }
}

impl PostgresModel {
    fn reader(&self, reins: &Reins) -> Reader {
        Reader {
            address: self.address.clone(),
            runtime: self.runtime.clone(),
            statement_max: self.statement_max,
            part_bytes: reins.part_bytes(),
        }
    }

    fn load_part(&mut self, part: Part, now: i64) -> Result<(), Error> {
        self.in_transaction(Lasting::Soon, async |work, writer| {
            writer.fold(work, part.licenses, now).await?;
            for key in &part.late {
                let sql = "insert into late (tenant_id, license_id) values ($1, $2) on conflict do nothing";
                work.execute(sql, &[&key.tenant_id, &key.license_id]).await?;
            }
            if let Some(last) = &part.last {
                let sql = "update loading set loaded = loaded + $1, tenant_id = $2, license_id = $3";
                let shares = part.shares.cast_signed();
                work.execute(sql, &[&shares, &last.tenant_id, &last.license_id])
                    .await?;
            }
            crash::point(crash::WHILE_LOADING);
            Ok(())
        })
    }

    /// Folds what is too much to be folded at once, part after part, as a projector would. What of it is there
    /// already counts once.
    fn load_late(&mut self, now: i64, reins: &Reins) -> Result<Loaded, Error> {
        let late = self.in_transaction(Lasting::AtOnce, async |work, _| {
            let rows = work
                .rows("select tenant_id, license_id from late", &[])
                .await?;
            rows.iter()
                .map(|row| {
                    Ok(LicenseKey {
                        tenant_id: row.try_get(0)?,
                        license_id: row.try_get(1)?,
                    })
                })
                .collect::<Result<Vec<_>, Error>>()
        })?;
        for key in late.into_iter().map(Arc::new) {
            let reader = self.reader(reins);
            let loaded = side_by_side(
                reins,
                |hand_on| reader.shares_of(&key, hand_on),
                |batch| {
                    self.in_transaction(Lasting::Soon, async |work, writer| {
                        writer
                            .fold(work, vec![(Arc::clone(&key), batch)], now)
                            .await?;
                        crash::point(crash::WHILE_LOADING);
                        Ok(())
                    })
                },
            )?;
            if loaded == Loaded::Stopped {
                return Ok(loaded);
            }
        }
        Ok(Loaded::Whole)
    }
}

impl Writer {
    /// Folds and writes licenses that were collected.
    async fn fold(
        &self,
        work: &Work<'_>,
        licenses: Vec<(Arc<LicenseKey>, PackedBatch)>,
        now: i64,
    ) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.licenses.extend(licenses);
        self.apply(work, batch, now).await.map(drop)
    }
}

/// Reads what was collected, over a connection of its own.
struct Reader {
    address: Address,
    runtime: Handle,
    statement_max: Duration,
    part_bytes: usize,
}

impl Reader {
    fn sorted(self, hand_on: &mut dyn FnMut(Part) -> Result<(), Error>) -> Result<(), Error> {
        let mut parts = Parts::new(self.part_bytes, hand_on);
        self.each_share(SORTED, &[], |tenant, license, share| {
            parts.take(tenant, license, share)
        })?;
        parts.end()
    }

    /// The shares of one license, as batches that are not too large.
    fn shares_of(
        self,
        key: &LicenseKey,
        hand_on: &mut dyn FnMut(PackedBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let sql = "select tenant_id, license_id, share from collected where tenant_id = $1 and license_id = $2";
        let (mut batch, mut bytes) = (PackedBatch::default(), 0);
        let part_bytes = self.part_bytes;
        let values: [&(dyn ToSql + Sync); 2] = [&key.tenant_id, &key.license_id];
        self.each_share(sql, &values, |_, license, share| {
            read(&mut batch, license, share)?;
            bytes += share.len();
            if bytes < part_bytes {
                return Ok(());
            }
            bytes = 0;
            hand_on(std::mem::take(&mut batch))
        })?;
        hand_on(batch)
    }

    fn each_share(
        self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
        mut visit: impl FnMut(&str, &str, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.runtime.block_on(async {
            let mut session =
                Session::open(&self.address, self.statement_max, &self.runtime).await?;
            let reading = session.transaction(Lasting::AtOnce, async |work| {
                work.read_whole().await?;
                work.each_row(sql, values, |row| {
                    visit(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)
                })
                .await
            });
            reading.await
        })
    }
}
