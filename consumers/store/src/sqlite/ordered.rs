//! Long timelines: the events of a license that has had many of them lie in their own order too.
//!
//! A timeline becomes a long one in the batch that crosses the bound, and stays one. New events are written
//! with where they stand; what was written before that, and what another EventVoided names, is put right
//! here.

use licenseflow_core::LicenseState;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::past::Found;
use super::rows::event_hash;
use crate::Error;
use crate::timeline::{Standing, standing_of_row, void_changes, voided_by};

/// Keeps a long timeline in order, after a batch's own events were written.
pub(super) fn keep(
    connection: &Connection,
    seed: u64,
    number: i64,
    found: &Found,
    after: &LicenseState,
) -> Result<(), Error> {
    match &found.past.state {
        Some(before) if found.ordered => void_again(connection, seed, number, before, after),
        Some(_) => begin(connection, number, after),
        // All that it has was written now.
        None => note(connection, number),
    }
}

/// Says of every event that does not say it where it stands and what voids it.
fn begin(connection: &Connection, number: i64, state: &LicenseState) -> Result<(), Error> {
    let mut unordered: Vec<(i64, Uuid, Standing)> = Vec::new();
    let mut statement = connection.prepare_cached(
        "select seq, event_id, body from timeline where license = ?1 and standing is null",
    )?;
    let mut rows = statement.query([number])?;
    while let Some(row) = rows.next()? {
        let (event_id, standing) = standing_of_row(row, 1)?;
        unordered.push((row.get(0)?, event_id, standing));
    }
    let mut place = connection
        .prepare_cached("update timeline set standing = ?2, voided_by = ?3 where seq = ?1")?;
    for (seq, event_id, standing) in unordered {
        let voided_by = voided_by(state, event_id);
        place.execute(params![
            seq,
            standing,
            voided_by.as_ref().map(Uuid::as_bytes)
        ])?;
    }
    note(connection, number)
}

fn note(connection: &Connection, number: i64) -> Result<(), Error> {
    connection
        .prepare_cached("update license set ordered = 1 where number = ?1")?
        .execute([number])?;
    Ok(())
}

/// Notes what names the events that another EventVoided names than before.
fn void_again(
    connection: &Connection,
    seed: u64,
    number: i64,
    before: &LicenseState,
    after: &LicenseState,
) -> Result<(), Error> {
    let changes = void_changes(before, after);
    if changes.is_empty() {
        return Ok(());
    }
    let mut void = connection.prepare_cached(
        "update timeline set voided_by = ?4 where license = ?1 and hash = ?2 and event_id = ?3",
    )?;
    for (event_id, by) in changes {
        void.execute(params![
            number,
            event_hash(event_id, seed),
            event_id.as_bytes(),
            by.as_ref().map(Uuid::as_bytes)
        ])?;
    }
    Ok(())
}
