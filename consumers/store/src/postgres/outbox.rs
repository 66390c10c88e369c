//! Letters: rejected rows that no broker has acknowledged yet.

use licenseflow_avro::Reason;
use tokio_postgres::Row;

use super::session::Work;
use crate::Error;
use crate::columns::{Columns, coordinates, headers_of_blob, needed};
use crate::read_model::{LETTERS_BYTES, Letter, LetterContent};

/// See [`crate::Outbox::unsent`]. The database sends no more than a round's bytes, as far as keys and
/// values go.
pub(crate) async fn unsent(
    work: &mut Work<'_>,
    after: i64,
    limit: usize,
) -> Result<Vec<Letter>, Error> {
    let sql = "select id, timestamp_ms, lane, partition, log_offset, reason, error, license is not null, key,
           value, headers
         from (
           select *, sum(coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0))
               over (order by id rows between unbounded preceding and 1 preceding) as bytes_before
           from (select * from rejected where sent_at_ms is null and id > $1 order by id limit $2) as unsent
         ) as it
         where coalesce(bytes_before, 0) < $3 order by id";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = work
        .rows(sql, &[&after, &limit, &(LETTERS_BYTES as i64)])
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
pub(crate) async fn mark_sent(work: &mut Work<'_>, ids: &[i64], now: i64) -> Result<(), Error> {
    let sql = "update rejected set sent_at_ms = $2 where id = any($1)";
    work.execute(sql, &[&ids, &now]).await?;
    Ok(())
}

fn letter(row: &Row) -> Result<Letter, Error> {
    let reason = needed(row.text(5)?)?;
    let reason = Reason::from_name(reason)
        .ok_or_else(|| Error::broken(format!("a letter with reason {reason}")))?;
    let in_the_lane = needed(row.boolean(7)?)?;
    let content = if in_the_lane {
        LetterContent::InTheLane
    } else {
        LetterContent::Kept {
            key: row.bytes(8)?.map(<[u8]>::to_vec),
            value: row.bytes(9)?.map(<[u8]>::to_vec),
            headers: headers_of_blob(row.bytes(10)?.unwrap_or_default())?,
        }
    };
    Ok(Letter {
        id: needed(row.integer(0)?)?,
        at: coordinates(row, 1)?,
        reason,
        error: needed(row.text(6)?)?.to_owned(),
        content,
    })
}
