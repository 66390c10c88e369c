//! A writer's connection: its statements prepared once, its work in one transaction, and the server's
//! silence bounded.
//!
//! A batch may take as long as it has statements; what may not take long is one of them. So the server ends
//! a statement that takes too long, and where the server itself says nothing, the connection is given up.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures::{TryStreamExt, poll};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::connection::Address;
use super::error::its_own;
use crate::Error;

/// How long a connection may take to be made and set up.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// How much longer than a statement may take its answer may, before the server counts as away.
const ANSWER_LATE: Duration = Duration::from_secs(5);

/// A writer that stops must not sit on its locks: others wait a few seconds for them, and one that says
/// nothing inside its transaction loses it. Rows are read by their keys alone, and what the planner
/// believes of tables that it has not looked at yet must not turn that into a reading of all.
const SETTINGS: &str = "set lock_timeout to '5s';
    set idle_in_transaction_session_timeout to '10s';
    set plan_cache_mode to force_custom_plan;
    set enable_seqscan to off;
    set enable_hashjoin to off;
    set enable_mergejoin to off";

/// What who reads all rows, in one snapshot, sets for one transaction: they are joined whole, and it takes
/// as long as it takes.
const WHOLE: &str = "set transaction isolation level repeatable read, read only;
    set local statement_timeout to 0;
    set local enable_hashjoin to on; set local enable_seqscan to on; set local work_mem to '32MB'";

/// What who makes or takes away what belongs to all rows sets for one transaction.
const LONG: &str = "set local statement_timeout to 0;
    set local maintenance_work_mem to '64MB'";

/// Whether what is committed must outlast a loss of power at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// It is on disk before anybody hears of it: nothing else would give it back.
    AtOnce,
    /// It is on disk a moment later. A loss of power may take the last commits; positions go with them, and
    /// the log gives them back.
    Soon,
}

impl Lasting {
    fn begin(self) -> &'static str {
        match self {
            Self::AtOnce => "begin",
            Self::Soon => "begin; set local synchronous_commit to off",
        }
    }
}

/// A connection with what was prepared on it.
pub(crate) struct Session {
    client: Client,
    prepared: RefCell<HashMap<String, Statement>>,
    statement_max: Duration,
}

impl Session {
    pub(crate) async fn open(
        address: &Address,
        statement_max: Duration,
        runtime: &Handle,
    ) -> Result<Self, Error> {
        let opening = async {
            let client = address.connect(runtime).await?;
            // 0 would be for ever.
            let longest = statement_max.as_millis().max(1);
            let settings = format!("{SETTINGS}; set statement_timeout to {longest}");
            client.batch_execute(&settings).await?;
            Ok(client)
        };
        let opened = timeout(OPEN_MAX, opening).await;
        Ok(Self {
            client: opened.unwrap_or_else(|_| Err(silent(OPEN_MAX)))?,
            prepared: RefCell::default(),
            statement_max,
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The connection itself, before there is a schema to work on.
    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Does work in one transaction. A row that is locked is read as it is after whoever held it before, not
    /// as it was when the transaction began. After an error nothing of it stays, and the session can be used
    /// again unless the error is [`Error::Away`].
    pub(crate) async fn transaction<T>(
        &mut self,
        lasting: Lasting,
        task: impl AsyncFnOnce(&Work<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let work = Work {
            session: self,
            turn: Mutex::new(()),
            heard: Cell::new(Instant::now()),
            silence_max: Cell::new(Some(self.statement_max + ANSWER_LATE)),
            farewell: RefCell::new("commit".to_owned()),
        };
        // The beginning and what is asked first travel together.
        let done = tokio::try_join!(biased; work.say(lasting.begin()), task(&work));
        match done {
            Ok(((), done)) => {
                let farewell = work.farewell.take();
                work.say(&farewell).await?;
                Ok(done)
            }
            Err(away @ Error::Away(_)) => Err(away),
            Err(error) => {
                work.say("rollback").await?;
                Err(error)
            }
        }
    }
}

/// One transaction.
pub(crate) struct Work<'s> {
    session: &'s Session,
    /// Whose turn it is to send.
    turn: Mutex<()>,
    /// When the server last answered.
    heard: Cell<Instant>,
    /// None where it may take as long as it takes.
    silence_max: Cell<Option<Duration>>,
    /// What is said at its end.
    farewell: RefCell<String>,
}

/// The values of a statement.
pub(crate) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Work<'_> {
    /// All rows that a statement gives.
    pub(crate) async fn rows(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
        let client = &self.session.client;
        self.send(sql, async |statement| client.query(statement, values).await)
            .await
    }

    /// How many rows a statement changed.
    pub(crate) async fn execute(&self, sql: &str, values: Values<'_>) -> Result<u64, Error> {
        let client = &self.session.client;
        self.send(sql, async |statement| {
            client.execute(statement, values).await
        })
        .await
    }

    /// Tells whoever listens on a channel that something has changed, once it is committed.
    pub(crate) fn tell(&self, channel: &str) {
        self.farewell.replace(format!("notify {channel}; commit"));
    }

    /// From here on all rows are read, as they are now and for as long as it takes; nothing was asked
    /// before.
    pub(crate) async fn read_whole(&self) -> Result<(), Error> {
        self.say(WHOLE).await?;
        self.silence_max.set(None);
        Ok(())
    }

    /// Hands the rows of a statement over one at a time.
    pub(crate) async fn each_row(
        &self,
        sql: &str,
        values: Values<'_>,
        mut visit: impl FnMut(&Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let statement = self.prepare(sql).await?;
        let client = &self.session.client;
        let values = values.iter().copied();
        let rows = self.in_time(its_own(client.query_raw(&statement, values)));
        let mut rows = pin!(rows.await?);
        while let Some(row) = self.in_time(its_own(rows.try_next())).await? {
            visit(&row)?;
        }
        Ok(())
    }

    /// What is asked from here on takes as long as it takes: all rows are gone through for it.
    pub(crate) async fn takes_long(&self) -> Result<(), Error> {
        self.say(LONG).await?;
        self.silence_max.set(None);
        Ok(())
    }

    /// Copies rows in, of these types.
    pub(crate) async fn copy(
        &self,
        sql: &str,
        types: &[Type],
        write: impl AsyncFnOnce(Pin<&mut BinaryCopyInWriter>) -> Result<(), tokio_postgres::Error>,
    ) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let statement = self.prepare(sql).await?;
        let copying = async {
            let sink = self.session.client.copy_in(&statement).await?;
            let mut writer = pin!(BinaryCopyInWriter::new(sink, types));
            write(writer.as_mut()).await?;
            writer.finish().await
        };
        self.in_time(its_own(copying)).await?;
        Ok(())
    }

    async fn say(&self, words: &str) -> Result<(), Error> {
        let said = its_own(self.session.client.batch_execute(words));
        self.in_time(said).await
    }

    /// Sends a statement in its turn: several that are asked together are sent in the order in which they
    /// were asked first, also where one has to be prepared before. So each sees what those before it did.
    async fn send<T>(
        &self,
        sql: &str,
        ask: impl AsyncFnOnce(&Statement) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Error> {
        let turn = self.turn.lock().await;
        let statement = self.prepare(sql).await?;
        let mut answer = pin!(its_own(ask(&statement)));
        // With the first poll it is sent.
        let at_once = poll!(answer.as_mut());
        drop(turn);
        match at_once {
            Poll::Ready(answer) => answer,
            Poll::Pending => self.in_time(answer).await,
        }
    }

    async fn prepare(&self, sql: &str) -> Result<Statement, Error> {
        let known = self.session.prepared.borrow().get(sql).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let statement = its_own(self.session.client.prepare(sql));
        let statement = self.in_time(statement).await?;
        let mut prepared = self.session.prepared.borrow_mut();
        prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Waits for an answer as long as the server says anything at all: what was sent before is answered
    /// before, and each statement has its own time.
    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let (begun, mut answer) = (Instant::now(), pin!(answer));
        loop {
            let Some(longest) = self.silence_max.get() else {
                return answer.await;
            };
            let until = self.heard.get().max(begun) + longest;
            if let Ok(answer) = timeout_at(until, answer.as_mut()).await {
                self.heard.set(Instant::now());
                return answer;
            }
            if self.heard.get().max(begun) + longest <= Instant::now() {
                return Err(silent(longest));
            }
        }
    }
}

/// The server says nothing.
pub(crate) fn silent(longest: Duration) -> Error {
    Error::Away(format!("PostgreSQL gave no answer within {} s", longest.as_secs()).into())
}
