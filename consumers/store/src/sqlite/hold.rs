//! One projector a file: whoever writes holds a lock beside it, and says who it is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::Error;

/// Held as long as it lives; the operating system lets go of it when the process ends, however.
#[derive(Debug)]
pub(crate) struct Hold {
    _file: File,
}

impl Hold {
    /// Takes the lock beside the store's file, or says who has it.
    pub(crate) fn take(store: &Path) -> Result<Self, Error> {
        let path = lock_path(store);
        if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| away(&path, error))?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| away(&path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who holds it is a courtesy: the lock itself is what counts.
                let _ = file.read_to_string(&mut holder);
                return Err(Error::Held {
                    path: store.display().to_string(),
                    holder: if holder.is_empty() {
                        "another process".to_owned()
                    } else {
                        holder
                    },
                });
            }
            Err(TryLockError::Error(error)) => return Err(away(&path, error)),
        }
        let note = format!("process {}", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(|error| away(&path, error))?;
        Ok(Self { _file: file })
    }
}

fn lock_path(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn away(path: &Path, error: std::io::Error) -> Error {
    Error::Unusable(format!("{} cannot be written: {error}", path.display()))
}
