//! Which offsets a page of what was said looks at, and what it knows of their licenses, whatever the
//! store.

use std::collections::BTreeMap;

use licenseflow_avro::LicenseKey;
use licenseflow_core::OrderKey;
use licenseflow_core::event_set::RecordedEvent;
use uuid::Uuid;

use crate::Error;
use crate::columns::{Columns, voids};
use crate::lookup::{Page, RecordPlace, SaidEvent, Span};
use crate::page::PAGE_BYTES_MAX;
use crate::timeline::timeline_row;

/// So many offsets are looked at in one page.
const OFFSETS_MAX: i64 = 10_000;

/// The beginning of these spans that one page may look at, and where the rest begins.
pub(crate) fn narrowed(spans: &[Span]) -> (Vec<Span>, Option<RecordPlace>) {
    let (mut narrow, mut left) = (Vec::with_capacity(spans.len()), OFFSETS_MAX);
    for span in spans.iter().filter(|span| span.from < span.to) {
        if left == 0 {
            return (narrow, Some((span.lane, span.partition, span.from)));
        }
        let to = span.to.min(span.from.saturating_add(left));
        left -= to - span.from;
        narrow.push(Span { to, ..*span });
        if to < span.to {
            return (narrow, Some((span.lane, span.partition, to)));
        }
    }
    (narrow, None)
}

/// What an event's license is, as far as its reader may ask for it.
pub(crate) struct Named {
    pub(crate) key: LicenseKey,
    customer_id: Option<String>,
    product_id: Option<String>,
    voids: BTreeMap<Uuid, OrderKey>,
}

impl Named {
    /// Reads customer, product and voids, beginning at column `first`.
    pub(crate) fn of(row: &impl Columns, first: usize, key: LicenseKey) -> Result<Self, Error> {
        Ok(Self {
            key,
            customer_id: row.text(first)?.map(ToOwned::to_owned),
            product_id: row.text(first + 1)?.map(ToOwned::to_owned),
            voids: voids(row.bytes(first + 2)?.unwrap_or_default())?,
        })
    }

    pub(crate) fn event(&self, recorded: RecordedEvent) -> SaidEvent {
        let voided_by = self.voids.get(&recorded.event.event_id);
        let voided_by = voided_by.map(|by| by.event_id);
        SaidEvent {
            row: timeline_row(recorded, voided_by),
            customer_id: self.customer_id.clone(),
            product_id: self.product_id.clone(),
        }
    }
}

/// A page as it is being filled.
pub(crate) struct Filling {
    limit: usize,
    bytes: usize,
    items: Vec<SaidEvent>,
}

impl Filling {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            bytes: 0,
            items: Vec::new(),
        }
    }

    /// Takes an event whose body has so many bytes. Where the page is full by it, this is where the next
    /// one begins.
    pub(crate) fn take(&mut self, event: SaidEvent, bytes: usize) -> Option<RecordPlace> {
        let at = event.row.recorded.at;
        self.items.push(event);
        self.bytes += bytes;
        let is_full = self.items.len() >= self.limit || self.bytes > PAGE_BYTES_MAX;
        is_full.then_some((at.lane, at.partition, at.offset + 1))
    }

    pub(crate) fn page(self, next: Option<RecordPlace>) -> Page<SaidEvent, RecordPlace> {
        Page {
            items: self.items,
            next,
        }
    }
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::Lane;

    use super::*;

    fn span(partition: i32, from: i64, to: i64) -> Span {
        Span {
            lane: Lane::Bulk,
            partition,
            from,
            to,
        }
    }

    #[test]
    fn a_page_looks_at_a_bounded_number_of_offsets_and_says_where_the_rest_begins() {
        let all = [span(0, 5, 9_005), span(1, 7, 7), span(2, 0, 1_000)];
        assert_eq!(narrowed(&all), (vec![all[0], all[2]], None));
        let more = [span(0, 5, 9_005), span(2, 0, 1_001)];
        let (narrow, next) = narrowed(&more);
        assert_eq!(narrow, [more[0], span(2, 0, 1_000)]);
        assert_eq!(next, Some((Lane::Bulk, 2, 1_000)));
        let third = [all[0], all[2], span(3, 4, 5)];
        assert_eq!(narrowed(&third).1, Some((Lane::Bulk, 3, 4)));
    }
}
