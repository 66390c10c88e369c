//! Letters: rejected rows that no broker has acknowledged yet.

use licenseflow_avro::{Lane, PartitionId};
use rusqlite::params;

use super::writer::SqliteModel;
use crate::columns::partition_numbers;
use crate::dead_letters::letter;
use crate::error::Error;
use crate::read_model::{LETTERS_BYTES, Letter, Outbox};
use crate::waiting::{Done, Due};

impl Outbox for SqliteModel {
    fn unsent(
        &mut self,
        after: i64,
        limit: usize,
        except: &[(Lane, PartitionId)],
    ) -> Result<Vec<Letter>, Error> {
        let mut statement = self.connection.prepare_cached(
            "select id, timestamp_ms, lane, partition, offset, reason, error, license is not null, key, value, headers
             from rejected where sent_at_ms is null and id > ?1
               and (lane << 32 | partition) not in (select value from json_each(?3)) order by id limit ?2",
        )?;
        let except: Vec<String> = partition_numbers(except)
            .iter()
            .map(i64::to_string)
            .collect();
        let except = format!("[{}]", except.join(","));
        let mut rows = statement.query(params![after, limit as i64, except])?;
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

    fn due(&mut self, now: i64, limit: usize) -> Result<Due, Error> {
        self.due_now(now, limit)
    }

    fn mark_done(&mut self, done: &[Done], now: i64) -> Result<(), Error> {
        self.note_done(done, now)
    }

    fn leave(&mut self) -> Result<(), Error> {
        // A file has one writer: there is nobody beside us.
        Ok(())
    }
}
