//! The event set: which record of an event id *is* the event, and which contents conflict with it.
//!
//! | among the accepted records with one event id | becomes |
//! |---|---|
//! | the least (timestamp, topic, partition, offset) | the event: its content counts |
//! | others with the event's content | duplicates, nothing is kept of them |
//! | others with another content | one conflict a content, shown at the least record that has it |

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use licenseflow_avro::headers::RequestId;
use licenseflow_avro::{Coordinates, LicenseEvent};
use uuid::Uuid;

/// An accepted record: an event, and where and by whose request it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Where the record lies.
    pub at: Coordinates,
    /// The request that said it; none: it is known by its coordinates.
    pub request_id: Option<RequestId>,
    /// Its content.
    pub event: LicenseEvent,
}

/// What the settling of one event id changes about the event itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventChange {
    /// The id was not known.
    New,
    /// Nothing changes.
    Same,
    /// A lesser record with the same content came: only coordinates move.
    Moved,
    /// A lesser record with another content came: the license is folded again.
    Replaced,
}

/// What the settling of one event id changes about one conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConflictChange {
    /// A content that was not known to conflict.
    Opened(RecordedEvent),
    /// A lesser record with its content came.
    Moved(RecordedEvent),
    /// Its content is the event's now.
    Closed(RecordedEvent),
}

/// One event id after the records of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The event.
    pub event: RecordedEvent,
    /// What changed about it.
    pub change: EventChange,
    /// What changed about its conflicts.
    pub conflicts: Vec<ConflictChange>,
}

/// What is known of the event ids of a batch before it.
#[derive(Debug, Clone, Default)]
pub struct KnownEvents {
    /// The events.
    pub events: HashMap<Uuid, RecordedEvent>,
    /// The open conflicts, each at the least record that has its content.
    pub conflicts: HashMap<Uuid, Vec<RecordedEvent>>,
}

/// Settles every event id among the arrived records, in the order of their first arrival.
#[must_use]
pub fn settle(arrived: Vec<RecordedEvent>, known: &KnownEvents) -> Vec<Settlement> {
    let is_nothing_known = known.events.is_empty() && known.conflicts.is_empty();
    if is_nothing_known && are_few_and_distinct(&arrived) {
        return arrived.into_iter().map(new).collect();
    }
    let mut order = Vec::new();
    let mut by_id: HashMap<Uuid, Vec<RecordedEvent>> = HashMap::with_capacity(arrived.len());
    for record in arrived {
        let id = record.event.event_id;
        let records = by_id.entry(id).or_default();
        if records.is_empty() {
            order.push(id);
        }
        records.push(record);
    }
    order
        .into_iter()
        .filter_map(|id| {
            let records = by_id.remove(&id)?;
            let conflicts = known.conflicts.get(&id).map_or(&[][..], Vec::as_slice);
            settle_one(records, known.events.get(&id), conflicts)
        })
        .collect()
}

/// Whether no two records have one event id; false also where there are too many to look at each pair.
fn are_few_and_distinct(arrived: &[RecordedEvent]) -> bool {
    const FEW: usize = 16;
    if arrived.len() > FEW {
        return false;
    }
    let mut rest = arrived;
    while let Some((first, others)) = rest.split_first() {
        let id = first.event.event_id;
        if others.iter().any(|other| other.event.event_id == id) {
            return false;
        }
        rest = others;
    }
    true
}

fn new(event: RecordedEvent) -> Settlement {
    Settlement {
        event,
        change: EventChange::New,
        conflicts: Vec::new(),
    }
}

fn settle_one(
    mut arrived: Vec<RecordedEvent>,
    known: Option<&RecordedEvent>,
    conflicts: &[RecordedEvent],
) -> Option<Settlement> {
    if known.is_none() && arrived.len() == 1 {
        return arrived.pop().map(new);
    }
    let contents = least_of_each_content(arrived, known, conflicts);
    let mut contents = contents.into_values();
    let event = contents.next()?;
    let change = match known {
        None => EventChange::New,
        Some(known) if known.event != event.event => EventChange::Replaced,
        Some(known) if known.at != event.at => EventChange::Moved,
        Some(_) => EventChange::Same,
    };
    let mut changes: Vec<ConflictChange> = conflicts
        .iter()
        .filter(|conflict| conflict.event == event.event)
        .map(|conflict| ConflictChange::Closed(conflict.clone()))
        .collect();
    let open: HashMap<&LicenseEvent, &RecordedEvent> =
        conflicts.iter().map(|it| (&it.event, it)).collect();
    for content in contents {
        match open.get(&content.event) {
            None => changes.push(ConflictChange::Opened(content)),
            Some(conflict) if conflict.at != content.at => {
                changes.push(ConflictChange::Moved(content));
            }
            Some(_) => {}
        }
    }
    Some(Settlement {
        event,
        change,
        conflicts: changes,
    })
}

/// The least record of each content, least first: the first of them is the event.
fn least_of_each_content(
    arrived: Vec<RecordedEvent>,
    known: Option<&RecordedEvent>,
    conflicts: &[RecordedEvent],
) -> BTreeMap<Coordinates, RecordedEvent> {
    // By content, since one client's mistake can give one id a hundred thousand of them.
    let mut least: HashMap<LicenseEvent, RecordedEvent> = HashMap::with_capacity(arrived.len());
    let known = known.into_iter().chain(conflicts).cloned();
    for record in known.chain(arrived) {
        match least.entry(record.event.clone()) {
            Entry::Occupied(mut same) if record.at < same.get().at => {
                same.insert(record);
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => {
                free.insert(record);
            }
        }
    }
    least.into_values().map(|it| (it.at, it)).collect()
}
