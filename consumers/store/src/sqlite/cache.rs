//! Licenses that the writer has at hand.
//!
//! A catch-up comes back to most licenses batch after batch, and reading a row costs more than folding
//! onto it. The file has one writer, so what was written last is what stands there; what a batch that
//! failed has touched is forgotten with all the rest, and so is everything when a license was rewritten beside
//! the writer. Bounded in bytes: licenses are kept in two halves,
//! what is asked for moves to the younger one, and when that is full the elder one goes.

use std::collections::HashMap;
use std::sync::Arc;

use licenseflow_avro::LicenseKey;
use licenseflow_core::{LicenseState, RowDigest};

/// What a license takes beside its texts, about: its key, its state, and its place in the map.
const OVERHEAD_BYTES: usize = 640;

/// A license as its row stands in the file.
#[derive(Debug)]
pub(crate) struct AtHand {
    pub(crate) number: i64,
    /// Whether its timeline is a long one.
    pub(crate) ordered: bool,
    pub(crate) state: LicenseState,
    pub(crate) digest: RowDigest,
}

impl AtHand {
    fn bytes(&self) -> usize {
        OVERHEAD_BYTES + self.state.bytes()
    }
}

// Boxed, so that a map that grows or is half empty costs little.
type Half = HashMap<Arc<LicenseKey>, Box<AtHand>>;

/// The licenses at hand.
#[derive(Debug)]
pub(crate) struct Cache {
    younger: Half,
    elder: Half,
    younger_bytes: usize,
    half_bytes: usize,
    /// How often a license had been rewritten beside the writer, when what is here was read.
    rewrites: i64,
}

impl Cache {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            younger: Half::new(),
            elder: Half::new(),
            younger_bytes: 0,
            half_bytes: bytes / 2,
            rewrites: 0,
        }
    }

    /// Forgets everything where a license was rewritten since: so often it has been by now.
    pub(crate) fn follow(&mut self, rewrites: i64) {
        if self.rewrites != rewrites {
            self.forget();
            self.rewrites = rewrites;
        }
    }

    /// Takes a license out; it is put back as its row was written.
    pub(crate) fn take(&mut self, key: &LicenseKey) -> Option<Box<AtHand>> {
        if let Some(known) = self.younger.remove(key) {
            self.younger_bytes = self.younger_bytes.saturating_sub(known.bytes());
            return Some(known);
        }
        self.elder.remove(key)
    }

    pub(crate) fn put(&mut self, key: Arc<LicenseKey>, license: Box<AtHand>) {
        let bytes = license.bytes();
        if self.younger_bytes + bytes > self.half_bytes {
            self.elder = std::mem::take(&mut self.younger);
            self.younger_bytes = 0;
        }
        if bytes <= self.half_bytes {
            self.younger_bytes += bytes;
            self.younger.insert(key, license);
        }
    }

    /// Nothing is at hand any more: the file may stand elsewhere.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.half_bytes * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Arc<LicenseKey> {
        Arc::new(LicenseKey {
            tenant_id: "t".to_owned(),
            license_id: format!("L-{number}"),
        })
    }

    fn license(number: i64) -> Box<AtHand> {
        Box::new(AtHand {
            number,
            ordered: false,
            state: LicenseState::default(),
            digest: RowDigest(7),
        })
    }

    #[test]
    fn it_stays_under_its_bound_and_keeps_what_is_asked_for() {
        let mut cache = Cache::new(100 * OVERHEAD_BYTES);
        for number in 0..1000 {
            cache.put(key(number), license(number as i64));
            let asked_for = cache.take(&key(0)).unwrap();
            assert_eq!(asked_for.number, 0);
            cache.put(key(0), asked_for);
            assert!(cache.younger.len() + cache.elder.len() <= 100);
        }
        assert!(cache.take(&key(999)).is_some());
        assert!(cache.take(&key(1)).is_none());
        cache.forget();
        assert!(cache.take(&key(0)).is_none());
    }

    #[test]
    fn everything_is_forgotten_once_where_a_license_was_rewritten() {
        let mut cache = Cache::new(100 * OVERHEAD_BYTES);
        for (rewrites, is_kept) in [(3, false), (3, true), (4, false), (4, true)] {
            cache.follow(rewrites);
            assert_eq!(cache.take(&key(1)).is_some(), is_kept, "{rewrites}");
            cache.put(key(1), license(1));
        }
    }

    #[test]
    fn a_license_that_is_larger_than_the_bound_is_not_kept() {
        let mut cache = Cache::new(OVERHEAD_BYTES);
        cache.put(key(1), license(1));
        assert!(cache.take(&key(1)).is_none());
    }
}
