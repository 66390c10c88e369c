//! What became of records that did not count: rejected, waiting, or of a content that conflicts.

use licenseflow_avro::{Coordinates, LicenseKey, Offset};
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3Default;

use crate::Error;
use crate::columns::{Columns, coordinates, needed};

/// What became of a record, by where it lay first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FateRow {
    /// Where it lay first; a conflict: the least record that has its content.
    pub at: Coordinates,
    /// Why, by its name.
    pub reason: String,
    /// The license that it names, where it is known to name one.
    pub license: Option<LicenseKey>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a record that did not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was rejected for its own fault, or given up on.
    Rejected {
        /// [`content_of`] the record that is kept for its letter.
        content: u64,
    },
    /// Another content stands under its event id.
    Conflict {
        /// The license whose event it is; none: there is no such license.
        of: Option<LicenseKey>,
        /// The event id.
        event_id: Uuid,
        /// The content, as [`write_content`](licenseflow_avro::codec::write_content) writes it.
        body: Vec<u8>,
        /// The request that said it.
        request_id: Option<String>,
    },
    /// It waits for another try, or waited.
    Waiting {
        /// SHA-256 of its key and value: see [`record_hash`](licenseflow_core::batch::record_hash).
        hash: Vec<u8>,
        /// [`content_of`] the record that is kept; none: a try of it was accepted or given up on.
        content: Option<u64>,
        /// Where that try lay, in the same partition.
        settled_offset: Option<Offset>,
    },
}

/// Tells the keys and values of records apart.
#[must_use]
pub fn content_of(key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let mut hash = Xxh3Default::new();
    for bytes in [key, value] {
        // What is null is not what is empty.
        hash.update(&bytes.map_or(-1, |it| it.len() as i64).to_le_bytes());
        hash.update(bytes.unwrap_or_default());
    }
    hash.digest()
}

/// The columns that [`rejected_row`] reads; `{offset}` is the offset's own in each store.
pub(crate) fn rejected_columns(offset: &str) -> String {
    format!("timestamp_ms, lane, partition, {offset}, reason, tenant_id, license_id, key, value")
}

/// Reads [`rejected_columns`] of a row that is no conflict.
pub(crate) fn rejected_row(row: &impl Columns) -> Result<FateRow, Error> {
    let fate = Fate::Rejected {
        content: content_of(row.bytes(7)?, row.bytes(8)?),
    };
    fate_row(row, named(row, 5)?, fate)
}

/// The columns that [`conflict_row`] reads, of the table `rejected`; behind them stand tenant and license id of
/// the license.
pub(crate) fn conflict_columns(offset: &str) -> String {
    format!(
        "rejected.timestamp_ms, rejected.lane, rejected.partition, rejected.{offset}, rejected.reason, \
         rejected.tenant_id, rejected.license_id, rejected.event_id, rejected.body, rejected.request_id"
    )
}

/// Reads [`conflict_columns`] and the license behind them.
pub(crate) fn conflict_row(row: &impl Columns) -> Result<FateRow, Error> {
    let event_id = Uuid::from_slice(needed(row.bytes(7)?)?);
    let fate = Fate::Conflict {
        of: named(row, 10)?,
        event_id: event_id.map_err(|error| Error::Broken(error.into()))?,
        body: row.bytes(8)?.unwrap_or_default().to_vec(),
        request_id: row.text(9)?.map(ToOwned::to_owned),
    };
    fate_row(row, named(row, 5)?, fate)
}

/// The columns that [`waiting_row`] reads; `{offset}` is the offset's own in each store.
pub(crate) fn waiting_columns(offset: &str) -> String {
    format!(
        "timestamp_ms, lane, partition, {offset}, reason, content, key, value, settled_ms is null, settled_offset"
    )
}

/// Reads [`waiting_columns`].
pub(crate) fn waiting_row(row: &impl Columns) -> Result<FateRow, Error> {
    let is_open = needed(row.boolean(8)?)?;
    let content = is_open.then_some(content_of(row.bytes(6)?, row.bytes(7)?));
    let fate = Fate::Waiting {
        hash: needed(row.bytes(5)?)?.to_vec(),
        content,
        settled_offset: row.integer(9)?,
    };
    fate_row(row, None, fate)
}

fn fate_row(row: &impl Columns, license: Option<LicenseKey>, fate: Fate) -> Result<FateRow, Error> {
    Ok(FateRow {
        at: coordinates(row, 0)?,
        reason: needed(row.text(4)?)?.to_owned(),
        license,
        fate,
    })
}

/// Reads tenant and license id, where both are there.
fn named(row: &impl Columns, first: usize) -> Result<Option<LicenseKey>, Error> {
    Ok(match (row.text(first)?, row.text(first + 1)?) {
        (Some(tenant_id), Some(license_id)) => Some(LicenseKey {
            tenant_id: tenant_id.to_owned(),
            license_id: license_id.to_owned(),
        }),
        (None | Some(_), None) | (None, Some(_)) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_null_is_not_what_is_empty_and_a_key_is_no_value() {
        let contents = [
            content_of(None, None),
            content_of(Some(b""), None),
            content_of(None, Some(b"")),
            content_of(Some(b"a"), Some(b"b")),
            content_of(Some(b"ab"), Some(b"")),
        ];
        for (at, one) in contents.iter().enumerate() {
            assert!(!contents[at + 1..].contains(one), "{at}");
        }
    }
}
