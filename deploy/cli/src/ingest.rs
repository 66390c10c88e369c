//! `ingest`: the HTTP intake alone.

use crate::brokers::Brokers;
use crate::exit::Exit;
use crate::log::LogArgs;
use crate::opening::Opening;
use crate::schemas::{self, Taken};
use clap::Args;
use licenseflow_avro::Topics;
use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_producers::accept::{self, IntakeSettings};
use licenseflow_producers::publish::{Publisher, PublisherSettings};
use licenseflow_runtime::config::{Effective, HttpArgs, IntakeArgs, JudgementArgs};
use std::time::Duration;

/// What is on its way to the brokers at a stop has this long to arrive; the
/// listener, whose requests wait for it, had its own grace before.
pub(crate) const PUBLISHER_GRACE: Duration = Duration::from_millis(1500);

/// The answer comes this much before the service's timeout, which would not say
/// what became of the events.
const ANSWER_BEFORE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    intake: IntakeArgs,
    #[command(flatten)]
    judgement: JudgementArgs,
}

pub(crate) async fn run(arguments: IngestArgs, effective: &Effective) -> anyhow::Result<Exit> {
    let IngestArgs {
        log,
        http,
        intake,
        judgement,
    } = arguments;
    let mut opening = Opening::begin("ingest", &log, effective)?;
    let schemas = opening.schemas(&log, Taken::Used).await?;
    let Opening {
        mut service,
        admin,
        topics,
    } = opening;
    let publisher = publisher(&log, &schemas, &topics).await?;
    let brokers = Brokers::watch(&mut service, admin);
    let settings = intake_settings(&intake, &judgement, &http);
    let routes =
        accept::routes(publisher.clone(), settings).merge(brokers.health().router().into());
    service.serve(&http, routes)?;
    let exit = service.until_stopped().await;
    publisher.stop(PUBLISHER_GRACE).await;
    exit
}

/// The bounds of the intake from the settings.
pub(crate) fn intake_settings(
    intake: &IntakeArgs,
    judgement: &JudgementArgs,
    http: &HttpArgs,
) -> IntakeSettings {
    IntakeSettings {
        event_bytes_max: intake.event_bytes_max.as_usize(),
        request_events_max: intake.request_events_max as usize,
        request_bytes_max: intake.request_bytes_max.as_usize(),
        max_future_skew: judgement.max_future_skew,
        answer_within: http.http_timeout.saturating_sub(ANSWER_BEFORE_TIMEOUT),
        ..IntakeSettings::default()
    }
}

/// A producer of events, our schema registered.
pub(crate) async fn publisher(
    log: &LogArgs,
    registry: &RegistryClient,
    topics: &Topics,
) -> anyhow::Result<Publisher> {
    let ids = schemas::register(registry, topics).await?;
    let kafka = log.settings("licenseflow-producer")?;
    let settings = PublisherSettings::new(kafka, topics.clone(), ids);
    Ok(Publisher::start(settings)?)
}
