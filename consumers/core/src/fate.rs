//! What becomes of a record.

use licenseflow_avro::reason::Fault;

/// What becomes of a record. Exhaustive: whoever matches it says what it does with each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is an event, or a heartbeat, and counts.
    Apply,
    /// Its event is known already, with the same content.
    Duplicate,
    /// It may heal by itself: it waits as a row for another try, and nothing waits for it.
    Retry(Fault),
    /// Nothing can be judged now, or written: ask again later, and let nothing overtake the position
    /// meanwhile.
    Hold(String),
    /// It goes to the dead-letter topic.
    Reject(Fault),
    /// Nobody may go on with this partition: an invariant does not hold.
    Halt(String),
}

impl Fate {
    /// The metric's label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Fate::Apply => "apply",
            Fate::Duplicate => "duplicate",
            Fate::Retry(_) => "retry",
            Fate::Hold(_) => "hold",
            Fate::Reject(_) => "reject",
            Fate::Halt(_) => "halt",
        }
    }
}
