//! A batch's licenses as every store takes them.

use std::sync::Arc;

use licenseflow_avro::LicenseKey;
use licenseflow_core::{LicenseBatch, PackedBatch};

use crate::Error;

/// The licenses in the order of their keys: in which stores number and lock them.
pub(crate) fn sorted(
    licenses: impl IntoIterator<Item = (Arc<LicenseKey>, PackedBatch)>,
) -> Vec<(Arc<LicenseKey>, PackedBatch)> {
    let mut licenses: Vec<_> = licenses.into_iter().collect();
    licenses.sort_unstable_by(|one: &(Arc<LicenseKey>, _), other| one.0.cmp(&other.0));
    licenses
}

/// A license's events, which were packed from events and can be read back.
pub(crate) fn unpack(key: &LicenseKey, packed: PackedBatch) -> Result<LicenseBatch, Error> {
    packed
        .unpack(key)
        .map_err(|fault| Error::broken(format!("an event of {}: {fault}", key.license_id)))
}
