//! What license events mean: the event set, the fold, the batch, the digest.
//!
//! Pure: no Kafka, no SQL, no tokio, no clock. A store gives a license's past and gets back its
//! change; everything between is here. Rows are a function of the set of records, whatever their
//! order, duplicates and batches.

pub mod batch;
pub mod canonical;
pub mod crash;
pub mod device;
pub mod digest;
pub mod event_counts;
pub mod event_set;
pub mod fate;
pub mod fold;
pub mod fold_version;
pub mod license;
pub mod moment;
pub mod naive;
pub mod order;
pub mod status;
pub mod totals;

/// The contract, for rooms that read what the fold made and never decode a record themselves.
pub use licenseflow_avro as contract;

pub use batch::{Batch, JourneyEntry, LicenseBatch, PackedBatch, Rejected, Span, Try, Waiting};
pub use device::DeviceState;
pub use digest::{Buckets, RowDigest};
pub use event_set::RecordedEvent;
pub use fate::Fate;
pub use fold::{FoldedLicense, LicenseChange, LicensePast, WholePast};
pub use license::LicenseState;
pub use moment::Moment;
pub use order::OrderKey;
