//! Named points at which a test may let the process die.
//!
//! Every claim about what a crash leaves behind names a point and a test that dies there. In
//! production no hook is set, and a point costs one atomic load.

use std::sync::OnceLock;

static HOOK: OnceLock<fn(&'static str)> = OnceLock::new();

/// After records were taken from the log and before they are in a batch that the store has seen.
pub const AFTER_POLL: &str = "after_poll";
/// Inside the store's transaction: rows are written, positions are not.
pub const INSIDE_TRANSACTION: &str = "inside_transaction";
/// Inside the store's transaction, when all is written and nothing is committed.
pub const BEFORE_COMMIT: &str = "before_commit";
/// After the store has committed, before anyone else knows.
pub const AFTER_COMMIT: &str = "after_commit";
/// After a letter was acknowledged by the brokers, before its row is marked.
pub const AFTER_LETTER: &str = "after_letter";
/// After a redriven record was acknowledged by the brokers, before its letter is marked.
pub const AFTER_REDRIVE: &str = "after_redrive";
/// After a record that waits was acknowledged in its lane or in the retry topic, before its row is marked.
pub const AFTER_RETRY: &str = "after_retry";
/// Inside a migration of the store.
pub const IN_MIGRATION: &str = "in_migration";

/// Every point, for tests that want to die at each.
pub const ALL: [&str; 8] = [
    AFTER_POLL,
    INSIDE_TRANSACTION,
    BEFORE_COMMIT,
    AFTER_COMMIT,
    AFTER_LETTER,
    AFTER_REDRIVE,
    AFTER_RETRY,
    IN_MIGRATION,
];

/// Sets what happens at a point; the first call wins.
pub fn set_hook(hook: fn(&'static str)) {
    let _ = HOOK.set(hook);
}

/// Passes a point.
pub fn point(name: &'static str) {
    if let Some(hook) = HOOK.get() {
        hook(name);
    }
}
