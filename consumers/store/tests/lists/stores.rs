//! The stores that a test runs on, each with a place of its own.

use std::path::PathBuf;

use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{Lookup, PostgresLookup, ReadModel, SqliteLookup, SqliteModel};
use uuid::Uuid;

use crate::postgres::{Schema, runtime};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Where a store lies; it goes when it is dropped.
pub(crate) enum Place {
    Folder(PathBuf),
    Schema(Schema),
}

impl Place {
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => {
                let name = format!("licenseflow-lists-{}", Uuid::now_v7().simple());
                Self::Folder(std::env::temp_dir().join(name))
            }
            Kind::Postgres => Self::Schema(Schema::new()),
        }
    }

    pub(crate) fn model(&self) -> Box<dyn ReadModel> {
        match self {
            Self::Folder(folder) => {
                let options = SqliteOptions::default();
                Box::new(SqliteModel::open(&file(folder), options).unwrap())
            }
            Self::Schema(schema) => Box::new(schema.open()),
        }
    }

    pub(crate) fn lookup(&self, readers: usize) -> Box<dyn Lookup> {
        match self {
            Self::Folder(folder) => Box::new(SqliteLookup::open(&file(folder), readers).unwrap()),
            Self::Schema(schema) => {
                let (url, name) = (schema.url(), schema.name());
                let lookup = PostgresLookup::open(url, name, readers, runtime());
                Box::new(lookup.unwrap())
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Folder(folder) = self {
            // A folder that cannot be removed spoils no test.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn file(folder: &std::path::Path) -> PathBuf {
    folder.join("licenseflow.db")
}

/// Makes each of these a test on every store.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name(crate::stores::Kind::Sqlite); })*
        }
        mod on_postgres {
            $(#[test] fn $name() { super::$name(crate::stores::Kind::Postgres); })*
        }
    };
}
pub(crate) use on_every_store;
