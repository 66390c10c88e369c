//! A page of a license's timeline.
//!
//! Events lie in the order of their arrival, and no index knows their own order: it would cost every
//! write for the sake of few reads. So a page looks at the head of each body of the license, keeps
//! the keys of the first few in order, and reads only these whole.

use std::collections::BTreeMap;

use licenseflow_avro::{EventKind, LicenseKey};
use licenseflow_core::order::{OrderKey, rank};
use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::Snapshot;
use crate::Error;
use crate::lookup::{Page, TimelineQuery, TimelineRow};
use crate::sqlite::rows::{TIMELINE_COLUMNS, recorded_event, voids};

/// A page ends when its bodies hold about this many bytes.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// `occurred_at`, rank, event id.
type TimelineKey = (i64, u8, Uuid);

impl Snapshot<'_> {
    pub(super) fn timeline(
        &self,
        key: &LicenseKey,
        license: i64,
        query: &TimelineQuery,
    ) -> Result<Page<TimelineRow, TimelineKey>, Error> {
        let limit = query.limit.max(1);
        let mut found = self.first_in_order(license, query, limit)?;
        let mut goes_on = found.len() > limit;
        if goes_on {
            found.pop_last();
        }
        let voided = self.voided(license)?;
        let sql = format!("select {TIMELINE_COLUMNS} from timeline where seq = ?");
        let mut statement = self.rows.prepare_cached(&sql)?;
        let (mut items, mut bytes, mut last) = (Vec::with_capacity(found.len()), 0, None);
        let wanted = found.len();
        for (order, seq) in found {
            let mut rows = statement.query([seq])?;
            let row = rows
                .next()?
                .ok_or_else(|| Error::broken(format!("no event of number {seq}")))?;
            bytes += row.get_ref(6)?.as_blob().map_or(0, <[u8]>::len);
            let recorded = recorded_event(row, 0, key)?;
            let voidable = recorded.event.payload.kind() != EventKind::EventVoided;
            let voided_by = voided.get(&recorded.event.event_id).filter(|_| voidable);
            items.push(TimelineRow {
                voided_by: voided_by.map(|by| by.event_id),
                recorded,
            });
            last = Some((order.occurred_at, order.rank, order.event_id));
            if bytes > PAGE_BYTES_MAX {
                goes_on = goes_on || items.len() < wanted;
                break;
            }
        }
        let next = last.filter(|_| goes_on);
        Ok(Page { items, next })
    }

    /// The first events in order that are asked for, and one more where there is one.
    fn first_in_order(
        &self,
        license: i64,
        query: &TimelineQuery,
        limit: usize,
    ) -> Result<BTreeMap<OrderKey, i64>, Error> {
        let after = query.after.map(|(occurred_at, rank, event_id)| OrderKey {
            occurred_at,
            rank,
            event_id,
        });
        let mut statement = self
            .rows
            .prepare_cached("select seq, event_id, body from timeline where license = ?")?;
        let mut rows = statement.query([license])?;
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let event_id = Uuid::from_bytes(row.get(1)?);
            let head = row
                .get_ref(2)?
                .as_blob()
                .ok()
                .and_then(Head::of)
                .ok_or_else(|| Error::broken(format!("event {event_id} cut short")))?;
            let order = OrderKey {
                occurred_at: head.occurred_at,
                rank: rank(head.kind),
                event_id,
            };
            let asked = after.is_none_or(|after| order > after)
                && query.kind.is_none_or(|kind| kind == head.kind)
                && query.from.is_none_or(|from| head.occurred_at >= from)
                && query.to.is_none_or(|to| head.occurred_at < to);
            if asked {
                found.insert(order, row.get(0)?);
                if found.len() > limit + 1 {
                    found.pop_last();
                }
            }
        }
        Ok(found)
    }

    fn voided(&self, license: i64) -> Result<BTreeMap<Uuid, OrderKey>, Error> {
        let mut statement = self
            .rows
            .prepare_cached("select voids from license where number = ?")?;
        let blob: Option<Option<Vec<u8>>> = statement
            .query_row([license], |row| row.get(0))
            .optional()?;
        voids(&blob.flatten().unwrap_or_default())
    }
}

/// What stands at the beginning of a body: `occurred_at`, `source`, `actor`, and the payload's type.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    occurred_at: i64,
    kind: EventKind,
}

impl Head {
    fn of(body: &[u8]) -> Option<Self> {
        let mut rest = body;
        let occurred_at = take_long(&mut rest)?;
        skip_text(&mut rest)?;
        if take_long(&mut rest)? == 1 {
            skip_text(&mut rest)?;
        }
        let kind = usize::try_from(take_long(&mut rest)?).ok()?;
        let kind = *EventKind::ALL.get(kind)?;
        Some(Self { occurred_at, kind })
    }
}

/// An Avro long: zigzag, in groups of seven bits, the least first.
fn take_long(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
        }
    }
    None
}

fn skip_text(bytes: &mut &[u8]) -> Option<()> {
    let length = usize::try_from(take_long(bytes)?).ok()?;
    *bytes = bytes.split_at_checked(length)?.1;
    Some(())
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::LicenseEvent;
    use licenseflow_avro::event::{EventVoided, LicenseRenewed, Payload};

    use super::*;
    use crate::sqlite::rows::body_of;

    #[test]
    fn the_head_of_a_body_is_read_without_the_rest() {
        for (actor, payload) in [
            (
                None,
                Payload::LicenseRenewed(LicenseRenewed { expires_at: None }),
            ),
            (
                Some("é".repeat(100)),
                Payload::EventVoided(EventVoided {
                    voided_event_id: Uuid::from_u128(1),
                    reason: String::new(),
                }),
            ),
        ] {
            let event = LicenseEvent {
                event_id: Uuid::from_u128(7),
                license_id: "L".to_owned(),
                tenant_id: "t".to_owned(),
                occurred_at: 1_769_853_600_000_001,
                source: "s".repeat(70),
                actor,
                payload,
            };
            let head = Head::of(&body_of(&event)).unwrap();
            assert_eq!(head.occurred_at, event.occurred_at);
            assert_eq!(head.kind, event.payload.kind());
        }
    }

    #[test]
    fn a_body_cut_short_has_no_head() {
        assert_eq!(Head::of(&[]), None);
        assert_eq!(Head::of(&[2, 0x80]), None);
        assert_eq!(Head::of(&[2, 8, b'a']), None);
    }
}
