//! What one generation takes over from another before it is the live one: the marks of what was done.
//!
//! Rows of two generations are of one record where their coordinates are the same, and of one conflict
//! where license, event id and content are. The live one is locked meanwhile, so that nothing is marked,
//! and nothing applied, that would not be taken over.

use std::path::Path;

use licenseflow_avro::{Lane, Position};
use rusqlite::Connection;

use super::connection::open_beside;
use super::rows::lane_of_number;
use crate::Error;

/// Two generations, between which a pointer is about to move.
pub(super) struct Between {
    /// Holds the live one's lock as long as it lives.
    _live: Connection,
    /// The next one, with the live one attached to be read.
    next: Connection,
}

/// What was done about records that were rejected for their own faults.
const OF_RECORDS: &str = "update main.rejected as n set sent_at_ms = l.sent_at_ms,
       resolved_at_ms = l.resolved_at_ms, resolved_reason = l.resolved_reason,
       redriven_at_ms = l.redriven_at_ms, redrives = l.redrives
     from live.rejected as l
     where n.event_id is null and l.event_id is null
       and l.lane = n.lane and l.partition = n.partition and l.offset = n.offset";

/// What was done about conflicts.
const OF_CONFLICTS: &str = "update main.rejected as n set sent_at_ms = l.sent_at_ms,
       resolved_at_ms = l.resolved_at_ms, resolved_reason = l.resolved_reason,
       redriven_at_ms = l.redriven_at_ms, redrives = l.redrives
     from live.rejected as l
     where n.event_id is not null and l.license_id is not null
       and l.tenant_id = n.tenant_id and l.license_id = n.license_id
       and l.event_id = n.event_id and l.body = n.body";

/// What was done about records that wait, at the try that both have seen.
const OF_WAITING: &str = "update main.waiting as n set since_ms = l.since_ms, due_ms = l.due_ms,
       copied_ms = l.copied_ms, published_ms = l.published_ms
     from live.waiting as l
     where n.settled_ms is null and l.settled_ms is null and l.attempt = n.attempt
       and l.lane = n.lane and l.partition = n.partition and l.offset = n.offset";

impl Between {
    /// Locks the live one.
    pub(super) fn begin(live: &Path, next: &Path) -> Result<Self, Error> {
        let held = open_beside(live)?;
        let next = open_beside(next)?;
        let name = live.to_string_lossy();
        next.execute("attach database ?1 as live", [name.as_ref()])?;
        held.execute_batch("begin immediate")?;
        Ok(Self { _live: held, next })
    }

    /// How far the live one is where the next is behind; none: nowhere.
    pub(super) fn lead(&mut self) -> Result<Option<Position>, Error> {
        let mut statement = self.next.prepare(
            "select l.lane, l.partition, l.next_offset from live.position as l
             left join main.position as n on n.lane = l.lane and n.partition = l.partition
             where l.next_offset > ifnull(n.next_offset, 0)",
        )?;
        let mut rows = statement.query([])?;
        let mut position = Position::default();
        while let Some(row) = rows.next()? {
            let lane: Lane = lane_of_number(row.get(0)?)?;
            position.set(lane, row.get(1)?, row.get(2)?);
        }
        Ok((!position.is_empty()).then_some(position))
    }

    /// Takes the marks over; done again it changes nothing.
    pub(super) fn take_marks(&mut self) -> Result<(), Error> {
        // To begin at once would lock the live one too, whose lock is ours already.
        let behavior = rusqlite::TransactionBehavior::Deferred;
        let transaction = self.next.transaction_with_behavior(behavior)?;
        for sql in [OF_RECORDS, OF_CONFLICTS, OF_WAITING] {
            transaction.execute(sql, [])?;
        }
        transaction.commit()?;
        Ok(())
    }
}
