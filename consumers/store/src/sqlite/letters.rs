//! The dead letters of a file, over a connection of their own beside the writer's.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::connection;
use super::rows::lane_number;
use crate::Error;
use crate::dead_letters::{
    DeadLetters, Filling, LetterQuery, LetterRow, LetterState, OPEN, letter_columns, letter_row,
    whole_letter,
};
use crate::lookup::{Page, RecordPlace};
use crate::read_model::LetterContent;

/// The letters of a file that this process writes: its one writer and this take turns.
pub struct SqliteLetters(Mutex<Connection>);

impl SqliteLetters {
    /// Opens the file that a writer has made.
    ///
    /// # Errors
    /// [`Error::Unusable`] where it is not of this release, [`Error::Away`] where it has no read model yet.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self(Mutex::new(connection::open_beside(path)?)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A transaction that was not committed is rolled back when it is dropped.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes each of these rows, in one transaction; how many rows it were.
    fn change(
        &self,
        sql: &str,
        ids: &[i64],
        mark: &[&dyn rusqlite::ToSql],
    ) -> Result<usize, Error> {
        let mut connection = self.connection();
        let behavior = rusqlite::TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(behavior)?;
        let mut changed = 0;
        {
            let mut statement = transaction.prepare_cached(sql)?;
            for id in ids {
                let mut values: Vec<&dyn rusqlite::ToSql> = vec![id];
                values.extend(mark);
                changed += statement.execute(values.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(changed)
    }
}

impl DeadLetters for SqliteLetters {
    fn letters(&self, query: &LetterQuery) -> Result<Page<LetterRow, i64>, Error> {
        let connection = self.connection();
        let mut filling = Filling::of(query);
        let (sql, values) = select(query, filling.after());
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            if filling.look_at(letter_row(row)?) {
                let is_over = rows.next()?.is_none();
                return Ok(filling.page(is_over));
            }
        }
        Ok(filling.page(true))
    }

    fn letter(
        &self,
        (lane, partition, offset): RecordPlace,
    ) -> Result<Option<(LetterRow, LetterContent)>, Error> {
        let connection = self.connection();
        let sql = format!(
            "select {}, key, value, headers from rejected where lane = ?1 and partition = ?2 and offset = ?3",
            letter_columns("offset")
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![lane_number(lane), partition, offset])?;
        rows.next()?.map(whole_letter).transpose()
    }

    fn mark_resolved(&self, ids: &[i64], reason: &str, now: i64) -> Result<usize, Error> {
        let sql = format!(
            "update rejected set resolved_at_ms = ?2, resolved_reason = ?3 where id = ?1 and {OPEN}"
        );
        self.change(&sql, ids, &[&now, &reason])
    }

    fn mark_redriven(&self, ids: &[i64], now: i64) -> Result<(), Error> {
        let sql = "update rejected set redrives = redrives + 1,
               redriven_at_ms = case when event_id is null then ?2 end
             where id = ?1";
        self.change(sql, ids, &[&now]).map(drop)
    }
}

/// The rows that are looked at for a page: as few as an index knows. It is named, since the planner takes rows
/// in their own order for as good.
fn select(query: &LetterQuery, after: i64) -> (String, Vec<Value>) {
    let is_open = query.state == Some(LetterState::Open);
    let (index, which) = match (query.license(), &query.request_id) {
        (Some(_), _) if is_open => (
            "indexed by rejected_open_by_license",
            "and tenant_id = ?2 and license_id = ?3",
        ),
        (Some(_), _) => (
            "indexed by rejected_by_license",
            "and tenant_id = ?2 and license_id = ?3",
        ),
        (None, Some(_)) => ("indexed by rejected_by_request", "and request_id = ?2"),
        (None, None) if is_open => ("indexed by rejected_open", ""),
        (None, None) => ("", ""),
    };
    let open = if is_open { OPEN } else { "true" };
    let sql = format!(
        "select {} from rejected {index} where id > ?1 {which} and {open} order by id",
        letter_columns("offset")
    );
    let mut values = vec![Value::Integer(after)];
    let text = |text: &str| Value::Text(text.to_owned());
    match (query.license(), &query.request_id) {
        (Some((tenant_id, license_id)), _) => values.extend([text(tenant_id), text(license_id)]),
        (None, Some(request_id)) => values.push(text(request_id.as_str())),
        (None, None) => {}
    }
    (sql, values)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use licenseflow_avro::reason::Fault;
    use licenseflow_avro::{Coordinates, Lane, LicenseKey, RawRecord, Reason};
    use licenseflow_core::Batch;

    use super::*;
    use crate::read_model::ReadModel;
    use crate::sqlite::{SqliteModel, SqliteOptions};

    const CLOSED: i64 = 20_000;
    const PAGE: usize = 20;

    /// What it takes to visit a letter: its columns, and the way to the next.
    const STEPS_A_ROW: u64 = 40;

    #[test]
    fn a_page_of_open_letters_visits_no_closed_ones() {
        let name = format!("licenseflow-letters-{}", uuid::Uuid::now_v7().simple());
        let folder = std::env::temp_dir().join(name);
        let path = folder.join("licenseflow.db");
        let mut model = SqliteModel::open(&path, SqliteOptions::default()).unwrap();
        let mut batch = Batch::default();
        let open = PAGE as i64 + 1;
        batch.advance(Lane::Bulk, 0, 0, CLOSED + open);
        for offset in 0..CLOSED + open {
            let record = RawRecord {
                at: Coordinates {
                    timestamp: 0,
                    lane: Lane::Bulk,
                    partition: 0,
                    offset,
                },
                key: None,
                value: None,
                headers: Vec::new(),
            };
            let license = LicenseKey {
                tenant_id: "t".to_owned(),
                license_id: "L".to_owned(),
            };
            batch.reject(
                record,
                Fault::new(Reason::Truncated, "no").naming(Some(license)),
            );
        }
        model.apply(batch, 0).unwrap();
        let letters = SqliteLetters::open(&path).unwrap();
        let ids: Vec<i64> = (1..=CLOSED).collect();
        let closed = letters.mark_resolved(&ids, "known", 1).unwrap();
        assert_eq!(closed, ids.len());

        let steps = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&steps);
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            false
        };
        letters
            .connection()
            .progress_handler(1, Some(count))
            .unwrap();
        let of = |query: LetterQuery| {
            steps.store(0, Ordering::Relaxed);
            let page = letters.letters(&query).unwrap();
            assert_eq!((page.items.len(), page.next.is_some()), (PAGE, true));
            steps.load(Ordering::Relaxed)
        };
        let open = LetterQuery {
            state: Some(LetterState::Open),
            limit: PAGE,
            ..LetterQuery::default()
        };
        let of_license = LetterQuery {
            tenant_id: Some("t".to_owned()),
            license_id: Some("L".to_owned()),
            ..open.clone()
        };
        let all_of_license = LetterQuery {
            state: None,
            after: Some(CLOSED / 2),
            ..of_license.clone()
        };
        for query in [open, of_license, all_of_license] {
            let taken = of(query);
            let most = (PAGE as u64 + 2) * STEPS_A_ROW;
            assert!(taken <= most, "{taken} steps for {PAGE} letters");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
