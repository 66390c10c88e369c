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

/// What was done by the live generation is taken over by the next, and the pointer has not moved.
pub const BEFORE_SWITCH: &str = "before_switch";
/// The pointer has moved, and nobody has heard of it.
pub const AFTER_SWITCH: &str = "after_switch";
/// A generation stands at the position of the live one, and was not compared with it yet.
pub const AT_GATE: &str = "at_gate";
/// A generation is struck out of the book, and what it has stored is there still.
pub const AFTER_STRIKE: &str = "after_strike";

/// Licenses of a batch were put aside, and nothing says yet that they count.
pub const AFTER_COLLECTING: &str = "after_collecting";
/// Licenses that were collected are written, and not committed.
pub const WHILE_LOADING: &str = "while_loading";
/// All that was collected is written, and has no indexes.
pub const BEFORE_INDEXES: &str = "before_indexes";
/// All that was collected is in its place, and nothing says so yet.
pub const BEFORE_LOADED: &str = "before_loaded";

/// Every point that is passed while a generation is built, compared, switched to and dropped, beside those
/// of any batch.
pub const OF_REPLAY: [&str; 8] = [
    AFTER_COLLECTING,
    WHILE_LOADING,
    BEFORE_INDEXES,
    BEFORE_LOADED,
    AT_GATE,
    BEFORE_SWITCH,
    AFTER_SWITCH,
    AFTER_STRIKE,
];

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

/// After a part was written to an archive, before the manifest names it.
pub const AFTER_PART: &str = "after_part";
/// After a record of an archive was given to the brokers, before they have acknowledged it.
pub const WHILE_RESTORING: &str = "while_restoring";

/// Every point that is passed while the log is archived and restored.
pub const OF_ARCHIVE: [&str; 2] = [AFTER_PART, WHILE_RESTORING];

/// Writers were asked to wait for one license to be rewritten, and nothing of it is.
pub const WHILE_HELD: &str = "while_held";
/// One license is rewritten, and nothing of that is committed.
pub const BEFORE_REWRITE: &str = "before_rewrite";
/// One license is rewritten, and writers wait still.
pub const AFTER_REWRITE: &str = "after_rewrite";

/// Every point that is passed while one license is rewritten.
pub const OF_LICENSE: [&str; 3] = [WHILE_HELD, BEFORE_REWRITE, AFTER_REWRITE];

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
