//! A folder of a test's own, gone with its owner.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context;

/// A temporary folder, removed on drop; kept where the test is failing, for reading.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes a new folder whose name begins with `licenseflow-` and `name`.
    ///
    /// # Errors
    /// Where the system's temporary folder cannot be written.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let unique = uuid::Uuid::now_v7().simple();
        let path = env::temp_dir().join(format!("licenseflow-{name}-{unique}"));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // A folder that cannot be removed spoils no test; the system clears it in time.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
