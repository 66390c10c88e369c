//! The two stores as users have them, each with a projector that fills it and processes that read it.

use std::time::Instant;

use clap::ValueEnum;
use licenseflow_store::postgres::PostgresOptions;
use licenseflow_store::{Lookup, PostgresLookup, SqliteLookup};
use licenseflow_tests::harness::{Platform, Postgres, Role};
use licenseflow_tests::standing::dealt_with;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::Options;
use crate::catch_up::until_applied;
use crate::meter::Measured;

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) const ALL: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "SQLite",
            Kind::Postgres => "PostgreSQL",
        }
    }
}

/// One store, empty at first, and the processes around it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) platform: Platform,
    /// Ends with the place.
    postgres: Option<Postgres>,
}

impl Place {
    pub(crate) fn new(
        kind: Kind,
        options: &Options,
        bootstrap: &str,
        prefix: &str,
    ) -> anyhow::Result<Self> {
        let ceiling = options.ceiling_mib.to_string();
        let mut platform =
            Platform::new(bootstrap, prefix)?.with("LICENSEFLOW_MEMORY_CEILING_MIB", &ceiling);
        let mut postgres = None;
        if kind == Kind::Postgres {
            let server = Postgres::for_measuring()?;
            platform = platform.with("LICENSEFLOW_STORE", server.url());
            postgres = Some(server);
        }
        Ok(Self { platform, postgres })
    }

    /// Takes a setting for whatever is started from now on.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.platform = self.platform.with(name, value);
        self
    }

    /// Has a projector take the whole log, from the first batch that is seen to the position at the end.
    pub(crate) fn fill(
        &self,
        runtime: &Handle,
        offsets: i64,
        events: u64,
    ) -> anyhow::Result<Measured> {
        let mut project = self.platform.launch(Role::Project)?;
        let (mut begun, mut lookup) = (Instant::now(), None);
        until_applied(&mut project, offsets, || {
            if lookup.is_none() {
                lookup = self.lookup(runtime);
            }
            let applied = lookup.as_ref().map_or(0, |lookup| dealt_with(&**lookup));
            if applied == 0 {
                begun = Instant::now();
            }
            Ok(applied)
        })?;
        let measured = Measured::of(&project, events, begun.elapsed().as_secs_f64())?;
        Platform::stop(project)?;
        Ok(measured)
    }

    /// None as long as there is no store.
    fn lookup(&self, runtime: &Handle) -> Option<Box<dyn Lookup>> {
        match &self.postgres {
            None => {
                let opened = SqliteLookup::open(&self.platform.store(), 1);
                opened.ok().map(|it| Box::new(it) as Box<dyn Lookup>)
            }
            Some(server) => {
                let schema = PostgresOptions::default().schema;
                let opened = PostgresLookup::open(server.url(), &schema, 1, runtime.clone());
                opened.ok().map(|it| Box::new(it) as Box<dyn Lookup>)
            }
        }
    }
}
