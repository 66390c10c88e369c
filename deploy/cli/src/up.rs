//! `up`: all roles in one process. Topics and schema are made where they are
//! missing, the registry is embedded unless another one is named, and the intake
//! and the query API share one port.

use crate::admin::Administered;
use crate::brokers::Brokers;
use crate::exit::Exit;
use crate::ingest::{self, PUBLISHER_GRACE};
use crate::log::LogArgs;
use crate::opening::Opening;
use crate::project::{self, Work};
use crate::query::{self, Beside};
use crate::schemas::Taken;
use crate::service::Service;
use crate::store::Reading;
use clap::Args;
use licenseflow_producers::accept;
use licenseflow_projector::{Handle, Status};
use licenseflow_query::{Check, Readiness};
use licenseflow_runtime::config::{
    Effective, HttpArgs, IntakeArgs, JudgementArgs, ProjectorArgs, QueryApiArgs, StoreArgs,
};
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    intake: IntakeArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    projector: ProjectorArgs,
    #[command(flatten)]
    judgement: JudgementArgs,
    #[command(flatten)]
    api: QueryApiArgs,
}

pub(crate) async fn run(arguments: UpArgs, effective: &Effective) -> anyhow::Result<Exit> {
    let UpArgs {
        log,
        http,
        intake,
        store,
        projector,
        judgement,
        api,
    } = arguments;
    project::check_store(&store, &projector)?;
    let mut opening = Opening::begin("up", &log, effective)?;
    let door = opening.service.open_door(&http)?;
    let schemas = opening.schemas(&log, Taken::Refused).await?;
    let Opening {
        mut service,
        admin,
        topics,
    } = opening;
    let publisher = ingest::publisher(&log, &schemas, &topics).await?;
    let settings = ingest::intake_settings(&intake, &judgement, &http);

    let place = store.place();
    let work = Work {
        ground: project::ground(&admin, &topics).await?,
        kafka: log.settings(project::CLIENT)?,
        topics: topics.clone(),
        store,
        projector,
        judgement,
        schemas,
    };
    let administered = Administered::beside(&work);
    let keeper = work.keeper()?;
    let handle = work.start(&service).await?;
    project::run_keeper(&mut service, keeper);
    let applied = applied(&mut service, &handle);
    let brokers = Brokers::watch(&mut service, admin);
    let partitions = brokers.partition_count(&topics);
    let readiness = Arc::new(AllRoles {
        brokers,
        status: Box::new(handle.watcher()),
    });
    project::run_projector(&mut service, handle);

    let reading = Reading::open(place, api.readers()).await?;
    let beside = Beside {
        topics,
        readiness,
        partitions,
        applied: Some(applied),
    };
    let asked = query::routes(&mut service, reading, beside, &api, Some("/v1/events"));
    let routes = accept::routes(publisher.clone(), settings)
        .merge(asked)
        .merge(administered.routes().await?);
    service.serve_at(door, &http, routes);
    let exit = service.until_stopped().await;
    publisher.stop(PUBLISHER_GRACE).await;
    exit
}

/// A number that changes with every batch, for those who wait for theirs.
fn applied(service: &mut Service, handle: &Handle) -> watch::Receiver<u64> {
    let (count, counted) = watch::channel(0);
    let mut positions = handle.position();
    let stop = service.stop_token();
    service.run("applied", async move {
        while let Some(Ok(())) = stop.run_until_cancelled(positions.changed()).await {
            count.send_modify(|batches| *batches += 1);
        }
        // Positions end with the projector, whose own part says why.
        stop.cancelled().await;
        Ok(())
    });
    counted
}

/// Everything that this process does must be ready for it to be.
struct AllRoles {
    brokers: Brokers,
    status: Box<dyn Fn() -> Status + Send + Sync>,
}

impl Readiness for AllRoles {
    fn checks(&self) -> Vec<Check> {
        let projector = project::problem_of(&(self.status)());
        vec![
            Check {
                name: "brokers",
                problem: self.brokers.problem(),
            },
            Check {
                name: "projector",
                problem: projector,
            },
        ]
    }
}
