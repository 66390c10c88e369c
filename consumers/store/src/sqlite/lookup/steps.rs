//! How many of SQLite's steps a question takes, for tests that hold the work to what it is for.

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
    let name = format!("licenseflow-steps-{}", Uuid::now_v7().simple());
    let folder = std::env::temp_dir().join(name);
    let path = folder.join("licenseflow.db");
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
    drop(snapshot);
    std::fs::remove_dir_all(folder).unwrap();
}
