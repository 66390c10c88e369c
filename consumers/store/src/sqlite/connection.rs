//! Opening the file: settings, schema, and what SQLite's errors mean to us.

use std::path::Path;
use std::time::Duration;

use licenseflow_core::crash;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use super::loading;
use crate::columns::new_hash_seed;
use crate::generations::{FIRST, check_fold};
use crate::{Error, Patience};

/// `PRAGMA application_id` of our files: "LICF".
const APPLICATION_ID: i32 = 0x4c49_4346;

/// The version of `schema.sql` and of what lies in its blobs; a file of another is refused.
const SCHEMA_VERSION: i32 = 6;

/// How long a call waits for SQLite's own locks before the store counts as busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a file is opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Which generation the file is, where it is made.
    pub generation: i64,
    /// What the store keeps at hand, in MiB: a quarter of it pages, the rest licenses' rows. Part of the
    /// projector's ceiling on memory.
    pub cache_mib: usize,
    /// How far `occurred_at` may be ahead of a record's timestamp, in microseconds. It is kept with
    /// the generation, since rows are a function of the records only as long as it stays the same.
    pub max_future_skew_micros: i64,
    /// Whether it collects before it loads, where it is made; see [`crate::loading`].
    pub collects: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            generation: FIRST,
            collects: false,
            cache_mib: 128,
            max_future_skew_micros: 300_000_000,
        }
    }
}

impl SqliteOptions {
    fn pages_mib(self) -> usize {
        (self.cache_mib / 4).max(1)
    }

    /// The bound of the rows at hand, in bytes.
    pub(crate) fn rows_bytes(self) -> usize {
        (self.cache_mib - self.cache_mib / 4) << 20
    }
}

/// Opens the file for its one writer, and makes or migrates the schema.
pub(crate) fn open_writer(path: &Path, options: SqliteOptions) -> Result<Connection, Error> {
    if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| unusable(path, &error))?;
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    let version = check_identity(&connection, path)?;
    connection.pragma_update(None, "page_size", 8192)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A power loss may take the last commits; positions went with them, and the log gives them back.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "cache_size", cache_size(options.pages_mib()))?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "journal_size_limit", 256 * 1024 * 1024)?;
    if version < SCHEMA_VERSION {
        migrate(&mut connection, options)?;
    }
    let kept = max_future_skew_micros(&connection)?;
    if kept != options.max_future_skew_micros {
        let error = format_args!(
            "its read model was built with a max future skew of {} s, and this start has {} s; start with \
             the former, or give --store another path and build anew from the log",
            kept / 1_000_000,
            options.max_future_skew_micros / 1_000_000
        );
        return Err(unusable(path, &error));
    }
    check_fold(fold_version(&connection)?).map_err(|error| unusable(path, &error))?;
    Ok(connection)
}

/// Opens the file for small changes beside its writer, in the writer's own process.
pub(crate) fn open_beside(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    keep_plans(&connection)?;
    if check_identity(&connection, path)? < SCHEMA_VERSION {
        return Err(Error::Away(
            format!("{} has no read model yet", path.display()).into(),
        ));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    // The log is copied beside the writer.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", cache_size(2))?;
    Ok(connection)
}

/// Opens the file for reading alone.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_handler(Some(is_waited_for))?;
    keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    if check_identity(&connection, path)? < SCHEMA_VERSION {
        return Err(Error::Away(
            format!(
                "{} has no read model yet; start `licenseflow project`",
                path.display()
            )
            .into(),
        ));
    }
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", cache_size(16))?;
    Ok(connection)
}

/// Keeps a statement's plan whatever values are bound to it. SQLite would make it anew for each value that
/// might call for another, at many times what a look-up of one row takes.
fn keep_plans(connection: &Connection) -> Result<(), Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// How long a reader lets SQLite's own lock be before it asks for it again.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Whether a reader goes on waiting for one of SQLite's own locks, which it has asked for so often. Those
/// are held for a moment, as when the file is opened after a crash.
fn is_waited_for(attempts: i32) -> bool {
    let is_over = BUSY_PAUSE * attempts.unsigned_abs() >= BUSY_TIMEOUT || Patience::is_over();
    if !is_over {
        std::thread::sleep(BUSY_PAUSE);
    }
    !is_over
}

/// A negative `cache_size` is in KiB.
fn cache_size(mib: usize) -> i64 {
    -(mib as i64 * 1024)
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Unusable(format!(
        "{} cannot be used as a store: {error}",
        path.display()
    ))
}

/// The schema's version; 0 for an empty file.
fn check_identity(connection: &Connection, path: &Path) -> Result<i32, Error> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let version = pragma("user_version").map_err(|error| identity_error(path, error))?;
    let application = pragma("application_id").map_err(|error| identity_error(path, error))?;
    let tables: i64 =
        connection.query_row("select count(*) from sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(0);
    }
    if application != APPLICATION_ID {
        return Err(unusable(
            path,
            &"it is an SQLite file of another program; give --store another path",
        ));
    }
    if (1..SCHEMA_VERSION).contains(&version) {
        return Err(unusable(
            path,
            &"it was written before the first release; give --store another path and build anew from the log",
        ));
    }
    if version > SCHEMA_VERSION {
        return Err(unusable(
            path,
            &format_args!(
                "it was written by a later release (schema {version}, this one knows {SCHEMA_VERSION}); \
                 run that release, or give --store another path and build anew from the log"
            ),
        ));
    }
    Ok(version)
}

/// A file that is no database is the user's mistake, not a broken store.
fn identity_error(path: &Path, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            unusable(path, &"it is not an SQLite file; give --store another path")
        }
        _ => error.into(),
    }
}

/// Makes the tables in one transaction: there is no file with half a schema.
fn migrate(connection: &mut Connection, options: SqliteOptions) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    let rest = match options.collects {
        true => loading::TABLES,
        false => loading::INDEXES,
    };
    transaction.execute_batch(rest)?;
    crash::point(crash::IN_MIGRATION);
    transaction.execute(
        "insert into meta (name, value)
         values ('hash_seed', ?1), ('generation', ?2), ('max_future_skew_micros', ?3), ('fold_version', ?4)",
        [
            new_hash_seed().cast_signed(),
            options.generation,
            options.max_future_skew_micros,
            licenseflow_core::fold::version(),
        ],
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// The secret that clients' ids are hashed with.
pub(crate) fn hash_seed(connection: &Connection) -> Result<u64, Error> {
    let sql = "select value from meta where name = 'hash_seed'";
    let seed: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(seed.cast_unsigned())
}

/// What the generation judges records by; see [`SqliteOptions`].
pub(crate) fn max_future_skew_micros(connection: &Connection) -> Result<i64, Error> {
    let sql = "select value from meta where name = 'max_future_skew_micros'";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// The version of the fold that the generation is built by.
pub(crate) fn fold_version(connection: &Connection) -> Result<i64, Error> {
    let sql = "select value from meta where name = 'fold_version'";
    let found = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(licenseflow_core::fold::FIRST_VERSION))
}

/// The generation that the file holds.
pub(crate) fn generation(connection: &Connection) -> Result<i64, Error> {
    let mut statement =
        connection.prepare_cached("select value from meta where name = 'generation'")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::FileLockingProtocolFailed,
            ) => Error::Away(Box::new(error)),
            Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
                Error::Refused(Box::new(error))
            }
            _ => Error::Broken(Box::new(error)),
        }
    }
}
