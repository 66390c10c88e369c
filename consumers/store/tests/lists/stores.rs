//! The stores that a test runs on, each with a place of its own.

use std::path::PathBuf;

use licenseflow_store::postgres::PostgresOptions;
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{
    Lookup, PostgresLookup, PostgresModel, ReadModel, SqliteLookup, SqliteModel,
};
use uuid::Uuid;

use crate::postgres::{Schema, runtime, server::Postgres};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Where a store lies; it goes when it is dropped.
pub(crate) enum Place {
    Folder(PathBuf),
    Schema(Schema),
    /// A server on which nobody else asks anything, so that what it counts is this test's doing.
    Server(Postgres),
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

    pub(crate) fn alone_on_a_server() -> Self {
        Self::Server(Postgres::own().unwrap())
    }

    pub(crate) fn model(&self) -> Box<dyn ReadModel> {
        match self {
            Self::Folder(folder) => {
                let options = SqliteOptions::default();
                Box::new(SqliteModel::open(&file(folder), options).unwrap())
            }
            Self::Schema(schema) => Box::new(schema.open()),
            Self::Server(server) => {
                let options = PostgresOptions::default();
                Box::new(PostgresModel::open(server.url(), &options, runtime()).unwrap())
            }
        }
    }

    pub(crate) fn lookup(&self, readers: usize) -> Box<dyn Lookup> {
        match self {
            Self::Folder(folder) => Box::new(SqliteLookup::open(&file(folder), readers).unwrap()),
            Self::Schema(schema) => on_postgres(schema.url(), schema.name(), readers),
            Self::Server(server) => {
                on_postgres(server.url(), &PostgresOptions::default().schema, readers)
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

fn on_postgres(url: &str, schema: &str, readers: usize) -> Box<dyn Lookup> {
    Box::new(PostgresLookup::open(url, schema, readers, runtime()).unwrap())
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
