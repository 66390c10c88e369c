//! Where an archive lies: a folder, or a bucket of an S3-compatible store with a prefix.
//!
//! Files are written whole or not at all: a folder's under a temporary name first, and they are on the disk when
//! writing returns. Everything here blocks; it must be called from a thread that may.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use licenseflow_avro::causes::chain;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};
use tokio::runtime::Handle;

use crate::{Error, Result};

/// How long a store that fails for the moment is tried again.
const TRIED_FOR: Duration = Duration::from_secs(30);

/// The address of a place, as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A folder.
    Folder(PathBuf),
    /// A bucket, and where in it.
    S3 {
        /// The bucket.
        bucket: String,
        /// What every file's name begins with; may be empty.
        prefix: String,
    },
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let expected = "expected a folder, as /PATH or file:///PATH, or s3://BUCKET/PREFIX";
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(expected.to_owned());
            }
            return Ok(Address::S3 {
                bucket: bucket.to_owned(),
                prefix: prefix.trim_matches('/').to_owned(),
            });
        }
        if let Some(rest) = text.strip_prefix("file://") {
            let decoded = percent_encoding::percent_decode_str(rest).decode_utf8();
            return match decoded {
                Ok(path) if path.starts_with('/') => {
                    Ok(Address::Folder(PathBuf::from(path.as_ref())))
                }
                Ok(_) | Err(_) => Err(expected.to_owned()),
            };
        }
        if text.is_empty() || text.contains("://") {
            return Err(expected.to_owned());
        }
        Ok(Address::Folder(PathBuf::from(text)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Folder(path) => write!(formatter, "{}", path.display()),
            Address::S3 { bucket, prefix } if prefix.is_empty() => {
                write!(formatter, "s3://{bucket}")
            }
            Address::S3 { bucket, prefix } => write!(formatter, "s3://{bucket}/{prefix}"),
        }
    }
}

/// A place that is open.
#[derive(Debug, Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    shown: String,
    runtime: Handle,
}

impl Place {
    /// Opens a place to read from; a folder must be there. `runtime` does the waiting.
    ///
    /// # Errors
    /// The folder is not there, or what the environment says of the store cannot be.
    pub fn open(address: &Address, runtime: Handle) -> Result<Place> {
        let store: Arc<dyn ObjectStore> = match address {
            Address::Folder(folder) => {
                let found = folder.canonicalize().map_err(|source| Error::NoFolder {
                    folder: folder.display().to_string(),
                    source,
                })?;
                let store = LocalFileSystem::new_with_prefix(found)
                    .map_err(|source| of_place("open the folder", address, source))?;
                Arc::new(store.with_fsync(true))
            }
            Address::S3 { bucket, prefix } => {
                let store = bucket_of(bucket)
                    .build()
                    .map_err(|source| of_place("open the bucket", address, source))?;
                Arc::new(PrefixStore::new(store, prefix.as_str()))
            }
        };
        Ok(Place::over(store, address, runtime))
    }

    /// Opens a place to write to: a folder is made where there is none.
    ///
    /// # Errors
    /// As [`Place::open`], and the folder cannot be made.
    pub fn make(address: &Address, runtime: Handle) -> Result<Place> {
        if let Address::Folder(folder) = address {
            std::fs::create_dir_all(folder).map_err(|source| Error::NoFolder {
                folder: folder.display().to_string(),
                source,
            })?;
        }
        Place::open(address, runtime)
    }

    pub(crate) fn over(
        store: Arc<dyn ObjectStore>,
        shown: impl fmt::Display,
        runtime: Handle,
    ) -> Place {
        Place {
            store,
            shown: shown.to_string(),
            runtime,
        }
    }

    /// A file's name with its place, for people.
    pub(crate) fn named(&self, file: &str) -> String {
        format!("{}/{file}", self.shown)
    }

    /// Writes a file, whole or not at all, over what is there under its name.
    pub(crate) fn put(&self, file: &str, content: Bytes) -> Result<()> {
        let payload = PutPayload::from_bytes(content);
        let path = Path::from(file);
        let put = self.runtime.block_on(self.store.put(&path, payload));
        put.map(|_| ())
            .map_err(|source| self.failed(&format!("write {file}"), source))
    }

    /// A file's content; none where it is not there.
    pub(crate) fn get(&self, file: &str) -> Result<Option<Bytes>> {
        let path = Path::from(file);
        let get = async { self.store.get(&path).await?.bytes().await };
        match self.runtime.block_on(get) {
            Ok(content) => Ok(Some(content)),
            Err(source) if is_absence(&source) => Ok(None),
            Err(source) => Err(self.failed(&format!("read {file}"), source)),
        }
    }

    /// The names and lengths of all files below a folder.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        let path = Path::from(folder);
        let all = self.store.list(Some(&path)).try_collect::<Vec<_>>();
        let all = self
            .runtime
            .block_on(all)
            .map_err(|source| self.failed("list the files", source))?;
        let each = all.into_iter();
        Ok(each
            .map(|found| (found.location.to_string(), found.size))
            .collect())
    }

    /// Takes a file away that nothing names any more.
    pub(crate) fn delete(&self, file: &str) -> Result<()> {
        let path = Path::from(file);
        match self.runtime.block_on(self.store.delete(&path)) {
            Ok(()) => Ok(()),
            Err(source) if is_absence(&source) => Ok(()),
            Err(source) => Err(self.failed(&format!("delete {file}"), source)),
        }
    }

    fn failed(&self, operation: &str, source: object_store::Error) -> Error {
        of_place(operation, &self.shown, source)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

/// The bucket, as the environment says how it is reached.
fn bucket_of(bucket: &str) -> AmazonS3Builder {
    let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    // Whoever names an address without TLS means it.
    let keys = [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint];
    let named = keys.iter().filter_map(|key| builder.get_config_value(key));
    let is_plain = named.into_iter().any(|url| url.starts_with("http://"));
    let builder = if is_plain {
        builder.with_allow_http(true)
    } else {
        builder
    };
    builder.with_retry(RetryConfig {
        retry_timeout: TRIED_FOR,
        ..RetryConfig::default()
    })
}

fn of_place(operation: &str, place: impl fmt::Display, source: object_store::Error) -> Error {
    let (operation, place) = (operation.to_owned(), place.to_string());
    if is_without_bucket(&source) {
        return Error::NoBucket { operation, place };
    }
    Error::Place {
        operation,
        place,
        source: Box::new(source),
    }
}

/// A file that is not there, in a place that is.
fn is_absence(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. }) && !is_without_bucket(error)
}

/// S3 says so only in the words of its answer.
fn is_without_bucket(error: &object_store::Error) -> bool {
    chain(error).contains("NoSuchBucket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_a_bucket_are_told_apart_and_all_else_is_refused() {
        let folder = |path: &str| Ok(Address::Folder(PathBuf::from(path)));
        let bucket = |bucket: &str, prefix: &str| {
            Ok(Address::S3 {
                bucket: bucket.to_owned(),
                prefix: prefix.to_owned(),
            })
        };
        assert_eq!("/a/b".parse(), folder("/a/b"));
        assert_eq!("a/b".parse(), folder("a/b"));
        assert_eq!("file:///a%20b".parse(), folder("/a b"));
        assert_eq!("s3://b".parse(), bucket("b", ""));
        assert_eq!("s3://b/x/y/".parse(), bucket("b", "x/y"));
        for text in ["", "s3://", "s3:///x", "gs://b", "file://a", "http://a/b"] {
            let said = text.parse::<Address>().unwrap_err();
            assert!(said.contains("s3://BUCKET"), "{text}: {said}");
        }
    }
}
