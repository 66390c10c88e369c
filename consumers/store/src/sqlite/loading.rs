//! How a generation in a file collects and loads: what it says of that, and its steps.
//!
//! The table `loading` is there as long as it does; it goes in the transaction that ends it.

use std::path::Path;
use std::sync::Arc;

use licenseflow_avro::LicenseKey;
use licenseflow_core::fold::fold_from_nothing;
use licenseflow_core::{LicenseChange, PackedBatch, crash};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::cache::Cache;
use super::change::Writer;
use super::collected::{Collected, STEPS};
use super::connection::open_reader;
use super::generations::remove_all;
use super::past::Found;
use super::tenants::Tenants;
use super::totals;
use super::writer::{DigestChange, SqliteModel, write_licenses};
use crate::batch::unpack;
use crate::generations::Model;
use crate::loading::{Loaded, Loading, Part, Reins, side_by_side};
use crate::totals::Difference;
use crate::{Applied, Error};

/// Made with a generation that collects. `late` are the licenses that have too much to be folded at once.
pub(super) const TABLES: &str = "
create table loading (
  number integer primary key check (number = 1),
  collected integer not null, loaded integer not null,
  tenant_id text, license_id text
) strict;
create table late (tenant_id text not null, license_id text not null, primary key (tenant_id, license_id))
  strict, without rowid;
insert into loading (number, collected, loaded) values (1, 0, 0);";

/// Made when everything is in its place.
pub(super) const INDEXES: &str = include_str!("indexes.sql");

/// How far a generation is that is being built; none: it is built.
pub(super) fn loading(connection: &Connection) -> Result<Option<Loading>, Error> {
    let sql = "select exists (select 1 from sqlite_schema where name = 'loading')";
    if !connection.query_row(sql, [], |row| row.get(0))? {
        return Ok(None);
    }
    let sql = "select collected, loaded from loading";
    let loading = connection.query_row(sql, [], |row| {
        let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(Loading {
            collected: count(0)?,
            loaded: count(1)?,
        })
    });
    Ok(loading.optional()?)
}

/// The same, of the file of a generation.
pub(super) fn loading_of(path: &Path) -> Result<Option<Loading>, Error> {
    loading(&open_reader(path)?)
}

/// Puts a batch's licenses aside; they count when the transaction is committed.
pub(super) fn collect(
    transaction: &Transaction<'_>,
    collected: &mut Collected,
    licenses: &[(Arc<LicenseKey>, PackedBatch)],
) -> Result<(), Error> {
    if licenses.is_empty() {
        return Ok(());
    }
    let count = transaction
        .prepare_cached("select collected from loading")?
        .query_row([], |row| row.get(0))?;
    let count = collected.add(count, licenses)?;
    crash::point(crash::AFTER_COLLECTING);
    transaction
        .prepare_cached("update loading set collected = ?1")?
        .execute([count])?;
    Ok(())
}

impl Model for SqliteModel {
    fn is_collecting(&self) -> bool {
        self.collected.is_some()
    }

    fn load(&mut self, now: i64, reins: &Reins) -> Result<Loaded, Error> {
        let Some(collected) = self.collected.take() else {
            return Ok(Loaded::Whole);
        };
        let asked = reins.clone();
        let watched = Some(move || asked.is_stopped());
        self.connection.progress_handler(STEPS, watched)?;
        // What is sorted for an index goes to disk where it is much.
        self.connection.pragma_update(None, "temp_store", "file")?;
        let loaded = self.load_all(&collected, now, reins);
        self.connection
            .pragma_update(None, "temp_store", "memory")?;
        self.connection.progress_handler(0, None::<fn() -> bool>)?;
        match loaded {
            Ok(Loaded::Whole) => {
                drop(collected);
                remove_all(&Collected::files(&self.path))?;
                Ok(Loaded::Whole)
            }
            other => {
                self.collected = Some(collected);
                match other {
                    Err(Error::Away(_)) if reins.is_stopped() => Ok(Loaded::Stopped),
                    other => other,
                }
            }
        }
    }
}

impl SqliteModel {
    fn load_all(
        &mut self,
        collected: &Collected,
        now: i64,
        reins: &Reins,
    ) -> Result<Loaded, Error> {
        let sql = "select collected, tenant_id, license_id from loading";
        let (count, after) = self.connection.query_row(sql, [], |row| {
            let (tenant_id, license_id) = (row.get(1)?, row.get::<_, Option<String>>(2)?);
            let key = Option::zip(tenant_id, license_id);
            let key = key.map(|(tenant_id, license_id)| LicenseKey {
                tenant_id,
                license_id,
            });
            Ok((row.get(0)?, key))
        })?;
        let reader = collected.reader(count, after);
        let loaded = side_by_side(
            reins,
            |hand_on| reader.read(reins, &mut |part| hand_on(Folded::of(part)?)),
            |part| self.load_part(part, now),
        )?;
        if loaded == Loaded::Stopped {
            return Ok(loaded);
        }
        crash::point(crash::BEFORE_INDEXES);
        for index in INDEXES.split_inclusive(';') {
            self.connection.execute_batch(index)?;
        }
        self.load_late(collected, count, now, reins)?;
        crash::point(crash::BEFORE_LOADED);
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        transaction.execute_batch("drop table loading; drop table late")?;
        transaction.commit()?;
        Ok(Loaded::Whole)
    }

    fn load_part(&mut self, folded: Folded, now: i64) -> Result<(), Error> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        write_new(&transaction, self.seed, now, folded.changes)?;
        let part = folded.part;
        for key in &part.late {
            let sql = "insert or ignore into late (tenant_id, license_id) values (?1, ?2)";
            let mut statement = transaction.prepare_cached(sql)?;
            statement.execute([&key.tenant_id, &key.license_id])?;
        }
        if let Some(last) = &part.last {
            let sql = "update loading set loaded = loaded + ?1, tenant_id = ?2, license_id = ?3";
            let shares = part.shares.cast_signed();
            let mut statement = transaction.prepare_cached(sql)?;
            statement.execute(params![shares, last.tenant_id, last.license_id])?;
        }
        crash::point(crash::WHILE_LOADING);
        transaction.commit()?;
        Ok(())
    }

    /// Folds what is too much to be folded at once, part after part, as a projector would. What of it is there
    /// already counts once.
    fn load_late(
        &mut self,
        collected: &Collected,
        count: i64,
        now: i64,
        reins: &Reins,
    ) -> Result<(), Error> {
        let sql = "select tenant_id, license_id from late";
        let late: Vec<LicenseKey> = self
            .connection
            .prepare(sql)?
            .query_map([], |row| {
                Ok(LicenseKey {
                    tenant_id: row.get(0)?,
                    license_id: row.get(1)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        for key in late {
            let key = Arc::new(key);
            collected.each_of(&key, (count, reins.part_bytes()), |batch| {
                if reins.is_stopped() {
                    return Err(Error::Away("it was asked to stop".into()));
                }
                let behavior = TransactionBehavior::Immediate;
                let transaction = self.connection.transaction_with_behavior(behavior)?;
                write_more(&transaction, self.seed, now, (Arc::clone(&key), batch))?;
                crash::point(crash::WHILE_LOADING);
                transaction.commit()?;
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// A part whose licenses are folded, from nothing.
struct Folded {
    part: Part,
    changes: Vec<LicenseChange>,
}

impl Folded {
    fn of(mut part: Part) -> Result<Self, Error> {
        let licenses = std::mem::take(&mut part.licenses).into_iter();
        let changes = licenses.map(|(key, packed)| {
            let batch = unpack(&key, packed)?;
            Ok(fold_from_nothing(key, batch))
        });
        Ok(Self {
            changes: changes.collect::<Result<_, Error>>()?,
            part,
        })
    }
}

/// Writes licenses that are not there yet.
fn write_new(
    transaction: &Transaction<'_>,
    seed: u64,
    now: i64,
    changes: Vec<LicenseChange>,
) -> Result<(), Error> {
    let mut writer = Writer::new(transaction, seed, now)?;
    let mut tenants = Tenants::new(transaction)?;
    let (mut difference, mut digest) = (Difference::default(), DigestChange::default());
    for change in changes {
        let found = Found::new_of(tenants.number(&change.key.tenant_id)?);
        difference.license(None, &change);
        digest.add(&change);
        writer.write(&found, &change)?;
    }
    digest.write(transaction)?;
    totals::write(difference, transaction, None)
}

/// Folds and writes more of a license, some of which may be there already.
fn write_more(
    transaction: &Transaction<'_>,
    seed: u64,
    now: i64,
    license: (Arc<LicenseKey>, PackedBatch),
) -> Result<(), Error> {
    let mut writer = Writer::new(transaction, seed, now)?;
    let mut applied = Applied::default();
    // Its row is read as it stands.
    let cache = &mut Cache::new(0);
    let difference = write_licenses(transaction, &mut writer, cache, vec![license], &mut applied)?;
    totals::write(difference, transaction, None)
}
