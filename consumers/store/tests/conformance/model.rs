//! The stores, each in a place of one test's own, and the records that are thrown at them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, LicenseEvent};
use licenseflow_core::batch::Envelope;
use licenseflow_core::{Batch, Buckets};
use licenseflow_store::generations;
use licenseflow_store::postgres::PostgresOptions;
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{
    DeadLetters, Error, Generations, KeptTotals, Lookup, PostgresGenerations, PostgresLetters,
    PostgresLookup, PostgresModel, ReadModel, SqliteGenerations, SqliteLetters, SqliteLookup,
    SqliteModel,
};

use crate::postgres::{Schema, in_schema, runtime};

/// Makes each of these a test on every store.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name::<crate::model::Folder>(); })*
        }
        mod postgres {
            $(#[test] fn $name() { super::$name::<crate::postgres::Schema>(); })*
        }
    };
}
pub(crate) use on_every_store;

/// How far ahead a record may say that it happened, unless a test wants another bound.
const SKEW_MICROS: i64 = 300_000_000;

/// How long a file may seem to be held that nobody writes.
const HOLD_MAX: Duration = Duration::from_secs(10);

/// Where a store lies; it goes when it is dropped.
pub(crate) trait Place {
    type Model: Model;

    /// So many schedules are run where nobody says how many: a store that is asked over a network
    /// takes longer for each.
    const SCHEDULES: u32;

    fn new() -> Self;

    fn open_with(&self, max_future_skew_micros: i64) -> Result<Self::Model, Error>;

    fn open(&self) -> Self::Model {
        self.open_with(SKEW_MICROS).unwrap()
    }

    /// One that collects before it loads, where none is there yet.
    fn open_collecting(&self) -> Self::Model;

    /// From now on the store refuses every new license of this id.
    fn refuse(&self, license_id: &str);

    fn lookup(&self) -> Box<dyn Lookup>;

    fn letters(&self) -> Box<dyn DeadLetters>;

    /// The generations, the one that is opened first among them.
    fn generations(&self) -> Box<dyn Generations>;
}

/// A store, its digests and its totals.
pub(crate) trait Model: generations::Model {
    fn kept(&mut self) -> Buckets;

    fn recounted(&mut self) -> Buckets;

    fn totals_kept(&mut self) -> KeptTotals;

    fn totals_recounted(&mut self) -> KeptTotals;
}

impl Model for SqliteModel {
    fn kept(&mut self) -> Buckets {
        self.kept_digest().unwrap()
    }

    fn recounted(&mut self) -> Buckets {
        self.recount().unwrap()
    }

    fn totals_kept(&mut self) -> KeptTotals {
        self.kept_totals().unwrap()
    }

    fn totals_recounted(&mut self) -> KeptTotals {
        self.recount_totals().unwrap()
    }
}

impl Model for PostgresModel {
    fn kept(&mut self) -> Buckets {
        self.kept_digest().unwrap()
    }

    fn recounted(&mut self) -> Buckets {
        self.recount().unwrap()
    }

    fn totals_kept(&mut self) -> KeptTotals {
        self.kept_totals().unwrap()
    }

    fn totals_recounted(&mut self) -> KeptTotals {
        self.recount_totals().unwrap()
    }
}

impl Place for Folder {
    type Model = SqliteModel;

    const SCHEDULES: u32 = 1000;

    fn new() -> Self {
        Folder::new()
    }

    fn open_with(&self, max_future_skew_micros: i64) -> Result<SqliteModel, Error> {
        let options = SqliteOptions {
            cache_mib: 8,
            max_future_skew_micros,
            ..SqliteOptions::default()
        };
        // A process that another test starts at this moment has this one's files, and so the hold of a
        // model that just died, until it becomes the program that was meant.
        let begun = Instant::now();
        loop {
            match SqliteModel::open(&self.store(), options) {
                Err(Error::Held { .. }) if begun.elapsed() < HOLD_MAX => std::thread::yield_now(),
                opened => return opened,
            }
        }
    }

    fn open_collecting(&self) -> SqliteModel {
        let options = SqliteOptions {
            collects: true,
            ..SqliteOptions::default()
        };
        SqliteModel::open(&self.store(), options).unwrap()
    }

    fn refuse(&self, license_id: &str) {
        let sql = format!(
            "create trigger rule before insert on license when new.license_id = '{license_id}'
             begin select raise(abort, 'the test says so'); end"
        );
        let connection = rusqlite::Connection::open(self.store()).unwrap();
        connection.execute_batch(&sql).unwrap();
    }

    fn lookup(&self) -> Box<dyn Lookup> {
        Box::new(SqliteLookup::open(&self.store(), 1).unwrap())
    }

    fn letters(&self) -> Box<dyn DeadLetters> {
        Box::new(SqliteLetters::open(&self.store()).unwrap())
    }

    fn generations(&self) -> Box<dyn Generations> {
        let options = SqliteOptions::default();
        Box::new(SqliteGenerations::of(&self.store(), options))
    }
}

impl Place for Schema {
    type Model = PostgresModel;

    const SCHEDULES: u32 = 100;

    fn new() -> Self {
        Schema::new()
    }

    fn open_with(&self, max_future_skew_micros: i64) -> Result<PostgresModel, Error> {
        let options = PostgresOptions {
            max_future_skew_micros,
            ..self.options()
        };
        PostgresModel::open(self.url(), &options, runtime())
    }

    fn open_collecting(&self) -> PostgresModel {
        let options = PostgresOptions {
            collects: true,
            ..self.options()
        };
        PostgresModel::open(self.url(), &options, runtime()).unwrap()
    }

    fn refuse(&self, license_id: &str) {
        let sql =
            format!("alter table license add constraint rule check (license_id <> '{license_id}')");
        let client = in_schema(self.name());
        runtime().block_on(client.batch_execute(&sql)).unwrap();
    }

    fn lookup(&self) -> Box<dyn Lookup> {
        let lookup = PostgresLookup::open(self.url(), self.name(), 1, runtime());
        Box::new(lookup.unwrap())
    }

    fn letters(&self) -> Box<dyn DeadLetters> {
        let letters = PostgresLetters::open(self.url(), self.name(), runtime());
        Box::new(letters.unwrap())
    }

    fn generations(&self) -> Box<dyn Generations> {
        let generations = PostgresGenerations::of(self.url(), self.options(), runtime());
        Box::new(generations.unwrap())
    }
}

/// A folder that goes when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "licenseflow-store-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("licenseflow.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An accepted record.
pub(crate) type Accepted = (Coordinates, LicenseEvent);

/// A batch of accepted records that moves no position.
pub(crate) fn batch_of<'a>(records: impl IntoIterator<Item = &'a Accepted>) -> Batch {
    let mut batch = Batch::default();
    for (at, event) in records {
        batch.accept(*at, envelope(*at), event);
    }
    batch
}

/// Every third record has a request id.
pub(crate) fn envelope(at: Coordinates) -> Envelope {
    let headers = [Header {
        name: "x-request-id".to_owned(),
        value: Some(format!("request-{}", at.offset % 5).into_bytes()),
    }];
    if at.offset % 3 == 0 {
        Envelope::of(&headers)
    } else {
        Envelope::default()
    }
}

/// Applies, and gives the number of letters that were opened.
pub(crate) fn apply(model: &mut impl ReadModel, batch: Batch) -> usize {
    model.apply(batch, 1_800_000_000_000).unwrap().letters
}
