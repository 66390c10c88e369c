//! The read side of the PostgreSQL store.
//!
//! Each call takes one connection and reads one snapshot (`repeatable read, read only`), its freshness
//! among it, so that an answer and the position it is said to stand at can never differ. What can be
//! asked at once is sent at once: the beginning of the snapshot, its freshness and the first question
//! travel together. Owns the questions; how rows lie in columns it asks of `columns`, and it writes
//! nothing.

mod devices;
mod history;
mod journey;
mod licenses;
mod news;
mod pool;
mod said;
mod select;
mod timeline;
mod totals;

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object};
use futures::poll;
use licenseflow_avro::LicenseKey;
use licenseflow_core::{Buckets, DeviceState};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, RowStream};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use self::news::News;
use self::pool::Pool;
use super::connection::Address;
use super::error::its_own;
use super::migrate::Generation;
use crate::columns::{Columns, LICENSE_COLUMN_COUNT, LICENSE_COLUMNS, license_state, needed};
use crate::dead_letters::{
    OPEN, OPEN_LETTER_COLUMN_COUNT, OPEN_LETTERS_MAX, OpenLetter, open_letter, open_letter_columns,
};
use crate::lookup::{
    CustomerTotals, Freshness, History, JourneyQuery, JourneyStep, LicenseParts, LicenseQuery,
    LicenseRow, LicenseView, Lookup, Page, Read, RecordPlace, SaidEvent, SaidQuery, SortKey, Stats,
    TimelineQuery, TimelineRow,
};
use crate::standing::{add_bucket, partition_freshness};
use crate::waiting::{waiting_key, waiting_keys};
use crate::{Error, Patience};

/// How long a call may read where whoever asked has not said it.
const READ_MAX: Duration = Duration::from_secs(15);

/// How long the server is waited for to end a statement.
const END_MAX: Duration = Duration::from_secs(1);

/// Begins what all reads of one call see.
const BEGIN: &str = "begin isolation level repeatable read, read only";

/// Reads one PostgreSQL over a bounded number of connections. Its calls block, and must not be made
/// from a thread of the runtime that it is given.
pub struct PostgresLookup {
    address: Address,
    pool: Pool,
    runtime: Handle,
    generation: Generation,
    /// Nobody listens before somebody asks for it.
    news: OnceLock<News>,
}

impl PostgresLookup {
    /// Opens what a writer has made, for `readers` calls at once; `runtime` moves the bytes.
    ///
    /// # Errors
    /// [`Error::Away`] where nobody answers or no writer was there yet, [`Error::Unusable`] where it is
    /// not of this release or the address is none.
    pub fn open(url: &str, schema: &str, readers: usize, runtime: Handle) -> Result<Self, Error> {
        let address = Address::parse(url, schema)?;
        let pool = Pool::open(&address, readers.max(1))?;
        let generation = runtime.block_on(pool.generation())?;
        Ok(Self {
            address,
            pool,
            runtime,
            generation,
            news: OnceLock::new(),
        })
    }

    /// Changes soon after a writer, of whichever process, has committed.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        let listen = || News::of(self.address.clone(), &self.runtime);
        self.news.get_or_init(listen).subscribe()
    }

    fn read<T>(
        &self,
        question: impl AsyncFnOnce(&Snapshot<'_>) -> Result<T, Error>,
    ) -> Result<Read<T>, Error> {
        let patience = Patience::current();
        self.runtime.block_on(async {
            let mut over = pin!(over(patience));
            let client = tokio::select! {
                biased;
                client = self.pool.take() => client?,
                () = &mut over => return Err(too_long()),
            };
            let read = tokio::select! {
                biased;
                read = self.read_over(&client, question) => read,
                () = &mut over => {
                    end(&client, self.pool.tls()).await;
                    Err(too_long())
                }
            };
            if read.is_err() {
                // It may stand in the middle of a snapshot, or of an answer that nobody waits for.
                drop(Object::take(client));
            }
            read
        })
    }

    async fn read_over<T>(
        &self,
        client: &ClientWrapper,
        question: impl AsyncFnOnce(&Snapshot<'_>) -> Result<T, Error>,
    ) -> Result<Read<T>, Error> {
        let snapshot = Snapshot {
            client,
            hash_seed: self.generation.hash_seed,
        };
        // Polled in this order, they are sent in this order.
        let ((), freshness, value) = tokio::try_join!(
            biased;
            its_own(client.batch_execute(BEGIN)),
            snapshot.freshness(),
            question(&snapshot)
        )?;
        // With the first poll it is sent, before whatever is asked next of this connection. Nothing was
        // written, so there is nothing to be heard of it.
        let _ = poll!(pin!(client.batch_execute("commit")));
        Ok(Read { value, freshness })
    }
}

fn too_long() -> Error {
    Error::Away("a read took too long, or nobody waits for it any more".into())
}

/// Returns when a call is to end.
async fn over(patience: Option<Patience>) {
    match patience {
        Some(patience) => patience.ended().await,
        None => tokio::time::sleep(READ_MAX).await,
    }
}

/// Has the server end the statement at hand: it would else work on for one that has gone. Where it does
/// not hear, the statement's own time is its end.
async fn end(client: &ClientWrapper, tls: MakeRustlsConnect) {
    let token = client.cancel_token();
    let ended = token.cancel_query(tls);
    let _ = tokio::time::timeout(END_MAX, ended).await;
}

/// One state of the database, as all reads of one call see it.
struct Snapshot<'c> {
    client: &'c ClientWrapper,
    hash_seed: u64,
}

/// What a statement is given.
type Values<'v> = &'v [&'v (dyn ToSql + Sync)];

impl Snapshot<'_> {
    async fn rows(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, Error> {
        let statement = its_own(self.client.prepare_cached(sql)).await?;
        its_own(self.client.query(&statement, values)).await
    }

    async fn row(&self, sql: &str, values: Values<'_>) -> Result<Option<Row>, Error> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// As [`Snapshot::rows`], one row at a time: for more of them than may be held.
    async fn stream(&self, sql: &str, values: Values<'_>) -> Result<RowStream, Error> {
        let statement = its_own(self.client.prepare_cached(sql)).await?;
        let values = values.iter().copied();
        its_own(self.client.query_raw(&statement, values)).await
    }

    async fn freshness(&self) -> Result<Freshness, Error> {
        let sql = "select meta.value, lane, partition, next_offset, end_offset, caught_up_at_ms, \
             last_timestamp_ms \
             from meta left join position on position.generation = meta.value \
             where meta.name = 'generation' order by lane, partition";
        let waiting = waiting_keys("log_offset");
        let (rows, waiting) =
            tokio::try_join!(biased; self.rows(sql, &[]), self.rows(&waiting, &[]))?;
        let mut freshness = Freshness {
            waiting: waiting.iter().map(waiting_key).collect::<Result<_, _>>()?,
            ..Freshness::default()
        };
        for row in rows {
            freshness.generation = needed(row.integer(0)?)?;
            // A generation without any position has one row without a lane.
            if row.integer(1)?.is_none() {
                break;
            }
            freshness.partitions.push(partition_freshness(&row, 1)?);
        }
        Ok(freshness)
    }

    /// The buckets, each summed from the parts that the appliers keep.
    async fn digest(&self) -> Result<Buckets, Error> {
        let mut buckets = Buckets::default();
        for row in self.rows("select bucket, sum from digest", &[]).await? {
            add_bucket(&mut buckets, &row)?;
        }
        Ok(buckets)
    }

    async fn license_number(&self, key: &LicenseKey) -> Result<Option<i64>, Error> {
        let sql = "select number from license where tenant_id = $1 and license_id = $2";
        let row = self.row(sql, &[&key.tenant_id, &key.license_id]).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// A license, and its number in the store.
    async fn license(&self, key: &LicenseKey) -> Result<Option<(i64, LicenseRow)>, Error> {
        let sql = format!(
            "select number, license_id, {LICENSE_COLUMNS}, {} from license \
             where tenant_id = $1 and license_id = $2",
            has_letters("$2")
        );
        let row = self.row(&sql, &[&key.tenant_id, &key.license_id]).await?;
        let Some(row) = row else { return Ok(None) };
        let mut license = license_row(&row, &key.tenant_id)?;
        if row.try_get(HAS_LETTERS)? {
            let mut letters = self
                .open_letters(&key.tenant_id, &[&key.license_id])
                .await?;
            license.letters = letters.remove(&key.license_id).unwrap_or_default();
        }
        Ok(Some((row.try_get(0)?, license)))
    }

    /// The first of the open letters that name each of these licenses.
    async fn open_letters(
        &self,
        tenant_id: &str,
        license_ids: &[&String],
    ) -> Result<HashMap<String, Vec<OpenLetter>>, Error> {
        let sql = format!(
            "select found.*, asked.id from unnest($2::text[]) as asked (id), lateral \
             (select {} from rejected where tenant_id = $1 and license_id = asked.id and {OPEN} \
             order by rejected.id limit {OPEN_LETTERS_MAX}) as found",
            open_letter_columns("log_offset")
        );
        let mut letters: HashMap<String, Vec<OpenLetter>> = HashMap::new();
        for row in self.rows(&sql, &[&tenant_id, &license_ids]).await? {
            let license_id: String = row.try_get(OPEN_LETTER_COLUMN_COUNT)?;
            letters
                .entry(license_id)
                .or_default()
                .push(open_letter(&row)?);
        }
        Ok(letters)
    }

    async fn view(
        &self,
        key: &LicenseKey,
        parts: &LicenseParts,
    ) -> Result<Option<LicenseView>, Error> {
        let Some((number, license)) = self.license(key).await? else {
            return Ok(None);
        };
        let devices = async {
            let Some(limit) = parts.devices else {
                return Ok::<_, Error>(None);
            };
            self.devices(key, number, None, limit).await.map(Some)
        };
        let usage = async {
            if !parts.usage {
                return Ok(None);
            }
            self.usage(key, number).await.map(Some)
        };
        let timeline = async {
            let Some(limit) = parts.timeline else {
                return Ok(None);
            };
            let query = TimelineQuery {
                limit,
                ..TimelineQuery::default()
            };
            self.timeline(key, number, &query).await.map(Some)
        };
        let customer = async {
            match (parts.customer_at, &license.state.customer) {
                (Some(at), Some(held_by)) => {
                    self.customer(&key.tenant_id, &held_by.value, at).await
                }
                (None, _) | (Some(_), None) => Ok(None),
            }
        };
        let (devices, usage, timeline, customer) =
            tokio::try_join!(biased; devices, usage, timeline, customer)?;
        Ok(Some(LicenseView {
            license,
            devices,
            usage,
            timeline,
            customer,
        }))
    }
}

/// The column behind [`LICENSE_COLUMNS`] that says whether open letters name the license.
const HAS_LETTERS: usize = 2 + LICENSE_COLUMN_COUNT;

/// What that column is, of the tenant `$1` and this license.
fn has_letters(license_id: &str) -> String {
    format!(
        "exists (select from rejected where rejected.tenant_id = $1 and rejected.license_id = {license_id} and {OPEN})"
    )
}

/// Reads `license_id` and [`LICENSE_COLUMNS`], beginning at column 1.
fn license_row(row: &Row, tenant_id: &str) -> Result<LicenseRow, Error> {
    Ok(LicenseRow {
        key: LicenseKey {
            tenant_id: tenant_id.to_owned(),
            license_id: row.try_get(1)?,
        },
        state: license_state(row, 2)?,
        letters: Vec::new(),
    })
}

impl Lookup for PostgresLookup {
    fn news(&self) -> Option<watch::Receiver<u64>> {
        Some(PostgresLookup::news(self))
    }

    fn position(&self) -> Result<Read<Buckets>, Error> {
        self.read(async |snapshot| snapshot.digest().await)
    }

    fn freshness(&self) -> Result<Freshness, Error> {
        Ok(self.read(async |_| Ok(()))?.freshness)
    }

    fn license(&self, key: &LicenseKey) -> Result<Read<Option<LicenseRow>>, Error> {
        self.read(async |snapshot| Ok(snapshot.license(key).await?.map(|(_, license)| license)))
    }

    fn licenses_by_id(
        &self,
        tenant_id: &str,
        ids: &[String],
    ) -> Result<Read<Vec<Option<LicenseRow>>>, Error> {
        self.read(async |snapshot| snapshot.licenses_by_id(tenant_id, ids).await)
    }

    fn history(&self, key: &LicenseKey, limit: usize) -> Result<Read<Option<History>>, Error> {
        self.read(async |snapshot| {
            let Some(number) = snapshot.license_number(key).await? else {
                return Ok(None);
            };
            snapshot.history(key, number, limit).await.map(Some)
        })
    }

    fn license_with(
        &self,
        key: &LicenseKey,
        parts: &LicenseParts,
    ) -> Result<Read<Option<LicenseView>>, Error> {
        self.read(async |snapshot| snapshot.view(key, parts).await)
    }

    fn licenses(&self, query: &LicenseQuery) -> Result<Read<Page<LicenseRow, SortKey>>, Error> {
        self.read(async |snapshot| snapshot.licenses(query).await)
    }

    fn customer(
        &self,
        tenant_id: &str,
        customer_id: &str,
        at: i64,
    ) -> Result<Read<Option<CustomerTotals>>, Error> {
        self.read(async |snapshot| snapshot.customer(tenant_id, customer_id, at).await)
    }

    fn stats(&self, tenant_id: &str, at: i64) -> Result<Read<Stats>, Error> {
        let patience = Patience::current();
        self.read(async |snapshot| snapshot.stats(tenant_id, at, patience.as_ref()).await)
    }

    fn devices(
        &self,
        key: &LicenseKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Read<Option<Page<(String, DeviceState), String>>>, Error> {
        self.read(async |snapshot| {
            let Some(number) = snapshot.license_number(key).await? else {
                return Ok(None);
            };
            snapshot.devices(key, number, after, limit).await.map(Some)
        })
    }

    fn usage(&self, key: &LicenseKey) -> Result<Read<Option<BTreeMap<String, i64>>>, Error> {
        self.read(async |snapshot| {
            let Some(number) = snapshot.license_number(key).await? else {
                return Ok(None);
            };
            snapshot.usage(key, number).await.map(Some)
        })
    }

    fn timeline(
        &self,
        key: &LicenseKey,
        query: &TimelineQuery,
    ) -> Result<Read<Option<Page<TimelineRow, (i64, u8, Uuid)>>>, Error> {
        self.read(async |snapshot| {
            let Some(number) = snapshot.license_number(key).await? else {
                return Ok(None);
            };
            snapshot.timeline(key, number, query).await.map(Some)
        })
    }

    fn said(&self, query: &SaidQuery) -> Result<Read<Page<SaidEvent, RecordPlace>>, Error> {
        self.read(async |snapshot| snapshot.said_page(query).await)
    }

    fn journey(&self, query: &JourneyQuery) -> Result<Read<Page<JourneyStep, RecordPlace>>, Error> {
        self.read(async |snapshot| snapshot.journey(query).await)
    }
}

/// As PostgreSQL counts: at most so many rows.
fn at_most(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
