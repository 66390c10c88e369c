//! Which events a page of a timeline has, whatever the store.
//!
//! | the license | a page looks at |
//! |---|---|
//! | has had no more than [`ORDERED_ABOVE`] counting events | the head of each of its events, and keeps the first few |
//! | has had more | an index in the events' own order, from where the last page ended |
//!
//! An event lies where its id does, or where it came; keeping each in its own order too would cost every
//! write for the sake of few reads. So this is done for long timelines alone, whose events then carry what a
//! page is chosen by and what voided them; where events lie is the store's to know.

use std::collections::BTreeMap;

use licenseflow_avro::{EventKind, LicenseEvent};
use licenseflow_core::LicenseState;
use licenseflow_core::event_set::RecordedEvent;
use licenseflow_core::order::{OrderKey, rank};
use uuid::Uuid;

use crate::Error;
use crate::columns::{Columns, needed, order_key, order_key_blob};
use crate::head::Head;
use crate::lookup::{Page, TimelineQuery, TimelineRow};
use crate::page::PAGE_BYTES_MAX;

/// A license that has had more counting events than this has a long timeline, for ever. There are no more
/// than twice as many events in a timeline as count, since each that does not is voided by one that does.
pub(crate) const ORDERED_ABOVE: i64 = 500;

/// The most events of a long timeline that a page looks at; reached, the page is short and goes on.
pub(crate) const VISITS_MAX: usize = 10_000;

/// Whether a license's timeline becomes a long one, if it was none.
pub(crate) fn is_long(state: &LicenseState) -> bool {
    state.event_count > ORDERED_ABOVE
}

/// Where an event of a long timeline stands: its order key, and its type behind it, by which pages are
/// filtered. No two events have one key, so the type changes nothing about the order.
pub(crate) type Standing = [u8; 26];

fn standing(order: OrderKey, kind: EventKind) -> Standing {
    let mut standing = [kind as u8; 26];
    standing[..25].copy_from_slice(&order_key_blob(order));
    standing
}

/// Where an event stands.
pub(crate) fn standing_of(event: &LicenseEvent) -> Standing {
    standing(OrderKey::of(event), event.payload.kind())
}

/// Reads where an event stands from its id and the beginning of its body, which stand from column `first`
/// on.
pub(crate) fn standing_of_row(row: &impl Columns, first: usize) -> Result<(Uuid, Standing), Error> {
    let (order, kind) = head_of(row, first)?;
    Ok((order.event_id, standing(order, kind)))
}

fn head_of(row: &impl Columns, first: usize) -> Result<(OrderKey, EventKind), Error> {
    let event_id = Uuid::from_slice(needed(row.bytes(first)?)?)
        .map_err(|error| Error::Broken(Box::new(error)))?;
    let head = Head::of(needed(row.bytes(first + 1)?)?)
        .ok_or_else(|| Error::broken(format!("event {event_id} cut short")))?;
    let order = OrderKey {
        occurred_at: head.occurred_at,
        rank: rank(head.kind),
        event_id,
    };
    Ok((order, head.kind))
}

/// What voids an event, as its row in a long timeline has it; a reader leaves it out where the event is an
/// EventVoided itself.
pub(crate) fn voided_by(state: &LicenseState, event_id: Uuid) -> Option<Uuid> {
    state.voids.get(&event_id).map(|by| by.event_id)
}

/// The ids that another EventVoided names than before, each with that which names it now.
pub(crate) fn void_changes(
    before: &LicenseState,
    after: &LicenseState,
) -> Vec<(Uuid, Option<Uuid>)> {
    let (before, after) = (&before.voids, &after.voids);
    if before == after {
        return Vec::new();
    }
    let gone = before.keys().filter(|id| !after.contains_key(id));
    let gone = gone.map(|id| (*id, None));
    let named = after.iter().filter(|(id, by)| before.get(id) != Some(by));
    gone.chain(named.map(|(id, by)| (*id, Some(by.event_id))))
        .collect()
}

/// `occurred_at`, rank, event id.
pub(crate) type TimelineKey = (i64, u8, Uuid);

fn order_of(key: TimelineKey) -> OrderKey {
    let (occurred_at, rank, event_id) = key;
    OrderKey {
        occurred_at,
        rank,
        event_id,
    }
}

/// The events of a page, each with its place, and where the next page begins.
pub(crate) struct Chosen<P> {
    pub(crate) events: Vec<(OrderKey, P)>,
    pub(crate) next: Option<OrderKey>,
}

/// A long timeline on the way to its page's end.
pub(crate) struct InOrder<'q, P> {
    query: &'q TimelineQuery,
    limit: usize,
    visited: usize,
    chosen: Chosen<P>,
}

impl<'q, P> InOrder<'q, P> {
    pub(crate) fn new(query: &'q TimelineQuery, limit: usize) -> Self {
        Self {
            query,
            limit,
            visited: 0,
            chosen: Chosen {
                events: Vec::new(),
                next: None,
            },
        }
    }

    /// All that is asked for stands after the first of these, and before the second.
    pub(crate) fn bounds(query: &TimelineQuery) -> (Vec<u8>, Vec<u8>) {
        // What is shorter comes before all that begins so; and no type is 255.
        let time = |at: i64| at.max(0).to_be_bytes().to_vec();
        let after = query.after.map(|after| {
            let mut key = order_key_blob(order_of(after)).to_vec();
            key.push(u8::MAX);
            key
        });
        let low = query.from.map(time).max(after).unwrap_or_default();
        let high = query.to.map_or(vec![u8::MAX], time);
        (low, high)
    }

    /// How many more events may be looked at.
    pub(crate) fn left(&self) -> usize {
        VISITS_MAX - self.visited
    }

    /// Looks at the next event by where it stands; whether the page has ended.
    pub(crate) fn look_at(&mut self, standing: &[u8], place: P) -> Result<bool, Error> {
        let (kind, key) = standing
            .split_last()
            .ok_or_else(|| Error::broken("an event that stands nowhere"))?;
        let order = order_key(key)?;
        self.visited += 1;
        if self.query.kind.is_none_or(|asked| asked as u8 == *kind) {
            if self.chosen.events.len() >= self.limit {
                self.chosen.next = self.chosen.events.last().map(|(order, _)| *order);
                return Ok(true);
            }
            self.chosen.events.push((order, place));
        }
        if self.left() == 0 {
            self.chosen.next = Some(order);
            return Ok(true);
        }
        Ok(false)
    }

    pub(crate) fn into_chosen(self) -> Chosen<P> {
        self.chosen
    }
}

/// The first events in order that are asked for, and one more where there is one, each with its place.
pub(crate) struct FirstInOrder<'q, P> {
    query: &'q TimelineQuery,
    after: Option<OrderKey>,
    limit: usize,
    found: BTreeMap<OrderKey, P>,
}

impl<'q, P> FirstInOrder<'q, P> {
    pub(crate) fn new(query: &'q TimelineQuery, limit: usize) -> Self {
        Self {
            query,
            after: query.after.map(order_of),
            limit,
            found: BTreeMap::new(),
        }
    }

    /// Looks at an event by its id and the beginning of its body, which stand from column `first` on.
    pub(crate) fn look_at(
        &mut self,
        row: &impl Columns,
        first: usize,
        place: P,
    ) -> Result<(), Error> {
        let (order, kind) = head_of(row, first)?;
        let query = self.query;
        let asked = self.after.is_none_or(|after| order > after)
            && query.kind.is_none_or(|asked| asked == kind)
            && query.from.is_none_or(|from| order.occurred_at >= from)
            && query.to.is_none_or(|to| order.occurred_at < to);
        if asked {
            self.found.insert(order, place);
            if self.found.len() > self.limit + 1 {
                self.found.pop_last();
            }
        }
        Ok(())
    }

    pub(crate) fn into_chosen(mut self) -> Chosen<P> {
        let goes_on = self.found.len() > self.limit;
        if goes_on {
            self.found.pop_last();
        }
        let last = self.found.last_key_value().filter(|_| goes_on);
        Chosen {
            next: last.map(|(order, _)| *order),
            events: self.found.into_iter().collect(),
        }
    }
}

/// An event with what voided it, if it can be voided.
pub(crate) fn timeline_row(recorded: RecordedEvent, voided_by: Option<Uuid>) -> TimelineRow {
    let is_voidable = recorded.event.payload.kind() != EventKind::EventVoided;
    TimelineRow {
        recorded,
        voided_by: voided_by.filter(|_| is_voidable),
    }
}

/// An event as a page reads it whole.
pub(crate) struct Whole {
    /// Its body's length.
    pub(crate) bytes: usize,
    pub(crate) recorded: RecordedEvent,
    /// What its row says; that of a long timeline alone says it.
    pub(crate) voided_by: Option<Uuid>,
}

/// A page that is filled with what was chosen for it, up to [`PAGE_BYTES_MAX`] and the event that reaches it.
pub(crate) struct Filling {
    /// What the license's EventVoideds name; none where each row says what voided it.
    voids: Option<BTreeMap<Uuid, OrderKey>>,
    wanted: usize,
    next: Option<OrderKey>,
    bytes: usize,
    items: Vec<TimelineRow>,
}

impl Filling {
    pub(crate) fn new<P>(chosen: &Chosen<P>, voids: Option<BTreeMap<Uuid, OrderKey>>) -> Self {
        let wanted = chosen.events.len();
        Self {
            voids,
            wanted,
            next: chosen.next,
            bytes: 0,
            items: Vec::with_capacity(wanted),
        }
    }

    /// Takes the next event; whether the page is full, and the next one begins behind it.
    pub(crate) fn take(&mut self, order: &OrderKey, event: Whole) -> bool {
        let voided_by = match &self.voids {
            Some(voids) => voids.get(&order.event_id).map(|by| by.event_id),
            None => event.voided_by,
        };
        self.items.push(timeline_row(event.recorded, voided_by));
        self.bytes += event.bytes;
        let goes_on = self.items.len() < self.wanted || self.next.is_some();
        let is_full = self.bytes > PAGE_BYTES_MAX && goes_on;
        if is_full {
            self.next = Some(*order);
        }
        is_full
    }

    pub(crate) fn into_page(self) -> Page<TimelineRow, TimelineKey> {
        let next = self.next;
        Page {
            items: self.items,
            next: next.map(|order| (order.occurred_at, order.rank, order.event_id)),
        }
    }
}
