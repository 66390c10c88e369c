//! One license rewritten over a connection beside the writer's, in one transaction.

mod sums;

use std::path::Path;

use licenseflow_avro::LicenseKey;
use licenseflow_core::event_counts::kept_from;
use licenseflow_core::fold::TimelineChange;
use licenseflow_core::{LicenseChange, crash};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::change::Writer;
use super::connection::{fold_version, generation, hash_seed, open_beside};
use super::past::Found;
use super::recount::each_row;
use super::rows::{CONFLICT, lane_number};
use super::totals::newest_record_ms;
use super::writer::{add_to_digest, position};
use crate::Error;
use crate::generations::check_fold;
use crate::rewrite::{
    KnownConflict, LETTER_IS_AS, LettersAsTheyAre, NumberRow, Rewrite, Rewritten, is_same_place,
    keep_conflicts, nothing_yet,
};
use licenseflow_avro::reason::Reason;

/// Rewrites a license of the generation in a file; its writer waits meanwhile.
pub(super) fn rewrite(path: &Path, of: &Rewrite<'_>, now: i64) -> Result<Rewritten, Error> {
    let mut connection = open_beside(path)?;
    let (generation, seed) = (generation(&connection)?, hash_seed(&connection)?);
    check_fold(fold_version(&connection)?).map_err(|error| Error::Unusable(error.to_string()))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !is_same_place(&position(&transaction, generation)?, of.at) {
        return Ok(Rewritten::Moved);
    }
    match of.license {
        Some(change) => write(&transaction, seed, change.clone(), now)?,
        None => remove(&transaction, of.key)?,
    }
    letters(&transaction, of.letters, (seed, now))?;
    let (bucket, digest) = of.digest;
    add_to_digest(&transaction, bucket.into(), digest)?;
    let kept_from = newest_record_ms(&transaction)?.map_or(0, kept_from);
    for (what, values) in of.numbers {
        if let Some(row) = NumberRow::of(what)
            && !row.is_past(kept_from)
        {
            sums::add_to_number(&transaction, what, row, *values)?;
        }
    }
    note(&transaction)?;
    crash::point(crash::BEFORE_REWRITE);
    transaction.commit()?;
    crash::point(crash::AFTER_REWRITE);
    Ok(Rewritten::Done)
}

/// How often a license was rewritten beside the writer.
pub(super) fn count(connection: &Connection) -> Result<i64, Error> {
    let sql = "select value from meta where name = 'rewrites'";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(0))
}

/// Whoever has licenses at hand forgets them.
fn note(connection: &Connection) -> Result<(), Error> {
    let sql = "insert into meta (name, value) values ('rewrites', 1)
         on conflict (name) do update set value = value + 1";
    connection.execute(sql, [])?;
    Ok(())
}

/// The number of a license that has a row.
fn number_of(connection: &Connection, key: &LicenseKey) -> Result<Option<i64>, Error> {
    let sql = "select license.number from license join tenant on tenant.number = license.tenant
         where tenant.tenant_id = ?1 and license.license_id = ?2";
    let names = params![key.tenant_id, key.license_id];
    let found = connection.query_row(sql, names, |row| row.get(0));
    Ok(found.optional()?)
}

/// The number of a row of the license that is lost: its events and its conflicts have it still.
fn lost_number(connection: &Connection, change: &LicenseChange) -> Result<Option<i64>, Error> {
    let key = &*change.key;
    let sql = "select license from rejected where tenant_id = ?1 and license_id = ?2 and event_id is not null
         and license not in (select number from license) limit 1";
    let names = params![key.tenant_id, key.license_id];
    let found = connection.query_row(sql, names, |row| row.get(0));
    if let Some(number) = found.optional()? {
        return Ok(Some(number));
    }
    let mut statement = connection.prepare_cached(
        "select license from timeline where lane = ?1 and partition = ?2 and offset = ?3 and event_id = ?4
           and not exists (select 1 from license where number = timeline.license)",
    )?;
    for event in &change.timeline {
        let (TimelineChange::Append(said)
        | TimelineChange::Move(said)
        | TimelineChange::Replace(said)) = event;
        let place = params![
            lane_number(said.at.lane),
            said.at.partition,
            said.at.offset,
            said.event.event_id.as_bytes()
        ];
        let found = statement.query_row(place, |row| row.get(0)).optional()?;
        if let Some(number) = found {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Nothing stays of a license but the letters of records that only name it.
fn remove(connection: &Connection, key: &LicenseKey) -> Result<(), Error> {
    let Some(number) = number_of(connection, key)? else {
        return Ok(());
    };
    clear(connection, number)?;
    connection.execute("delete from license where number = ?1", [number])?;
    connection.execute("delete from rejected where license = ?1", [number])?;
    Ok(())
}

fn clear(connection: &Connection, number: i64) -> Result<(), Error> {
    for table in ["device", "usage", "timeline"] {
        let sql = format!("delete from {table} where license = ?1");
        connection.execute(&sql, [number])?;
    }
    Ok(())
}

/// Writes a license from nothing, under the number that it has.
fn write(
    connection: &Connection,
    seed: u64,
    mut change: LicenseChange,
    now: i64,
) -> Result<(), Error> {
    let lost = lost_number(connection, &change)?;
    if let Some(lost) = lost {
        // A row that came after the one that was lost has another number.
        clear(connection, lost)?;
    }
    let number = number_of(connection, &change.key)?.or(lost);
    if let Some(number) = number {
        connection.execute("delete from license where number = ?1", [number])?;
    }
    let number = begin(connection, &change.key, number)?;
    // Where the number is a new one, it may be that of another license whose row was lost.
    clear(connection, number)?;
    conflicts(connection, number, &mut change)?;
    let found = Found {
        number: Some(number),
        past: nothing_yet(),
        ..Found::new_of(None)
    };
    Writer::new(connection, seed, now)?.write(&found, &change)?;
    Ok(())
}

/// Makes the row of a license that says nothing yet.
fn begin(connection: &Connection, key: &LicenseKey, number: Option<i64>) -> Result<i64, Error> {
    let sql = "insert into tenant (tenant_id) values (?1)
         on conflict (tenant_id) do update set tenant_id = excluded.tenant_id returning number";
    let tenant: i64 = connection.query_row(sql, [&key.tenant_id], |row| row.get(0))?;
    connection.execute(
        "insert into license (number, tenant, license_id, lifecycle, event_count, events, seats_used)
         values (?1, ?2, ?3, 0, 0, zeroblob(16), 0)",
        params![number, tenant, key.license_id],
    )?;
    Ok(connection.last_insert_rowid())
}

/// Conflicts that are known keep their rows, and what was done about them.
fn conflicts(
    connection: &Connection,
    number: i64,
    change: &mut LicenseChange,
) -> Result<(), Error> {
    let key = change.key.clone();
    let mut known = Vec::new();
    let sql = "select id, event_id, body from rejected where event_id is not null
         and (license = ?1 or tenant_id = ?2 and license_id = ?3) order by id";
    let of = params![number, key.tenant_id, key.license_id];
    each_row(connection, sql, of, |row| {
        let event_id: Vec<u8> = row.get(1)?;
        known.push(KnownConflict {
            id: row.get(0)?,
            event_id: uuid::Uuid::from_slice(&event_id).unwrap_or_default(),
            body: row.get::<_, Option<Vec<u8>>>(2)?.unwrap_or_default(),
        });
        Ok(())
    })?;
    let rows = keep_conflicts(change, known);
    for id in rows.gone {
        connection.execute("delete from rejected where id = ?1", [id])?;
    }
    let sql =
        "update rejected set license = ?2, tenant_id = ?3, license_id = ?4, reason = ?5, error = ?6
         where id = ?1";
    for id in rows.kept {
        let reason = Reason::EventConflict.name();
        let names = params![id, number, key.tenant_id, key.license_id, reason, CONFLICT];
        connection.execute(sql, names)?;
    }
    Ok(())
}

/// Letters that are there keep their rows, and what was done about them.
fn letters(
    connection: &Connection,
    letters: &LettersAsTheyAre,
    (seed, now): (u64, i64),
) -> Result<(), Error> {
    let of = "event_id is null and lane = ?1 and partition = ?2 and offset = ?3";
    for (lane, partition, offset) in &letters.gone {
        let sql = format!("delete from rejected where {of}");
        connection.execute(&sql, params![lane_number(*lane), partition, offset])?;
    }
    for rejected in &letters.put {
        let at = rejected.record.at;
        let place = params![lane_number(at.lane), at.partition, at.offset];
        let sql = format!("select min(id) from rejected where {of}");
        let known: Option<i64> = connection.query_row(&sql, place, |row| row.get(0))?;
        Writer::new(connection, seed, now)?.write_rejected(rejected)?;
        if let Some(known) = known {
            let written = connection.last_insert_rowid();
            let sql = format!(
                "update rejected set {LETTER_IS_AS} from rejected as n where rejected.id = ?1 and n.id = ?2"
            );
            connection.execute(&sql, [known, written])?;
            let sql = format!("delete from rejected where {of} and id <> ?4");
            let others = params![lane_number(at.lane), at.partition, at.offset, known];
            connection.execute(&sql, others)?;
        }
    }
    Ok(())
}
