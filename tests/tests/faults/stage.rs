//! Everything that runs: three brokers, two intakes, the projectors, a query process and the store, each
//! reached through proxies by all others.
//!
//! Owns them and knows who is reached through what; what is done to them is said in `deeds`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use licenseflow_tests::harness::{
    Folder, Platform, Postgres, Process, ProxiedCluster, Proxy, Role, Whose, unique_prefix,
    wait_until,
};
use tokio::runtime::Handle;

use crate::load::Ways;
use crate::making::{Making, libraries, port_of, through};
use crate::plan::{Party, Store, TWINS};

/// How long a process may take until it is ready for the first time.
const READY: Duration = Duration::from_secs(90);

/// One process of ours, and what was it before it was killed.
pub(crate) struct Place {
    pub(crate) role: Role,
    pub(crate) platform: Platform,
    pub(crate) process: Option<Process>,
    /// Ended ones, for their logs.
    pub(crate) before: Vec<Process>,
    pub(crate) clock: File,
}

impl Place {
    /// # Errors
    /// Where it cannot be started.
    pub(crate) fn launch(&mut self) -> anyhow::Result<()> {
        self.process = Some(self.platform.launch(self.role)?);
        Ok(())
    }

    pub(crate) fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process.as_mut().context("it was ended")
    }

    /// From now on its wall clock is wrong by so many seconds.
    pub(crate) fn move_clock(&self, seconds: i64) -> anyhow::Result<()> {
        let wrong_by = seconds * 1_000_000_000;
        Ok(self.clock.write_all_at(&wrong_by.to_ne_bytes(), 8)?)
    }
}

/// All of it.
pub(crate) struct Stage {
    pub(crate) cluster: ProxiedCluster,
    pub(crate) postgres: Option<Postgres>,
    database_door: Option<Proxy>,
    pub(crate) intakes: Vec<Place>,
    intake_doors: Vec<Proxy>,
    pub(crate) projectors: Vec<Place>,
    pub(crate) query: Place,
    disk: File,
    folder: Folder,
}

impl Stage {
    /// Starts all of it, and waits until it is ready.
    pub(crate) fn set(store: Store, runtime: &Handle) -> anyhow::Result<Self> {
        let cluster = ProxiedCluster::start(runtime)?;
        let (postgres, database_door) = match store {
            Store::Sqlite => (None, None),
            Store::Postgres => {
                let postgres = Postgres::own()?;
                let door = Proxy::to(port_of(postgres.url())?, runtime)?;
                (Some(postgres), Some(door))
            }
        };
        let folder = Folder::new("faults")?;
        let disk = folder.path().join("full");
        fs::write(&disk, [0])?;
        let making = Making {
            bootstrap: cluster.bootstrap(),
            prefix: unique_prefix(),
            store: match (&postgres, &database_door) {
                (Some(postgres), Some(door)) => through(postgres.url(), door)?,
                _ => format!("sqlite://{}", folder.path().join("model.db").display()),
            },
            libraries: libraries(folder.path())?,
            disk: disk.clone(),
        };
        let place = |role| making.place(role);
        let intakes = (0..TWINS)
            .map(|_| place(Role::Ingest))
            .collect::<Result<Vec<_>, _>>()?;
        let doors = intakes
            .iter()
            .map(|it| Proxy::to(port_of(&it.platform.api())?, runtime));
        let mut stage = Self {
            intake_doors: doors.collect::<Result<_, _>>()?,
            intakes,
            projectors: (0..store.projectors())
                .map(|_| place(Role::Project))
                .collect::<Result<_, _>>()?,
            query: place(Role::Query)?,
            disk: File::options().write(true).open(disk)?,
            cluster,
            postgres,
            database_door,
            folder,
        };
        stage.begin()?;
        Ok(stage)
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        // The first of each makes what there is to make: topics, a schema, tables.
        for at in 0..TWINS {
            for places in [&mut self.intakes, &mut self.projectors] {
                if let Some(place) = places.get_mut(at) {
                    place.launch()?;
                    ready(place)?;
                }
            }
        }
        self.query.launch()?;
        ready(&mut self.query)
    }

    /// Every process of ours with its name.
    pub(crate) fn places(&mut self) -> impl Iterator<Item = (Party, &mut Place)> {
        let intakes = self.intakes.iter_mut().enumerate();
        let projectors = self.projectors.iter_mut().enumerate();
        let intakes = intakes.map(|(at, it)| (Party::Intake(at + 1), it));
        let projectors = projectors.map(|(at, it)| (Party::Projector(at + 1), it));
        let query = std::iter::once((Party::Query, &mut self.query));
        intakes.chain(projectors).chain(query)
    }

    pub(crate) fn place(&mut self, party: Party) -> anyhow::Result<&mut Place> {
        let mut places = self.places();
        let found = places.find(|(it, _)| *it == party);
        found
            .map(|(_, place)| place)
            .with_context(|| format!("{party} is no process of ours"))
    }

    pub(crate) fn postgres(&mut self) -> anyhow::Result<&mut Postgres> {
        self.postgres.as_mut().context("there is no PostgreSQL")
    }

    /// Whether there is space for the projector's file.
    pub(crate) fn fill_disk(&self, is_full: bool) -> anyhow::Result<()> {
        Ok(self.disk.write_all_at(&[u8::from(is_full)], 0)?)
    }

    /// What leads from one to the other and back, and whose connections through it are meant.
    pub(crate) fn between(&self, one: Party, other: Party) -> anyhow::Result<Vec<(&Proxy, Whose)>> {
        let mut ways = Vec::new();
        for (from, to) in [(one, other), (other, one)] {
            let callers = self.processes(from)?;
            let doors = self.doors_of(to).iter();
            ways.extend(doors.map(|door| (door, Whose::Of(callers.clone()))));
        }
        ensure!(!ways.is_empty(), "{one} and {other} never speak");
        Ok(ways)
    }

    fn doors_of(&self, party: Party) -> &[Proxy] {
        match party {
            Party::Broker(number) => self.cluster.doors_of(number),
            Party::Intake(number) => &self.intake_doors[number - 1..number],
            Party::Database => self.database_door.as_slice(),
            Party::Projector(_) | Party::Query | Party::Clients => &[],
        }
    }

    /// Who calls others; a database calls nobody.
    fn processes(&self, party: Party) -> anyhow::Result<Vec<u32>> {
        let of = |place: &Place| place.process.iter().map(Process::id).collect();
        Ok(match party {
            Party::Broker(number) => vec![self.cluster.process(number)?],
            Party::Intake(number) => of(&self.intakes[number - 1]),
            Party::Projector(number) => of(&self.projectors[number - 1]),
            Party::Query => of(&self.query),
            Party::Database => Vec::new(),
            Party::Clients => vec![std::process::id()],
        })
    }

    /// Where producers send to.
    pub(crate) fn ways(&self) -> Ways {
        let at = |door: &Proxy| format!("http://127.0.0.1:{}", door.number());
        let platform = &self.query.platform;
        Ways {
            intakes: self.intake_doors.iter().map(at).collect(),
            bootstrap: self.cluster.bootstrap(),
            topics: [platform.events_topic(), platform.bulk_topic()],
        }
    }

    /// No process may end but when it is ended.
    pub(crate) fn all_run(&mut self) -> anyhow::Result<()> {
        for (party, place) in self.places() {
            if !place.process()?.is_running()? {
                let said = place.process()?.stderr();
                bail!("{party} ended by itself: {}", last_lines(&said));
            }
        }
        Ok(())
    }

    /// What everyone has said, and the file of the read model, for whoever looks for a reason.
    pub(crate) fn keep(&mut self, into: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(into)?;
        for file in fs::read_dir(self.folder.path())? {
            let file = file?;
            fs::copy(file.path(), into.join(file.file_name()))?;
        }
        for (party, place) in self.places() {
            let all = place.before.iter().chain(&place.process);
            for (life, process) in all.enumerate() {
                let name = format!("{party}-{}.log", life + 1).replace(' ', "-");
                fs::write(into.join(name), process.stderr())?;
            }
        }
        for number in 1..=ProxiedCluster::BROKERS {
            let log = self.cluster.log(number);
            fs::copy(log, into.join(format!("broker-{number}.log")))?;
        }
        if let Some(postgres) = &mut self.postgres {
            // Who is frozen does not end when he is asked to.
            postgres.signal_all("CONT")?;
            let log = postgres.folder().join("postgres/data/server.log");
            fs::copy(log, into.join("postgres.log"))?;
        }
        Ok(())
    }
}

/// The end of a log, where the reason stands.
pub(crate) fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// Waits until a process that was started takes part.
pub(crate) fn ready(place: &mut Place) -> anyhow::Result<()> {
    let Place {
        platform, process, ..
    } = place;
    let process = process.as_mut().context("it was not started")?;
    let is_ready = || platform.text("/readyz").is_ok();
    let waited = wait_until("a process is ready", READY, || {
        is_ready() || !process.is_running().unwrap_or(false)
    });
    waited.with_context(|| last_lines(&process.stderr()))?;
    ensure!(
        process.is_running()?,
        "it ended: {}",
        last_lines(&process.stderr())
    );
    Ok(())
}
