//! Where a page ended, as text that only we read.
//!
//! A cursor carries what the list was asked for, so that the next page cannot be of another list. Its
//! checksum tells one that was cut or changed; it guards nothing, since a cursor gives no rights.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use licenseflow_runtime::http::Problem;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::answer::Failure;
use crate::params::invalid;

/// Where a page of a list ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor<A, K> {
    /// Which list: the route with its tenant and license.
    pub(crate) of: String,
    /// The filters and the sort.
    pub(crate) asked: A,
    /// The time t of `status`, in microseconds UTC.
    pub(crate) at: i64,
    /// Where the page ended.
    pub(crate) after: K,
}

impl<A: Serialize + DeserializeOwned, K: Serialize + DeserializeOwned> Cursor<A, K> {
    pub(crate) fn encode(&self) -> Result<String, Failure> {
        let mut bytes = serde_json::to_vec(self).map_err(|error| {
            tracing::error!(%error, "a cursor cannot be written");
            Problem::internal()
        })?;
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(crate) fn decode(text: &str, of: &str) -> Result<Self, Failure> {
        let cursor: Self = Self::read(text).ok_or_else(|| {
            invalid(
                "cursor",
                "it is not one that this list gave; begin again without it",
            )
        })?;
        if cursor.of != of {
            return Err(invalid(
                "cursor",
                "it belongs to another list; begin again without it",
            ));
        }
        Ok(cursor)
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (json, sum) = bytes.split_last_chunk::<8>()?;
        if xxh3_64(json).to_le_bytes() != *sum {
            return None;
        }
        serde_json::from_slice(json).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor<Option<String>, (i64, String)> {
        Cursor {
            of: "devices/default/L-1".to_owned(),
            asked: Some("plan".to_owned()),
            at: 7,
            after: (-1, "d-1".to_owned()),
        }
    }

    #[test]
    fn a_cursor_reads_back_and_needs_no_escape_in_a_url() {
        let text = cursor().encode().unwrap();
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        assert_eq!(
            Cursor::decode(&text, "devices/default/L-1").unwrap(),
            cursor()
        );
    }

    #[test]
    fn any_changed_byte_is_seen() {
        let text = cursor().encode().unwrap();
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let read = Cursor::<Option<String>, (i64, String)>::decode(&changed, &cursor().of);
            assert!(read.is_err(), "{place}");
        }
    }

    #[test]
    fn another_lists_cursor_is_refused() {
        let text = cursor().encode().unwrap();
        let read = Cursor::<Option<String>, (i64, String)>::decode(&text, "devices/other/L-1");
        assert!(read.unwrap_err().detail().contains("another list"));
    }
}
