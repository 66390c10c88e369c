//! Which version the fold is: a generation is built by one of them from its beginning to its end.
//!
//! Whoever changes what the fold makes of the same events raises [`VERSION`]. A projector then does not go on
//! with what another version has built.

use std::sync::atomic::{AtomicBool, Ordering};

/// The version of generations that do not say theirs.
pub const FIRST_VERSION: i64 = 1;

/// The version of this release.
const VERSION: i64 = 1;

static IS_CHANGED: AtomicBool = AtomicBool::new(false);

/// The version of the fold in this process.
#[must_use]
pub fn version() -> i64 {
    VERSION + i64::from(is_changed())
}

/// Makes the fold another one, which counts each renewal twice: what a later release might do, for tests of
/// how that is refused, built and switched to.
pub fn change() {
    IS_CHANGED.store(true, Ordering::Relaxed);
}

pub(crate) fn is_changed() -> bool {
    IS_CHANGED.load(Ordering::Relaxed)
}
