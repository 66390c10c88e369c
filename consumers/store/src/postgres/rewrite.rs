//! One license rewritten in one transaction, while batches wait. The same as in SQLite.

mod sums;

use std::collections::{BTreeMap, BTreeSet};

use licenseflow_avro::reason::Reason;
use licenseflow_avro::{LicenseKey, Position};
use licenseflow_core::event_counts::kept_from;
use licenseflow_core::fold::TimelineChange;
use licenseflow_core::{LicenseChange, crash};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::applier;
use super::change::{self, Written};
use super::connection::Address;
use super::migrate;
use super::ordered::Timeline;
use super::position;
use super::rejected::{self, RejectedRow, lane_column};
use super::session::{Lasting, Session, Values, Work};
use crate::Error;
use crate::columns::{CONFLICT, Columns};
use crate::generations::check_fold;
use crate::rewrite::{
    KnownConflict, LETTER_IS_AS, LettersAsTheyAre, NumberRow, Rewrite, Rewritten, is_same_place,
    keep_conflicts,
};
use crate::timeline::is_long;

/// How long a statement of it may take.
const STATEMENT_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// Rewrites a license of the generation in this schema.
pub(super) async fn rewrite(
    url: &str,
    schema: &str,
    runtime: &Handle,
    (of, now): (&Rewrite<'_>, i64),
) -> Result<Rewritten, Error> {
    let address = Address::parse(url, schema)?;
    let mut session = Session::open(&address, STATEMENT_MAX, runtime).await?;
    let generation = migrate::known(session.client(), schema).await?;
    check_fold(migrate::fold_version(session.client()).await?)
        .map_err(|error| Error::Unusable(error.to_string()))?;
    let rewriting = async |work: &Work<'_>| {
        // Who begins a batch waits here, before it has locked anything; who reads does not.
        work.execute(
            "lock table batch, position in share row exclusive mode",
            &[],
        )
        .await?;
        let states = position::states(work, generation.number).await?;
        let stands: Position = states
            .iter()
            .map(|it| (it.lane, it.partition, it.next_offset))
            .collect();
        if !is_same_place(&stands, of.at) {
            return Ok(Rewritten::Moved);
        }
        let begun = applier::begin_batch(work, schema, 0, now).await?;
        match of.license {
            Some(change) => write(work, generation.hash_seed, change.clone(), now).await?,
            None => remove(work, of.key).await?,
        }
        letters(work, of.letters, now).await?;
        let (bucket, digest) = of.digest;
        let part = position::lock_digest(work, begun.applier, &BTreeSet::from([bucket])).await?;
        let changes = BTreeMap::from([(bucket, digest)]);
        position::add_to_digest(work, begun.applier, &part, &changes).await?;
        let kept_from = begun.newest_ms.map_or(0, kept_from);
        for (what, values) in of.numbers {
            if let Some(row) = NumberRow::of(what)
                && !row.is_past(kept_from)
            {
                sums::add_to_number(work, begun.applier, what, (row, *values)).await?;
            }
        }
        work.tell(schema);
        crash::point(crash::BEFORE_REWRITE);
        Ok(Rewritten::Done)
    };
    let rewritten = session.transaction(Lasting::AtOnce, rewriting).await?;
    if rewritten == Rewritten::Done {
        crash::point(crash::AFTER_REWRITE);
    }
    Ok(rewritten)
}

async fn number_at(work: &Work<'_>, sql: &str, values: Values<'_>) -> Result<Option<i64>, Error> {
    let rows = work.rows(sql, values).await?;
    let number = rows.first().map(|row| row.integer(0)).transpose()?;
    Ok(number.flatten())
}

/// The number of a license that has a row.
async fn number_of(work: &Work<'_>, key: &LicenseKey) -> Result<Option<i64>, Error> {
    let sql = "select number from license where tenant_id = $1 and license_id = $2";
    number_at(work, sql, &[&key.tenant_id, &key.license_id]).await
}

/// The number of a row of the license that is lost: its events and its conflicts have it still.
async fn lost_number(work: &Work<'_>, change: &LicenseChange) -> Result<Option<i64>, Error> {
    let key = &*change.key;
    let sql = "select license from rejected where tenant_id = $1 and license_id = $2 and event_id is not null
         and not exists (select from license where license.tenant_id = $1 and number = rejected.license) limit 1";
    let names: Values<'_> = &[&key.tenant_id, &key.license_id];
    if let Some(number) = number_at(work, sql, names).await? {
        return Ok(Some(number));
    }
    let sql = "select license from timeline
         where tenant_id = $1 and lane = $2 and partition = $3 and log_offset = $4 and event_id = $5
           and not exists (select from license where license.tenant_id = $1 and number = timeline.license)";
    for event in &change.timeline {
        let (TimelineChange::Append(said)
        | TimelineChange::Move(said)
        | TimelineChange::Replace(said)) = event;
        let at = said.at;
        let place: Values<'_> = &[
            &key.tenant_id,
            &lane_column(at.lane),
            &at.partition,
            &at.offset,
            &said.event.event_id,
        ];
        if let Some(number) = number_at(work, sql, place).await? {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Nothing stays of a license but the letters of records that only name it.
async fn remove(work: &Work<'_>, key: &LicenseKey) -> Result<(), Error> {
    let Some(number) = number_of(work, key).await? else {
        return Ok(());
    };
    clear(work, &key.tenant_id, number).await?;
    let of: Values<'_> = &[&key.tenant_id, &number];
    for sql in [
        "delete from license where tenant_id = $1 and number = $2",
        "delete from rejected where tenant_id = $1 and license = $2",
    ] {
        work.execute(sql, of).await?;
    }
    Ok(())
}

async fn clear(work: &Work<'_>, tenant_id: &str, number: i64) -> Result<(), Error> {
    for table in ["device", "usage", "timeline"] {
        let sql = format!("delete from {table} where tenant_id = $1 and license = $2");
        work.execute(&sql, &[&tenant_id, &number]).await?;
    }
    Ok(())
}

/// Writes a license from nothing, under the number that it has.
async fn write(
    work: &Work<'_>,
    seed: u64,
    mut change: LicenseChange,
    now: i64,
) -> Result<(), Error> {
    let key = change.key.clone();
    let lost = lost_number(work, &change).await?;
    if let Some(lost) = lost {
        // A row that came after the one that was lost has another number.
        clear(work, &key.tenant_id, lost).await?;
    }
    let number = number_of(work, &key).await?.or(lost);
    let number = begin(work, &key, number).await?;
    clear(work, &key.tenant_id, number).await?;
    conflicts(work, number, &mut change).await?;
    let timeline = match is_long(&change.state) {
        true => Timeline::BecomesOrdered,
        false => Timeline::Unordered,
    };
    let written = Written {
        number,
        is_changed: true,
        timeline,
        change,
    };
    change::write(work, &[written], seed, now).await
}

/// Makes the row of a license that says nothing yet.
async fn begin(work: &Work<'_>, key: &LicenseKey, number: Option<i64>) -> Result<i64, Error> {
    let names: Values<'_> = &[&key.tenant_id, &key.license_id];
    let sql = "delete from license where tenant_id = $1 and license_id = $2";
    work.execute(sql, names).await?;
    if let Some(number) = number {
        let sql = "insert into license (tenant_id, license_id, number) overriding system value
             values ($1, $2, $3)";
        work.execute(sql, &[&key.tenant_id, &key.license_id, &number])
            .await?;
        return Ok(number);
    }
    let sql = "insert into license (tenant_id, license_id) values ($1, $2) returning number";
    let number = number_at(work, sql, names).await?;
    number.ok_or_else(|| Error::broken("a license without a number"))
}

/// Conflicts that are known keep their rows, and what was done about them.
async fn conflicts(work: &Work<'_>, number: i64, change: &mut LicenseChange) -> Result<(), Error> {
    let key = change.key.clone();
    let sql =
        "select id, event_id, body from rejected where event_id is not null and tenant_id = $1
         and (license = $2 or license_id = $3) order by id";
    let of: Values<'_> = &[&key.tenant_id, &number, &key.license_id];
    let mut known = Vec::new();
    for row in work.rows(sql, of).await? {
        let body: Option<Vec<u8>> = row.try_get(2)?;
        known.push(KnownConflict {
            id: row.try_get(0)?,
            event_id: row.try_get::<_, Uuid>(1)?,
            body: body.unwrap_or_default(),
        });
    }
    let rows = keep_conflicts(change, known);
    work.execute("delete from rejected where id = any($1)", &[&rows.gone])
        .await?;
    let sql = "update rejected set license = $2, license_id = $3, reason = $4, error = $5 where id = any($1)";
    let reason = Reason::EventConflict.name();
    let values: Values<'_> = &[&rows.kept, &number, &key.license_id, &reason, &CONFLICT];
    work.execute(sql, values).await?;
    Ok(())
}

/// Letters that are there keep their rows, and what was done about them.
async fn letters(work: &Work<'_>, letters: &LettersAsTheyAre, now: i64) -> Result<(), Error> {
    let of = "event_id is null and lane = $1 and partition = $2 and log_offset = $3";
    for (lane, partition, offset) in &letters.gone {
        let sql = format!("delete from rejected where {of}");
        work.execute(&sql, &[&lane_column(*lane), partition, offset])
            .await?;
    }
    for put in &letters.put {
        let at = put.record.at;
        let lane = lane_column(at.lane);
        let place: Values<'_> = &[&lane, &at.partition, &at.offset];
        let sql = format!("select min(id) from rejected where {of}");
        let known = number_at(work, &sql, place).await?;
        rejected::insert(work, &[RejectedRow::fault(put)], now).await?;
        let Some(known) = known else {
            continue;
        };
        let sql = format!("select max(id) from rejected where {of}");
        let written = number_at(work, &sql, place).await?;
        let sql = format!(
            "update rejected set {LETTER_IS_AS} from rejected as n where rejected.id = $1 and n.id = $2"
        );
        work.execute(&sql, &[&known, &written]).await?;
        let sql = format!("delete from rejected where {of} and id <> $4");
        let others: Values<'_> = &[&lane, &at.partition, &at.offset, &known];
        work.execute(&sql, others).await?;
    }
    Ok(())
}
