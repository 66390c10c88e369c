//! Which events a page of a timeline has, whatever the store.
//!
//! No index knows the events' own order, so a page looks at the head of each body and keeps the keys of
//! the first few; where these lie is the store's to know.

use std::collections::BTreeMap;

use licenseflow_avro::EventKind;
use licenseflow_core::event_set::RecordedEvent;
use licenseflow_core::order::{OrderKey, rank};
use uuid::Uuid;

use crate::Error;
use crate::columns::{Columns, needed};
use crate::head::Head;
use crate::lookup::{TimelineQuery, TimelineRow};

/// `occurred_at`, rank, event id.
pub(crate) type TimelineKey = (i64, u8, Uuid);

/// The first events in order that are asked for, and one more where there is one, each with its place.
pub(crate) struct FirstInOrder<'q, P> {
    query: &'q TimelineQuery,
    after: Option<OrderKey>,
    limit: usize,
    found: BTreeMap<OrderKey, P>,
}

impl<'q, P> FirstInOrder<'q, P> {
    pub(crate) fn new(query: &'q TimelineQuery, limit: usize) -> Self {
        let after = query.after.map(|(occurred_at, rank, event_id)| OrderKey {
            occurred_at,
            rank,
            event_id,
        });
        Self {
            query,
            after,
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
        let event_id = Uuid::from_slice(needed(row.bytes(first)?)?)
            .map_err(|error| Error::Broken(Box::new(error)))?;
        let head = Head::of(needed(row.bytes(first + 1)?)?)
            .ok_or_else(|| Error::broken(format!("event {event_id} cut short")))?;
        let order = OrderKey {
            occurred_at: head.occurred_at,
            rank: rank(head.kind),
            event_id,
        };
        let query = self.query;
        let asked = self.after.is_none_or(|after| order > after)
            && query.kind.is_none_or(|kind| kind == head.kind)
            && query.from.is_none_or(|from| head.occurred_at >= from)
            && query.to.is_none_or(|to| head.occurred_at < to);
        if asked {
            self.found.insert(order, place);
            if self.found.len() > self.limit + 1 {
                self.found.pop_last();
            }
        }
        Ok(())
    }

    /// The page's events, and whether there are more.
    pub(crate) fn into_page(mut self) -> (BTreeMap<OrderKey, P>, bool) {
        let goes_on = self.found.len() > self.limit;
        if goes_on {
            self.found.pop_last();
        }
        (self.found, goes_on)
    }
}

/// An event with what voided it.
pub(crate) fn timeline_row(
    recorded: RecordedEvent,
    voids: &BTreeMap<Uuid, OrderKey>,
) -> TimelineRow {
    let is_voidable = recorded.event.payload.kind() != EventKind::EventVoided;
    let voided_by = voids
        .get(&recorded.event.event_id)
        .filter(|_| is_voidable)
        .map(|by| by.event_id);
    TimelineRow {
        recorded,
        voided_by,
    }
}

/// The end of a page.
pub(crate) fn end(order: &OrderKey) -> TimelineKey {
    (order.occurred_at, order.rank, order.event_id)
}
