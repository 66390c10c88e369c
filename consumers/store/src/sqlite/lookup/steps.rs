//! How many of SQLite's steps a question takes, for tests that hold the work to what it is for.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use licenseflow_core::Batch;
use rusqlite::Connection;
use uuid::Uuid;

use super::Snapshot;
use crate::read_model::ReadModel;
use crate::sqlite::{SqliteModel, SqliteOptions};

/// Asks of a file that holds these batches; what is called between two questions gives the steps since it
/// was last called.
pub(super) fn counted(
    batches: impl IntoIterator<Item = Batch>,
    questions: impl FnOnce(&Snapshot<'_>, &dyn Fn() -> u64),
) {
    let folder = Folder::new("steps");
    let path = folder.file();
    let mut model = SqliteModel::open(&path, SqliteOptions::default()).unwrap();
    for batch in batches {
        model.apply(batch, 0).unwrap();
    }
    drop(model);
    let mut connection = Connection::open(&path).unwrap();
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let count = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        false
    };
    connection.progress_handler(1, Some(count)).unwrap();
    let snapshot = Snapshot::begin(&connection, 0).unwrap();
    questions(&snapshot, &|| steps.swap(0, Ordering::Relaxed));
}

/// Where a test's file lies; it goes when it is dropped, also where the test fails.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let name = format!("licenseflow-{name}-{}", Uuid::now_v7().simple());
        Self(std::env::temp_dir().join(name))
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join("licenseflow.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that cannot be removed spoils no test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
