//! Making and migrating a generation's schema: once, forwards, and never half.

use licenseflow_core::crash;
use tokio_postgres::{Client, GenericClient, Transaction};

use super::connection::{Address, PostgresOptions};
use super::loading;
use crate::Error;
use crate::columns::new_hash_seed;
use crate::generations::check_fold;

/// Schemas up to this version were never released, and are refused.
const NEVER_RELEASED: usize = 3;

/// Each brings the schema from the version of its place, after those never released, to the next; none is
/// ever changed once it was released.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

/// What this release knows.
const VERSION: usize = NEVER_RELEASED + MIGRATIONS.len();

/// Only one process migrates at a time: "LICF".
const MIGRATION_LOCK: i64 = 0x4c49_4346;

/// What a generation knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) number: i64,
    /// The secret that clients' ids are hashed with.
    pub(crate) hash_seed: u64,
    pub(crate) max_future_skew_micros: i64,
}

/// Brings the schema to this release's version in one transaction, and reads what it is.
pub(crate) async fn migrate(
    client: &mut Client,
    address: &Address,
    options: &PostgresOptions,
) -> Result<Generation, Error> {
    let transaction = client.transaction().await?;
    // Who comes second waits for the first, which may take its time with large tables.
    transaction
        .batch_execute("set local lock_timeout to '60s'; set local statement_timeout to 0")
        .await?;
    let lock = "select pg_advisory_xact_lock($1)";
    transaction.execute(lock, &[&MIGRATION_LOCK]).await?;
    let version = version(&transaction, address.schema()).await?;
    if version < VERSION {
        for migration in &MIGRATIONS[version.saturating_sub(NEVER_RELEASED)..] {
            transaction.batch_execute(migration).await?;
        }
        if version == 0 {
            let rest = match options.collects {
                true => loading::TABLES,
                false => loading::INDEXES,
            };
            transaction.batch_execute(rest).await?;
        }
        crash::point(crash::IN_MIGRATION);
        note_version(&transaction, version, options).await?;
    }
    let generation = read(&transaction).await?;
    let fold = fold_version(&transaction).await?;
    transaction.commit().await?;
    check_fold(fold).map_err(|error| unusable(address.schema(), &error.to_string()))?;
    if generation.max_future_skew_micros != options.max_future_skew_micros {
        return Err(Error::Unusable(format!(
            "the read model in PostgreSQL was built with a max future skew of {} s, and this start has {} s; \
             start with the former, or build anew from the log into another database",
            generation.max_future_skew_micros / 1_000_000,
            options.max_future_skew_micros / 1_000_000
        )));
    }
    Ok(generation)
}

/// The version of the fold that the generation is built by.
pub(crate) async fn fold_version(client: &impl GenericClient) -> Result<i64, Error> {
    let sql = "select value from meta where name = 'fold_version'";
    let row = client.query_opt(sql, &[]).await?;
    let found = row.map(|row| row.try_get(0)).transpose()?;
    Ok(found.unwrap_or(licenseflow_core::fold::FIRST_VERSION))
}

/// How many migrations the schema has seen; it is made where it is not there yet.
async fn version(transaction: &Transaction<'_>, schema: &str) -> Result<usize, Error> {
    let sql = "select exists (select from pg_namespace where nspname = $1)";
    let is_there: bool = transaction.query_one(sql, &[&schema]).await?.get(0);
    if !is_there {
        let sql = format!("create schema {schema}");
        transaction.batch_execute(&sql).await?;
        return Ok(0);
    }
    let sql = "select count(*), count(*) filter (where tablename = 'meta') from pg_tables where schemaname = $1";
    let tables = transaction.query_one(sql, &[&schema]).await?;
    let (all, meta): (i64, i64) = (tables.get(0), tables.get(1));
    if all == 0 {
        return Ok(0);
    }
    let sql = "select value from meta where name = 'schema_version'";
    let version = match meta {
        0 => None,
        _ => transaction.query_opt(sql, &[]).await?,
    };
    let version: i64 = version
        .ok_or_else(|| unusable(schema, "it has another program's tables"))?
        .get(0);
    match usize::try_from(version) {
        Ok(version) if version <= NEVER_RELEASED => Err(never_released(schema)),
        Ok(version) if version <= VERSION => Ok(version),
        Ok(_) | Err(_) => Err(later_release(schema, version)),
    }
}

fn later_release(schema: &str, version: i64) -> Error {
    let known = VERSION;
    let why = format!(
        "it was written by a later release (schema {version}, this one knows {known}); run that release"
    );
    unusable(schema, &why)
}

fn never_released(schema: &str) -> Error {
    unusable(
        schema,
        "it was written before the first release; build anew from the log into another database",
    )
}

fn unusable(schema: &str, why: &str) -> Error {
    Error::Unusable(format!(
        "the schema {schema} in PostgreSQL cannot be used as a store: {why}"
    ))
}

async fn note_version(
    transaction: &Transaction<'_>,
    before: usize,
    options: &PostgresOptions,
) -> Result<(), Error> {
    if before == 0 {
        let sql = "insert into meta (name, value)
             values ('hash_seed', $1), ('generation', $2), ('max_future_skew_micros', $3), ('fold_version', $4)";
        transaction
            .execute(
                sql,
                &[
                    &new_hash_seed().cast_signed(),
                    &options.generation,
                    &options.max_future_skew_micros,
                    &licenseflow_core::fold::version(),
                ],
            )
            .await?;
    }
    let sql = "insert into meta (name, value) values ('schema_version', $1)
         on conflict (name) do update set value = excluded.value";
    transaction.execute(sql, &[&(VERSION as i64)]).await?;
    Ok(())
}

/// What a generation is that a writer has made, for one who only reads.
pub(crate) async fn known(client: &Client, schema: &str) -> Result<Generation, Error> {
    let meta = format!("{schema}.meta");
    let sql = "select to_regclass($1::text) is not null";
    let is_there: bool = client.query_one(sql, &[&meta]).await?.try_get(0)?;
    if !is_there {
        return Err(Error::Away(
            "PostgreSQL has no read model yet; start `licenseflow project`".into(),
        ));
    }
    let sql = "select value from meta where name = 'schema_version'";
    let version: i64 = client.query_one(sql, &[]).await?.try_get(0)?;
    let known = VERSION as i64;
    if version <= NEVER_RELEASED as i64 {
        return Err(never_released(schema));
    }
    if version > known {
        return Err(later_release(schema, version));
    }
    if version < known {
        return Err(Error::Away(
            "the read model in PostgreSQL is of an earlier release; start `licenseflow project` to \
             migrate it"
                .into(),
        ));
    }
    read(client).await
}

async fn read(client: &impl GenericClient) -> Result<Generation, Error> {
    let sql = "select (select value from meta where name = 'generation'),
           (select value from meta where name = 'hash_seed'),
           (select value from meta where name = 'max_future_skew_micros')";
    let row = client.query_one(sql, &[]).await?;
    let seed: i64 = row.try_get(1)?;
    Ok(Generation {
        number: row.try_get(0)?,
        hash_seed: seed.cast_unsigned(),
        max_future_skew_micros: row.try_get(2)?,
    })
}
