//! A writer's connection: its statements prepared once, its work in one transaction.

use std::collections::HashMap;

use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement, Transaction};

use super::connection::Address;
use crate::Error;

/// A writer that stops must not sit on its locks: others wait a few seconds for them, and one that says
/// nothing inside its transaction loses it. Rows are read by their keys alone, and what the planner
/// believes of tables that it has not looked at yet must not turn that into a reading of all.
const SETTINGS: &str = "set lock_timeout to '5s';
    set idle_in_transaction_session_timeout to '10s';
    set plan_cache_mode to force_custom_plan;
    set enable_seqscan to off;
    set enable_hashjoin to off;
    set enable_mergejoin to off";

type Prepared = HashMap<String, Statement>;

/// A connection with what was prepared on it.
pub(crate) struct Session {
    client: Client,
    prepared: Prepared,
}

impl Session {
    pub(crate) async fn open(address: &Address, runtime: &Handle) -> Result<Self, Error> {
        let client = address.connect(runtime).await?;
        client.batch_execute(SETTINGS).await?;
        Ok(Self {
            client,
            prepared: Prepared::new(),
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The connection itself, before there is a schema to work on.
    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Begins a transaction; dropped without [`Work::commit`], nothing of it stays. A row that is locked
    /// is read as it is after whoever held it before, not as it was when the transaction began.
    pub(crate) async fn begin(&mut self) -> Result<Work<'_>, Error> {
        let transaction = self.client.transaction().await?;
        Ok(Work {
            transaction,
            prepared: &mut self.prepared,
        })
    }
}

/// One transaction.
pub(crate) struct Work<'s> {
    transaction: Transaction<'s>,
    prepared: &'s mut Prepared,
}

/// The values of a statement.
pub(crate) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Work<'_> {
    /// All rows that a statement gives.
    pub(crate) async fn rows(&mut self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql).await?;
        Ok(self.transaction.query(&statement, values).await?)
    }

    /// How many rows a statement changed.
    pub(crate) async fn execute(&mut self, sql: &str, values: Values<'_>) -> Result<u64, Error> {
        let statement = self.prepare(sql).await?;
        Ok(self.transaction.execute(&statement, values).await?)
    }

    /// Settings of this transaction alone.
    pub(crate) async fn settings(&mut self, sql: &str) -> Result<(), Error> {
        Ok(self.transaction.batch_execute(sql).await?)
    }

    /// Hands the rows of a statement over a bounded number at a time.
    pub(crate) async fn each_row(
        &mut self,
        sql: &str,
        mut visit: impl FnMut(&Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        const AT_A_TIME: i32 = 4096;
        let statement = self.prepare(sql).await?;
        let portal = self.transaction.bind(&statement, &[]).await?;
        loop {
            let rows = self.transaction.query_portal(&portal, AT_A_TIME).await?;
            for row in &rows {
                visit(row)?;
            }
            if rows.len() < AT_A_TIME as usize {
                return Ok(());
            }
        }
    }

    pub(crate) async fn commit(self) -> Result<(), Error> {
        Ok(self.transaction.commit().await?)
    }

    async fn prepare(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(known) = self.prepared.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.transaction.prepare(sql).await?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}
