//! Reaching the database: who connects, with which settings, and to which schema.

use std::time::Duration;

use licenseflow_avro::causes::chain;
use tokio::runtime::Handle;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls;
use crate::Error;
use crate::generations::FIRST;

/// The schema of the first generation.
const FIRST_GENERATION: &str = "licenseflow_g1";

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long sent bytes may stay without the other side's word before the connection counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long a statement of a writer's may take: longer than the largest part of a batch takes a slow
/// database, and no longer than a projector may stand still unheard.
const STATEMENT_MAX: Duration = Duration::from_secs(60);

/// How a generation is opened for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The schema that holds the generation.
    pub schema: String,
    /// Which generation it is, where it is made.
    pub generation: i64,
    /// How far `occurred_at` may be ahead of a record's timestamp, in microseconds. It is kept with
    /// the generation, since rows are a function of the records only as long as it stays the same.
    pub max_future_skew_micros: i64,
    /// How long the database may take for one statement; a batch takes as long as it has statements.
    pub statement_max: Duration,
    /// Whether it collects before it loads, where it is made; see [`crate::loading`].
    pub collects: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: FIRST_GENERATION.to_owned(),
            generation: FIRST,
            max_future_skew_micros: 300_000_000,
            statement_max: STATEMENT_MAX,
            collects: false,
        }
    }
}

/// Where a generation lies. It may hold a password, and so is shown to nobody.
#[derive(Clone)]
pub(crate) struct Address {
    config: Config,
    tls: MakeRustlsConnect,
    schema: String,
}

/// Whether the store can be asked for under this address: what is wrong with it is known before anybody is
/// asked.
///
/// # Errors
/// [`Error::Unusable`], which names what is wrong and repeats no password.
pub fn check_address(url: &str) -> Result<(), Error> {
    Address::parse(url, &PostgresOptions::default().schema).map(drop)
}

impl Address {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or `KEY=VALUE …` as libpq does.
    pub(crate) fn parse(url: &str, schema: &str) -> Result<Self, Error> {
        let (url, asked) = tls::asked(url)?;
        let mut config: Config = url.parse().map_err(|error| {
            let words = chain(&error);
            Error::Unusable(format!("the address of PostgreSQL cannot be read: {words}"))
        })?;
        if !is_plain_name(schema) {
            return Err(Error::Unusable(format!(
                "{schema:?} is no name of a schema: a-z, 0-9 and _, at most 63, no digit first"
            )));
        }
        config
            .application_name("licenseflow")
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(SILENCE_MAX);
        Ok(Self {
            config,
            tls: tls::connector(&asked)?,
            schema: schema.to_owned(),
        })
    }

    /// The generation's schema, which is also the channel on which new positions are told.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// How the database is reached.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// How a connection is kept from listeners, as far as the address asks for it.
    pub(crate) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    /// What every connection is set to before anything else: nothing but the schema's own tables is
    /// meant by a name, and no statement is worth compiling. Ways that are forbidden to the planner count
    /// as infinitely dear, so that it would compile the smallest of them each time.
    pub(crate) fn settings(&self) -> String {
        format!(
            "set search_path to {}; set client_min_messages to warning; set timezone to 'UTC'; \
             set jit to off",
            self.schema
        )
    }

    /// Connects. The connection's own work is done on the runtime until the client is dropped.
    pub(crate) async fn connect(&self, runtime: &Handle) -> Result<Client, Error> {
        let (client, connection) = self.config.connect(self.tls()).await?;
        runtime.spawn(async move {
            // Whoever asks next is told that the connection is closed, and why it was matters to nobody
            // before that.
            let _ = connection.await;
        });
        client.batch_execute(&self.settings()).await?;
        Ok(client)
    }
}

fn is_plain_name(name: &str) -> bool {
    let begins_well = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let goes_on_well = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
    begins_well && name.len() <= 63 && name.chars().all(goes_on_well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_read_is_refused_and_no_name_can_carry_sql() {
        let refused = |url: &str, schema: &str| {
            let error = Address::parse(url, schema).err().unwrap();
            assert!(matches!(error, Error::Unusable(_)), "{error}");
            error.to_string()
        };
        let words = refused("postgres://me:geheim@host/db?sslmode=sometimes", "g");
        assert!(words.contains("sslmode") && !words.contains("geheim"));
        refused("postgres://host/db", "g; drop schema public");
        refused("postgres://host/db", "1");
        assert!(Address::parse("postgres://me:geheim@host/db", "licenseflow_g1").is_ok());
    }
}
