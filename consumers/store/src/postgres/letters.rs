//! The dead letters of a generation, over a connection of their own beside the writers'.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;

use super::connection::Address;
use super::migrate;
use super::rejected::lane_column;
use super::session::{Lasting, Session, Work};
use crate::Error;
use crate::dead_letters::{
    DeadLetters, Filling, LetterQuery, LetterRow, LetterState, OPEN, letter_columns, letter_row,
    whole_letter,
};
use crate::lookup::{Page, RecordPlace};
use crate::read_model::LetterContent;

/// How long one statement may take; whoever asks waits no longer than 10 s.
const STATEMENT_MAX: Duration = Duration::from_secs(5);

/// As many rows are read at once.
const PIECE: usize = 1000;

/// The letters of a generation in PostgreSQL. Its calls must not be made from a thread of the runtime that it
/// is given.
pub struct PostgresLetters {
    address: Address,
    runtime: Handle,
    /// None before the first call, and after the connection was lost.
    session: Mutex<Option<Session>>,
}

impl PostgresLetters {
    /// Nothing is connected before the first call.
    ///
    /// # Errors
    /// [`Error::Unusable`] where the address is none.
    pub fn open(url: &str, schema: &str, runtime: Handle) -> Result<Self, Error> {
        Ok(Self {
            address: Address::parse(url, schema)?,
            runtime,
            session: Mutex::default(),
        })
    }

    /// Does work in one transaction.
    fn work<T>(&self, task: impl AsyncFnOnce(&Work<'_>) -> Result<T, Error>) -> Result<T, Error> {
        // What a panic leaves behind is a connection that is looked at anew.
        let mut held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        self.runtime.block_on(async {
            let mut session = match held.take().filter(|session| !session.is_closed()) {
                Some(session) => session,
                None => {
                    let mut session =
                        Session::open(&self.address, STATEMENT_MAX, &self.runtime).await?;
                    migrate::known(session.client(), self.address.schema()).await?;
                    session
                }
            };
            let done = session.transaction(Lasting::AtOnce, task).await;
            if !matches!(done, Err(Error::Away(_))) {
                *held = Some(session);
            }
            done
        })
    }

    /// Changes rows, and tells readers: a license may show other letters now, at the same position.
    fn mark(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        self.work(async |work| {
            let changed = work.execute(sql, values).await?;
            work.tell(self.address.schema());
            Ok(changed)
        })
    }
}

impl DeadLetters for PostgresLetters {
    fn letters(&self, query: &LetterQuery) -> Result<Page<LetterRow, i64>, Error> {
        let sql = select(query);
        self.work(async |work| {
            let mut filling = Filling::of(query);
            // Where filters leave too few of them, more are read at once.
            let mut piece = query.limit.saturating_add(1).min(PIECE);
            loop {
                let (after, most) = (filling.after(), piece as i64);
                let mut values: Vec<&(dyn ToSql + Sync)> = vec![&after, &most];
                let names = query.license();
                let request_id = query.request_id.as_ref().map(|it| it.as_str());
                if let Some((tenant_id, license_id)) = &names {
                    values.extend([tenant_id as &(dyn ToSql + Sync), license_id]);
                } else if let Some(request_id) = &request_id {
                    values.push(request_id);
                }
                let rows = work.rows(&sql, &values).await?;
                let are_all = rows.len() < piece;
                let count = rows.len();
                for (place, row) in rows.iter().enumerate() {
                    if filling.look_at(letter_row(row)?) {
                        return Ok(filling.page(are_all && place + 1 == count));
                    }
                }
                if are_all {
                    return Ok(filling.page(true));
                }
                piece = PIECE;
            }
        })
    }

    fn letter(
        &self,
        (lane, partition, offset): RecordPlace,
    ) -> Result<Option<(LetterRow, LetterContent)>, Error> {
        let sql = format!(
            "select {}, key, value, headers from rejected where lane = $1 and partition = $2 and log_offset = $3",
            letter_columns("log_offset")
        );
        let lane = lane_column(lane);
        let rows = self.work(async |work| work.rows(&sql, &[&lane, &partition, &offset]).await)?;
        rows.first().map(whole_letter).transpose()
    }

    fn mark_resolved(&self, ids: &[i64], reason: &str, now: i64) -> Result<usize, Error> {
        let sql = format!(
            "update rejected set resolved_at_ms = $2, resolved_reason = $3 where id = any($1) and {OPEN}"
        );
        let changed = self.mark(&sql, &[&ids, &now, &reason])?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    fn mark_redriven(&self, ids: &[i64], now: i64) -> Result<(), Error> {
        let sql = "update rejected set redrives = redrives + 1,
               redriven_at_ms = case when event_id is null then $2::bigint end
             where id = any($1)";
        self.mark(sql, &[&ids, &now]).map(drop)
    }
}

/// The rows that are looked at for a page: as few as an index knows.
fn select(query: &LetterQuery) -> String {
    let columns = letter_columns("log_offset");
    let mut sql = format!("select {columns} from rejected where id > $1");
    if query.state == Some(LetterState::Open) {
        sql = format!("{sql} and {OPEN}");
    }
    if query.license().is_some() {
        sql.push_str(" and tenant_id = $3 and license_id = $4");
    } else if query.request_id.is_some() {
        sql.push_str(" and request_id = $3");
    }
    sql.push_str(" order by id limit $2");
    sql
}
