//! What became of records in doubt, and what would become of them now.
//!
//! Some reasons depend on when a record was read and by which release: its schema was not registered yet, its
//! type was not known, the store refused it, its tries ran out. Where such a record would fare otherwise now, it
//! is no difference of the model, which is held against the records that came out alike; it is told apart.
//!
//! | the log says now | the store says | the record |
//! |---|---|---|
//! | accepted | rejected or waits, for a reason that depends on when | does not count; told apart |
//! | accepted | waited, and a try of it counts | does not count; its try does |
//! | accepted | rejected for its own fault | counts; the row is a difference |
//! | accepted | nothing, or it is the event | counts |
//! | at fault | the same | does not count |
//! | at fault, for a reason that depends on when | it is the event | counts, with the event's content; told apart |
//! | at fault | nothing | does not count; the row that is missing is a difference |

use std::collections::HashMap;

use licenseflow_avro::{Coordinates, LicenseEvent, LicenseKey, Reason};
use licenseflow_store::lookup::RecordPlace;

use super::difference::{Difference, Part};
use super::letters::{Letter, Letters, Wait, named};
use super::reading::{Doubtful, Now, place};

/// A record that did not count then and would now, or the reverse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// The license that it names, where it is known to name one.
    pub license: Option<LicenseKey>,
    /// Where it lies, as a position says it.
    pub record: String,
    /// What became of it.
    pub then: String,
    /// What would become of it now.
    pub now: String,
}

/// A record that counts after all.
pub(super) struct Counting {
    pub(super) at: Coordinates,
    pub(super) request: u64,
    pub(super) event: LicenseEvent,
}

/// What came of all records in doubt.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) differences: Vec<Difference>,
    pub(super) apart: Vec<Apart>,
    /// Records that waited, and a try of which counts.
    pub(super) retried: u64,
    pub(super) counting: Vec<Counting>,
}

/// What the store says of a record.
pub(super) enum Then<'s> {
    Rejected(&'s Letter),
    Waited(&'s Wait),
    /// It is the event of a timeline.
    Event,
    /// It is a try of a record that waits or waited.
    TryOf(&'s Wait),
    /// It may be a duplicate, or a heartbeat.
    Nothing,
}

/// Whether a reason depends on when a record is read, and by which release.
pub(super) fn depends_on_when(reason: &str) -> bool {
    let of = [
        Reason::UnknownSchema,
        Reason::UnknownType,
        Reason::StoreRefused,
        Reason::RetriesExhausted,
    ];
    of.iter().any(|it| it.name() == reason)
}

/// Decides about every record in doubt, in the order of their places.
pub(super) fn decide(doubtful: HashMap<RecordPlace, Doubtful>, letters: &Letters) -> Decided {
    let mut decided = Decided::default();
    let mut missing = letters.faults.clone();
    for letter in letters.rejected.values() {
        if !doubtful.contains_key(&place(&letter.at)) {
            let difference =
                Difference::of_some(letter.names.as_ref(), Part::Rejected, named(&letter.at));
            missing.push(difference.stored(&letter.reason));
        }
    }
    for wait in letters.waiting.values() {
        missing.extend(fault_of_wait(wait, &doubtful));
    }
    decided.differences = missing;
    let untold: HashMap<RecordPlace, [u8; 32]> = doubtful
        .values()
        .filter(|record| record.is_missing(letters))
        .map(|record| (place(&record.at), record.hash))
        .collect();
    let mut all: Vec<(RecordPlace, Doubtful)> = doubtful.into_iter().collect();
    all.sort_by_key(|(place, _)| *place);
    for (_, record) in all {
        // Where the first of a record's tries has no row that it should have, that says it for all of them.
        let is_told_by_first = record.try_of.as_ref().is_some_and(|of| {
            let first = untold.get(&(record.at.lane, record.at.partition, of.first));
            first == Some(&of.content)
        });
        if !(is_told_by_first && record.is_missing(letters)) {
            decided.one(record, letters);
        }
    }
    decided
}

/// What is wrong with a row of a record that waits or waited, whatever would become of the record.
fn fault_of_wait(wait: &Wait, doubtful: &HashMap<RecordPlace, Doubtful>) -> Option<Difference> {
    let record = doubtful.get(&place(&wait.at));
    let license = record.and_then(|record| record.license());
    let difference = Difference::of_some(license.as_ref(), Part::Waiting, named(&wait.at));
    let Some(record) = record else {
        return Some(difference.stored(&wait.reason));
    };
    if wait.hash != record.hash || wait.content.is_some_and(|kept| kept != record.content) {
        let difference = difference.stored("another key or value");
        return Some(difference.logged("the record's"));
    }
    if wait.at != record.at {
        let difference = difference.stored(format!("recorded at {}", wait.at.timestamp));
        return Some(difference.logged(format!("recorded at {}", record.at.timestamp)));
    }
    if let Now::Faulty { reason, .. } = &record.now
        && *reason == Reason::UnknownSchema
        && wait.reason != reason.name()
    {
        return Some(difference.stored(&wait.reason).logged(reason.name()));
    }
    let is_open = wait.content.is_some();
    let Some(settled) = wait.settled else {
        return (!is_open).then(|| difference.stored("settled by no record"));
    };
    let place = (wait.at.lane, wait.at.partition, settled);
    let of = doubtful
        .get(&place)
        .and_then(|record| record.try_of.as_ref());
    let is_settled = of.is_some_and(|of| of.first == wait.at.offset);
    let is_right = !is_open && is_settled;
    (!is_right).then(|| difference.stored(format!("settled by the record at {settled}")))
}

impl Doubtful {
    /// The license that the record names, where it is known to name one.
    pub(super) fn license(&self) -> Option<LicenseKey> {
        match &self.now {
            Now::Accepted(event) => Some(event.license_key()),
            Now::Faulty { names, .. } => names.as_deref().cloned(),
        }
    }

    /// Whether it is at fault, and the store says nothing of it.
    fn is_missing(&self, letters: &Letters) -> bool {
        matches!(self.now, Now::Faulty { .. }) && matches!(self.then(letters), Then::Nothing)
    }

    pub(super) fn then<'s>(&self, letters: &'s Letters) -> Then<'s> {
        let place = place(&self.at);
        let of = self.try_of.as_ref().and_then(|of| {
            let first = (self.at.lane, self.at.partition, of.first);
            let wait = letters.waiting.get(&first);
            wait.filter(|wait| wait.hash == of.content)
        });
        if let Some(letter) = letters.rejected.get(&place) {
            Then::Rejected(letter)
        } else if let Some(wait) = letters.waiting.get(&place) {
            Then::Waited(wait)
        } else if self.in_timeline.is_some() {
            Then::Event
        } else if let Some(wait) = of {
            Then::TryOf(wait)
        } else {
            Then::Nothing
        }
    }
}

impl Decided {
    fn one(&mut self, record: Doubtful, letters: &Letters) {
        let then = record.then(letters);
        match &record.now {
            Now::Accepted(_) => self.accepted(record, &then, letters),
            Now::Faulty { reason, .. } => {
                let reason = *reason;
                self.faulty(record, reason, &then);
            }
        }
    }

    fn accepted(&mut self, record: Doubtful, then: &Then<'_>, letters: &Letters) {
        let difference = |part| {
            Difference::of_some(record.license().as_ref(), part, named(&record.at))
                .logged("accepted")
        };
        let counts = match then {
            Then::Rejected(letter) => {
                let is_excused = depends_on_when(&letter.reason) && record.in_timeline.is_none();
                if is_excused {
                    self.tell_apart(&record, &format!("rejected: {}", letter.reason), "accepted");
                } else {
                    self.differences
                        .push(difference(Part::Rejected).stored(&letter.reason));
                }
                !is_excused
            }
            Then::Waited(wait) => {
                let counts = record.in_timeline.is_some();
                if counts {
                    self.differences
                        .push(difference(Part::Waiting).stored(&wait.reason));
                } else if wait.content.is_none() {
                    self.retried += 1;
                } else {
                    self.tell_apart(&record, &format!("waits: {}", wait.reason), "accepted");
                }
                counts
            }
            Then::TryOf(wait) => {
                let is_given_up = letters.rejected.contains_key(&place(&wait.at));
                wait.settled.is_some_and(|settled| {
                    record.at.offset > settled || record.at.offset == settled && !is_given_up
                })
            }
            Then::Event | Then::Nothing => true,
        };
        if let (true, Now::Accepted(event)) = (counts, record.now) {
            self.counting.push(Counting {
                at: record.at,
                request: record.request,
                event: *event,
            });
        }
    }

    fn faulty(&mut self, record: Doubtful, reason: Reason, then: &Then<'_>) {
        let license = record.license();
        let difference = Difference::of_some(license.as_ref(), Part::Rejected, named(&record.at));
        match then {
            Then::Rejected(letter) => {
                let fault = fault_of_letter(letter, &record, reason, license.as_ref());
                self.differences.extend(fault.map(|(stored, logged)| {
                    let of = letter.names.as_ref().or(license.as_ref());
                    Difference::of_some(of, Part::Rejected, named(&record.at))
                        .stored(stored)
                        .logged(logged)
                }));
            }
            Then::Waited(_) | Then::TryOf(_) => {}
            Then::Event if depends_on_when(reason.name()) => {
                let now = format!("rejected: {reason}");
                if let Some((key, event)) = record.in_timeline {
                    self.apart.push(Apart {
                        license: Some(key),
                        record: named(&record.at),
                        then: "accepted".to_owned(),
                        now,
                    });
                    self.counting.push(Counting {
                        at: record.at,
                        request: record.request,
                        event,
                    });
                }
            }
            Then::Event | Then::Nothing => self.differences.push(difference.logged(reason)),
        }
    }

    fn tell_apart(&mut self, record: &Doubtful, then: &str, now: &str) {
        self.apart.push(Apart {
            license: record.license(),
            record: named(&record.at),
            then: then.to_owned(),
            now: now.to_owned(),
        });
    }
}

/// What a letter says, and what the log says instead.
pub(super) fn fault_of_letter(
    letter: &Letter,
    record: &Doubtful,
    reason: Reason,
    names: Option<&LicenseKey>,
) -> Option<(String, String)> {
    let is_own = !depends_on_when(&letter.reason) && !depends_on_when(reason.name());
    if is_own && letter.reason != reason.name() || Reason::from_name(&letter.reason).is_none() {
        return Some((letter.reason.clone(), reason.name().to_owned()));
    }
    if letter.content != record.content {
        let text = |what: &str| format!("{reason}, {what}");
        return Some((text("another key or value"), text("the record's")));
    }
    if letter.at != record.at {
        let text = |at: &Coordinates| format!("{reason}, recorded at {}", at.timestamp);
        return Some((text(&letter.at), text(&record.at)));
    }
    if letter.reason == reason.name() && letter.names.as_ref() != names {
        let text = |key: Option<&LicenseKey>| match key {
            Some(key) => format!("{reason}, of {} {}", key.tenant_id, key.license_id),
            None => format!("{reason}, of no license"),
        };
        return Some((text(letter.names.as_ref()), text(names)));
    }
    None
}
