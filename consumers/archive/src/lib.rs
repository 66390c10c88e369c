//! Who keeps the log elsewhere: parts of the topics as files in a folder or an S3-compatible store, and the way
//! back into an empty cluster.
//!
//! It owns the form of those files, the manifest that names them, and the order in which both are written, so
//! that whatever dies at any moment leaves an archive that is whole. It must not know what is in a record: the
//! bytes are kept as they are. Nor does it know a read model: what is restored is a log, and read models are
//! built from it.

mod archive;
mod container;
mod error;
mod manifest;
mod mapping;
mod part;
mod place;
mod restore;
mod shelf;
mod source;
mod target;

pub use archive::{Archived, Job, Progress, archive};
pub use error::{Error, Result};
pub use manifest::{Holds, Manifest, Part, Topic};
pub use mapping::{PartitionMapping, mapping};
pub use place::{Address, Place};
pub use restore::{Checked, Restored, check, restore};
pub use shelf::Shelf;
pub use source::{LogSource, Source};
pub use target::Target;
