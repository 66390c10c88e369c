//! The digest: a sum over rows, the same in whatever order it is added up.
//!
//! It is kept in 256 buckets, so that a difference can be narrowed down, and cheap to keep as one
//! row changes: take the old row's digest away, add the new one's. It finds accidents, not attackers.

use std::collections::BTreeMap;
use std::fmt;

use licenseflow_avro::LicenseKey;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The digest of one row, or a difference of such: a number modulo 2¹²⁸.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowDigest(pub u128);

impl RowDigest {
    /// XXH3-128 (seed 0) of a row's canonical JSON.
    #[must_use]
    pub fn of(canonical: &str) -> Self {
        Self(xxh3_128(canonical.as_bytes()))
    }

    /// The sum modulo 2¹²⁸.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// The difference modulo 2¹²⁸.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

impl fmt::Display for RowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The bucket of a license's rows: the low byte of XXH3-64 of `tenant_id + "/" + license_id`.
#[must_use]
pub fn bucket_of(key: &LicenseKey) -> u8 {
    let mut name = String::with_capacity(key.tenant_id.len() + 1 + key.license_id.len());
    name.push_str(&key.tenant_id);
    name.push('/');
    name.push_str(&key.license_id);
    xxh3_64(name.as_bytes()).to_le_bytes()[0]
}

/// The digest in its buckets; those not named are zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Buckets(BTreeMap<u8, RowDigest>);

impl Buckets {
    /// Adds a row's digest, or a difference, to its bucket.
    pub fn add(&mut self, bucket: u8, digest: RowDigest) {
        let sum = self.0.entry(bucket).or_default();
        *sum = sum.plus(digest);
        if *sum == RowDigest::default() {
            self.0.remove(&bucket);
        }
    }

    /// Each bucket that is not zero.
    pub fn iter(&self) -> impl Iterator<Item = (u8, RowDigest)> + '_ {
        self.0.iter().map(|(bucket, digest)| (*bucket, *digest))
    }

    /// The digest of the whole.
    #[must_use]
    pub fn total(&self) -> RowDigest {
        self.iter()
            .fold(RowDigest::default(), |sum, (_, digest)| sum.plus(digest))
    }

    /// The digest of the whole as the contract writes it: `d1:` and 32 hexadecimal digits.
    #[must_use]
    pub fn text(&self) -> String {
        format!("d1:{}", self.total())
    }
}
