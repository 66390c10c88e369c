//! A store in a folder of its own, and the records that are thrown at it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use licenseflow_avro::record::Header;
use licenseflow_avro::{Coordinates, LicenseEvent};
use licenseflow_core::Batch;
use licenseflow_core::batch::Envelope;
use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{ReadModel, SqliteModel};

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

    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("licenseflow.db")
    }

    pub(crate) fn open(&self) -> SqliteModel {
        SqliteModel::open(
            &self.store(),
            SqliteOptions {
                cache_mib: 8,
                ..SqliteOptions::default()
            },
        )
        .unwrap()
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
