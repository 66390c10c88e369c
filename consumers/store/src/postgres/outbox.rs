//! Letters: rejected rows that no broker has acknowledged yet.

use licenseflow_avro::{Lane, PartitionId};
use uuid::Uuid;

use super::session::Work;
use crate::Error;
use crate::columns::partition_numbers;
use crate::dead_letters::letter;
use crate::read_model::{LETTERS_BYTES, Letter};

/// How long a writer keeps the turn to send after it last asked for letters or marked some. A round of
/// letters that takes longer may meet another's: letters are sent at least once.
const TURN_MS: i64 = 10_000;

/// Takes the turn, or keeps it; false: another writer has it.
pub(crate) async fn take_turn(work: &Work<'_>, holder: Uuid) -> Result<bool, Error> {
    let sql = "insert into letters_turn as it (turn, holder, until_ms)
         select 1, $1::uuid, now_ms + $2::bigint
         from (select (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms) as clock
         on conflict (turn) do update set holder = excluded.holder, until_ms = excluded.until_ms
         where it.holder = excluded.holder or it.until_ms < excluded.until_ms - $2::bigint";
    Ok(work.execute(sql, &[&holder, &TURN_MS]).await? == 1)
}

/// Gives the turn up, if it is this writer's.
pub(crate) async fn leave_turn(work: &Work<'_>, holder: Uuid) -> Result<(), Error> {
    let sql = "delete from letters_turn where turn = 1 and holder = $1";
    work.execute(sql, &[&holder]).await?;
    Ok(())
}

/// See [`crate::Outbox::unsent`]. The database sends no more than a round's bytes, as far as keys and
/// values go.
pub(crate) async fn unsent(
    work: &Work<'_>,
    after: i64,
    limit: usize,
    except: &[(Lane, PartitionId)],
) -> Result<Vec<Letter>, Error> {
    let sql = "select id, timestamp_ms, lane, partition, log_offset, reason, error, license is not null, key,
           value, headers
         from (
           select *, sum(coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0))
               over (order by id rows between unbounded preceding and 1 preceding) as bytes_before
           from (select * from rejected where sent_at_ms is null and id > $1
               and (lane::bigint << 32 | partition) <> all($4) order by id limit $2) as unsent
         ) as it
         where coalesce(bytes_before, 0) < $3 order by id";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = work
        .rows(
            sql,
            &[
                &after,
                &limit,
                &(LETTERS_BYTES as i64),
                &partition_numbers(except),
            ],
        )
        .await?;
    let (mut letters, mut bytes) = (Vec::new(), 0);
    for row in &rows {
        let letter = letter(row)?;
        bytes += letter.content.bytes();
        letters.push(letter);
        if bytes >= LETTERS_BYTES {
            break;
        }
    }
    Ok(letters)
}

/// See [`crate::Outbox::mark_sent`].
pub(crate) async fn mark_sent(work: &Work<'_>, ids: &[i64], now: i64) -> Result<(), Error> {
    let sql = "update rejected set sent_at_ms = $2 where id = any($1)";
    work.execute(sql, &[&ids, &now]).await?;
    Ok(())
}
