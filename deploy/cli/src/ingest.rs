//! `ingest`: the HTTP intake alone.

use crate::brokers::Brokers;
use crate::exit::Exit;
use crate::schemas::{self, Schemas, Taken};
use crate::service::Service;
use crate::topics;
use clap::Args;
use licenseflow_avro::Topics;
use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_producers::accept::{self, IntakeSettings};
use licenseflow_producers::publish::{Publisher, PublisherSettings};
use licenseflow_runtime::config::{
    Effective, HttpArgs, IntakeArgs, JudgementArgs, KafkaArgs, RegistryArgs, TopicsArgs,
};
use licenseflow_runtime::http::Health;
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
    kafka: KafkaArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    topics: TopicsArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    intake: IntakeArgs,
    #[command(flatten)]
    judgement: JudgementArgs,
}

pub(crate) async fn run(arguments: IngestArgs, effective: &Effective) -> anyhow::Result<Exit> {
    let IngestArgs {
        kafka,
        registry,
        topics,
        http,
        intake,
        judgement,
    } = arguments;
    let topics = Topics::new(&topics.topic_prefix);
    let admin = topics::admin(&kafka.settings("licenseflow-ingest"))?;
    let mut service = Service::start("ingest", effective)?;
    topics::ensure(&admin, &topics).await?;
    let schemas = Schemas::open(
        &registry,
        &kafka,
        &topics,
        Taken::Used,
        service.stop_token(),
    )?;
    service.run_if("schema registry", schemas.part);
    let publisher = publisher(&kafka, &schemas.client, &topics).await?;
    let brokers = Brokers::watch(&mut service, admin);
    let settings = intake_settings(&intake, &judgement, &http);
    let routes = accept::router(publisher.clone(), settings).merge(health(brokers).router());
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
    kafka: &KafkaArgs,
    registry: &RegistryClient,
    topics: &Topics,
) -> anyhow::Result<Publisher> {
    let ids = schemas::register(registry, topics).await?;
    let kafka = kafka.settings("licenseflow-producer");
    let settings = PublisherSettings::new(kafka, topics.clone(), ids);
    Ok(Publisher::start(settings)?)
}

fn health(brokers: Brokers) -> Health {
    Health::default().part("brokers", move || {
        let problem = brokers.problem();
        Box::pin(async { problem.map_or(Ok(()), Err) })
    })
}
