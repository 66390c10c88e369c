//! What the embedded store does with files.

use licenseflow_store::sqlite::SqliteOptions;
use licenseflow_store::{Error, SqliteModel};

use crate::model::{Folder, Place as _};

#[test]
fn the_second_writer_of_a_file_is_told_who_holds_it() {
    let folder = Folder::new();
    let _model = folder.open();
    let error = SqliteModel::open(&folder.store(), SqliteOptions::default()).unwrap_err();
    assert!(
        matches!(&error, Error::Held { holder, .. } if holder.contains(&std::process::id().to_string())),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    std::fs::write(
        folder.store(),
        b"some text that is no database, and long enough to have a header",
    )
    .unwrap();
    let error = SqliteModel::open(&folder.store(), SqliteOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Unusable(_)), "{error}");
    assert!(
        std::fs::read(folder.store())
            .unwrap()
            .starts_with(b"some text")
    );
}
