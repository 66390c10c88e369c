//! Letters: rejected rows that no broker has acknowledged yet.

use licenseflow_avro::Reason;
use rusqlite::params;

use super::rows::{coordinates, headers_of_blob};
use super::writer::SqliteModel;
use crate::error::Error;
use crate::read_model::{LETTERS_BYTES, Letter, LetterContent, Outbox};

impl Outbox for SqliteModel {
    fn unsent(&mut self, after: i64, limit: usize) -> Result<Vec<Letter>, Error> {
        let mut statement = self.connection.prepare_cached(
            "select id, timestamp_ms, lane, partition, offset, reason, error, license is not null, key, value, headers
             from rejected where sent_at_ms is null and id > ?1 order by id limit ?2",
        )?;
        let mut rows = statement.query([after, limit as i64])?;
        let (mut letters, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let letter = letter(row)?;
            bytes += letter.content.bytes();
            letters.push(letter);
            if bytes >= LETTERS_BYTES {
                break;
            }
        }
        Ok(letters)
    }

    fn mark_sent(&mut self, ids: &[i64], now: i64) -> Result<(), Error> {
        let transaction = self.connection.transaction()?;
        {
            let sql = "update rejected set sent_at_ms = ?2 where id = ?1";
            let mut statement = transaction.prepare_cached(sql)?;
            for id in ids {
                statement.execute(params![id, now])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error> {
        // A file has one writer: there is nobody beside us.
        Ok(())
    }
}

fn letter(row: &rusqlite::Row<'_>) -> Result<Letter, Error> {
    let reason: String = row.get(5)?;
    let reason = Reason::from_name(&reason)
        .ok_or_else(|| Error::broken(format!("a letter with reason {reason}")))?;
    let in_the_lane: bool = row.get(7)?;
    let content = if in_the_lane {
        LetterContent::InTheLane
    } else {
        let headers: Option<Vec<u8>> = row.get(10)?;
        LetterContent::Kept {
            key: row.get(8)?,
            value: row.get(9)?,
            headers: headers_of_blob(headers.as_deref().unwrap_or_default())?,
        }
    };
    Ok(Letter {
        id: row.get(0)?,
        at: coordinates(row, 1)?,
        reason,
        error: row.get(6)?,
        content,
    })
}
