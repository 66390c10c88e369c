//! `project`: builds the read model from the log.

use crate::admin::Administered;
use crate::brokers::Brokers;
use crate::exit::{Exit, WrongUse};
use crate::log::LogArgs;
use crate::opening::Opening;
use crate::replay::OverKafka;
use crate::schemas::Taken;
use crate::service::Service;
use crate::store::{self, Writing};
use anyhow::Context;
use clap::Args;
use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_avro::{Lane, Topics};
use licenseflow_kafka::{KafkaLetters, KafkaSource, SourceSettings};
use licenseflow_projector::replay::{Keeper, LiveModel};
use licenseflow_projector::{
    AlertsAt, Handle, LettersPace, Marks, Parts, Projector, Retries, Settings, Shares, Status,
    SuspectsMax, Yields, wall_clock,
};
use licenseflow_runtime::config::{
    Effective, HttpArgs, JudgementArgs, ProjectorArgs, StoreArgs, StorePlace,
};
use licenseflow_runtime::http::Health;
use licenseflow_runtime::log::{Admin, KafkaSettings};
use licenseflow_store::{Error, Generations, Ground, Outbox, ReadModel};
use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How the projector is known to the brokers, in whichever role it runs.
pub(crate) const CLIENT: &str = "licenseflow-projector";

/// How the reading for generations beside the live one is known to them.
const REPLAY_CLIENT: &str = "licenseflow-replay";

#[derive(Debug, Args)]
pub(crate) struct ProjectArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    projector: ProjectorArgs,
    #[command(flatten)]
    judgement: JudgementArgs,
}

pub(crate) async fn run(arguments: ProjectArgs, effective: &Effective) -> anyhow::Result<Exit> {
    let ProjectArgs {
        log,
        http,
        store,
        projector,
        judgement,
    } = arguments;
    check_store(&store, &projector)?;
    let mut opening = Opening::begin("project", &log, effective)?;
    let schemas = opening.schemas(&log, Taken::Used).await?;
    let Opening {
        mut service,
        admin,
        topics,
    } = opening;
    let work = Work {
        ground: ground(&admin, &topics).await?,
        kafka: log.settings(CLIENT)?,
        topics,
        store,
        projector,
        judgement,
        schemas,
    };
    let administered = Administered::beside(&work);
    let keeper = work.keeper()?;
    let handle = work.start(&service).await?;
    run_keeper(&mut service, keeper);
    let health = health(Brokers::watch(&mut service, admin), handle.watcher());
    run_projector(&mut service, handle);
    let routes = administered.routes().await?;
    service.serve(&http, routes.merge(health.router().into()))?;
    service.until_stopped().await
}

/// Everything that a projector is made from.
pub(crate) struct Work {
    pub(crate) kafka: KafkaSettings,
    pub(crate) topics: Topics,
    pub(crate) store: StoreArgs,
    pub(crate) projector: ProjectorArgs,
    pub(crate) judgement: JudgementArgs,
    pub(crate) schemas: RegistryClient,
    pub(crate) ground: Ground,
}

/// The log that is read.
pub(crate) async fn ground(admin: &Admin, topics: &Topics) -> anyhow::Result<Ground> {
    Ok(Ground {
        cluster_id: admin.off_thread(Admin::cluster_id).await?,
        topic: topics.lane(Lane::Interactive),
    })
}

impl Work {
    /// Starts the projector over the one store: a file is held against any other projector, and in
    /// PostgreSQL the positions fence it.
    pub(crate) async fn start(self, service: &Service) -> anyhow::Result<Handle> {
        let ceiling = self.projector.memory_ceiling_mib;
        match self.store.place() {
            StorePlace::Sqlite(path) => {
                let shares = Shares::of(ceiling);
                let model = self.live_models(1, shares).await?.into_iter();
                let name = match self.projector.group_instance.clone() {
                    Some(name) => name,
                    None => instance(&path)?,
                };
                let named = model.map(|model| (model, Some(name.clone())));
                self.start_over(named, shares, service)
            }
            StorePlace::Postgres(_) => {
                let asked = self.projector.appliers.unwrap_or_else(cores);
                let (appliers, shares) = Shares::among(ceiling, asked);
                if appliers < asked {
                    tracing::warn!(
                        asked,
                        appliers,
                        "fewer write at once: the memory ceiling has no room for all"
                    );
                }
                let models = self.live_models(appliers, shares).await?;
                tracing::info!(appliers, "the store in PostgreSQL is open");
                // Several projectors share the work, on one host too, so none has a name that it was not given.
                let name = self.projector.group_instance.clone();
                let named = models.into_iter().enumerate().map(|(number, model)| {
                    let name = name.as_ref().map(|name| format!("{name}-{number}"));
                    (model, name)
                });
                self.start_over(named.collect::<Vec<_>>(), shares, service)
            }
        }
    }

    /// The generations of the store, each opened with this share of memory.
    pub(crate) fn generations(&self, shares: Shares) -> anyhow::Result<Arc<dyn Generations>> {
        let writing = Writing {
            cache_mib: shares.store_cache_bytes >> 20,
            max_future_skew_micros: self.judgement.max_future_skew_micros(),
        };
        store::generations(&self.store.place(), writing)
    }

    /// So many writers of the live generation.
    async fn live_models(&self, count: u32, shares: Shares) -> anyhow::Result<Vec<LiveModel>> {
        let (generations, ground) = (self.generations(shares)?, self.ground.clone());
        let open = move || {
            let open = |_| LiveModel::open(generations.clone(), ground.clone(), wall_clock());
            (0..count).map(open).collect::<Result<Vec<_>, Error>>()
        };
        let models = tokio::task::spawn_blocking(open).await;
        Ok(models.context("the store did not open")??)
    }

    /// What looks after the generations beside the live one.
    pub(crate) fn keeper(&self) -> anyhow::Result<Keeper<OverKafka>> {
        let shares = Shares::of(self.projector.replay_memory_mib);
        let settings = self.settings(shares);
        Ok(Keeper {
            generations: self.generations(shares)?,
            means: OverKafka::new(
                self.kafka.named(REPLAY_CLIENT.to_owned()),
                &self.topics,
                shares,
                settings.ends_interval,
                self.schemas.clone(),
            )?,
            ground: self.ground.clone(),
            topics: self.topics.clone(),
            settings,
            clock: wall_clock(),
            kept: self.projector.generations_kept as usize,
            live: OnceCell::new(),
        })
    }

    /// Starts an applier over each of these, which are one store, each with the name of its member of the group.
    fn start_over<M: ReadModel + Outbox + 'static>(
        self,
        models: impl IntoIterator<Item = (M, Option<String>)>,
        shares: Shares,
        service: &Service,
    ) -> anyhow::Result<Handle> {
        let settings = self.settings(shares);
        let source = SourceSettings {
            kafka: KafkaSettings {
                group_protocol: self.projector.group_protocol,
                ..self.kafka.clone()
            },
            topics: self.topics.clone(),
            group_instance: None,
            queued_kbytes_max: shares.queued_kbytes,
            fetch_bytes_max: shares.fetch_bytes,
            ends_interval: settings.ends_interval,
        };
        let parts = models.into_iter().map(|(model, group_instance)| {
            let source = SourceSettings {
                group_instance,
                ..source.clone()
            };
            anyhow::Ok(Parts {
                source: KafkaSource::start(&source)?,
                schemas: self.schemas.blocking(tokio::runtime::Handle::current()),
                model,
                letters: KafkaLetters::new(&self.kafka, &self.topics)?,
                clock: wall_clock(),
            })
        });
        let appliers = parts.collect::<Result<Vec<_>, _>>()?;
        let stop = service.stop_token();
        Ok(Projector::start(settings, appliers, &stop)?)
    }

    /// The bounds of a loop that has this share of memory.
    fn settings(&self, shares: Shares) -> Settings {
        Settings {
            batch_records_max: self.projector.batch_records_max as usize,
            suspects_max: SuspectsMax {
                run: self.projector.suspects_run_max as usize,
                share: self.projector.suspects_share_max,
            },
            letters_pace: LettersPace {
                at_once: self.projector.letters_at_once,
                ..LettersPace::default()
            },
            retries: Retries {
                attempts_max: self.projector.retry_attempts,
                waiting_max: self.projector.retries_waiting_max as usize,
            },
            batch_bytes_max: shares.batch_bytes,
            waiting: Marks::of(
                shares.batch_bytes,
                self.projector.waiting_high_percent,
                self.projector.waiting_low_percent,
            ),
            alerts: AlertsAt {
                lag: seconds(self.projector.alert_lag_seconds),
                waiting: seconds(self.projector.alert_waiting_seconds),
            },
            yields: Yields {
                lag_max: self.projector.bulk_yields_above.into(),
                ..Yields::default()
            },
            max_future_skew: self.judgement.max_future_skew,
            ..Settings::default()
        }
    }
}

/// Runs the keeper beside the projector.
pub(crate) fn run_keeper(service: &mut Service, keeper: Keeper<OverKafka>) {
    let stop = service.stop_token();
    service.run("replays", async move {
        let kept = tokio::task::spawn_blocking(move || keeper.run(&stop));
        kept.await.context("the keeper's end was not heard")
    });
}

/// None of none: never.
fn seconds(seconds: u32) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// Whether there can be such a store, and so many may write to it at once, between marks that can be.
pub(crate) fn check_store(store: &StoreArgs, projector: &ProjectorArgs) -> Result<(), WrongUse> {
    store::check(store)?;
    let (high, low) = (
        projector.waiting_high_percent,
        projector.waiting_low_percent,
    );
    if low > high {
        return Err(WrongUse::of(CrossedMarks { high, low }));
    }
    match (store.place(), projector.appliers) {
        (StorePlace::Sqlite(_), Some(appliers @ 2..)) => Err(WrongUse::of(OneWriter { appliers })),
        (StorePlace::Sqlite(_) | StorePlace::Postgres(_), _) => Ok(()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "--waiting-low-percent {low} is above --waiting-high-percent {high}: nothing would be read again"
)]
struct CrossedMarks {
    high: u32,
    low: u32,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "--appliers {appliers}: a file has one writer; leave it out, or name a PostgreSQL with --store"
)]
struct OneWriter {
    appliers: u32,
}

/// As many as write at once where nobody says otherwise. The database's own cores are not known here; more
/// appliers than either has cores for would wait for one another.
fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores.min(4)).unwrap_or(1)
}

/// Lets the projector's end be the role's, and the role's the projector's.
pub(crate) fn run_projector(service: &mut Service, handle: Handle) {
    service.run("projector", async move {
        let joined = tokio::task::spawn_blocking(move || handle.join());
        Ok(joined
            .await
            .context("the projector's end was not heard")??)
    });
}

/// Why the projector is not ready; none: it is.
pub(crate) fn problem_of(status: &Status) -> Option<String> {
    status.unready(Instant::now(), Settings::default().stall)
}

/// The static member's name. It lies beside the store, so that a restart of this
/// store moves no partition, and another store is another member.
fn instance(store: &Path) -> anyhow::Result<String> {
    let mut name = store.as_os_str().to_owned();
    name.push(".instance");
    let path = Path::new(&name);
    let failed = || format!("cannot use {}", path.display());
    if path.exists() {
        let text = std::fs::read_to_string(path).with_context(failed)?;
        if !text.trim().is_empty() {
            return Ok(text.trim().to_owned());
        }
    }
    let made = uuid::Uuid::now_v7().simple().to_string();
    std::fs::write(path, &made).with_context(failed)?;
    Ok(made)
}

fn health(brokers: Brokers, status: impl Fn() -> Status + Send + Sync + 'static) -> Health {
    brokers.health().part("projector", move || {
        let problem = problem_of(&status());
        Box::pin(async { problem.map_or(Ok(()), Err) })
    })
}
