//! A few connections that read, each lent to one call at a time, and made anew where they were lost.

use std::time::{Duration, Instant};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime,
    TimeoutType,
};
use metrics::{Unit, describe_histogram, histogram};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;
use crate::postgres::connection::Address;
use crate::postgres::migrate::{self, Generation};

/// How long a call waits for a connection before the store counts as busy.
const TURN_MAX: Duration = Duration::from_secs(5);

const WAITED: &str = "licenseflow_store_connection_wait_seconds";

/// How long a connection may take to be made and set up.
const CREATE_MAX: Duration = Duration::from_secs(5);

/// A reader writes nothing, ends a statement that the service would not wait for, and holds no snapshot
/// that nobody reads. Rows are found by their keys alone, in the order of an index: what the planner
/// believes of tables that it has not looked at yet must not turn that into reading and sorting all.
const SETTINGS: &str = "set default_transaction_read_only to on;
    set statement_timeout to '15s';
    set idle_in_transaction_session_timeout to '20s';
    set enable_seqscan to off;
    set enable_bitmapscan to off;
    set enable_hashjoin to off;
    set enable_mergejoin to off;
    set enable_sort to off";

pub(super) struct Pool {
    pool: deadpool_postgres::Pool,
    tls: MakeRustlsConnect,
    schema: String,
}

impl Pool {
    /// Nothing is connected before the first call.
    pub(super) fn open(address: &Address, readers: usize) -> Result<Self, Error> {
        let settings = format!("{}; {SETTINGS}", address.settings());
        let prepared = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let settings = settings.clone();
            Box::pin(async move {
                let set = client.batch_execute(&settings).await;
                set.map_err(HookError::Backend)
            })
        });
        describe_histogram!(
            WAITED,
            Unit::Seconds,
            "How long a question to PostgreSQL waited for a connection of its own"
        );
        let recycling_method = RecyclingMethod::Fast;
        let manager = Manager::from_config(
            address.config().clone(),
            address.tls(),
            ManagerConfig { recycling_method },
        );
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(readers)
            .wait_timeout(Some(TURN_MAX))
            .create_timeout(Some(CREATE_MAX))
            .recycle_timeout(Some(CREATE_MAX))
            .post_create(prepared)
            .runtime(Runtime::Tokio1)
            .build();
        Ok(Self {
            pool: pool.map_err(|error| Error::Broken(Box::new(error)))?,
            tls: address.tls(),
            schema: address.schema().to_owned(),
        })
    }

    /// What the connections are kept from listeners with.
    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    /// Lends a connection, after a bounded wait for one.
    pub(super) async fn take(&self) -> Result<Object, Error> {
        let begun = Instant::now();
        let taken = self.pool.get().await;
        histogram!(WAITED).record(begun.elapsed().as_secs_f64());
        taken.map_err(|error| match error {
            PoolError::Backend(error) => error.into(),
            PoolError::PostCreateHook(HookError::Backend(error)) => error.into(),
            PoolError::Timeout(TimeoutType::Wait) => Error::Away("every reader is busy".into()),
            other @ (PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_)) => Error::Away(Box::new(other)),
        })
    }

    /// What the generation knows of itself, once a writer has made it.
    pub(super) async fn generation(&self) -> Result<Generation, Error> {
        let client = self.take().await?;
        migrate::known(&client, &self.schema).await
    }
}
