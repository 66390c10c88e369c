//! `ingest`: the HTTP intake alone.

use crate::exit::Exit;
use crate::schemas;
use crate::service::Service;
use crate::topics;
use axum::Router;
use clap::Args;
use futures::FutureExt;
use licenseflow_avro::Topics;
use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_producers::accept::{self, IntakeSettings};
use licenseflow_producers::publish::{Publisher, PublisherSettings};
use licenseflow_runtime::config::{
    Effective, HttpArgs, IntakeArgs, JudgementArgs, KafkaArgs, RegistryArgs, TopicsArgs,
};
use licenseflow_runtime::http::Health;
use licenseflow_runtime::log::Admin;
use std::time::Duration;

/// What is on its way to the brokers at a stop has this long to arrive; the
/// listener, whose requests wait for it, has its own grace at the same time.
const PUBLISHER_GRACE: Duration = Duration::from_millis(1500);

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
    let topics = Topics::new(&arguments.topics.topic_prefix);
    let admin = topics::admin(&arguments.kafka.settings("licenseflow-ingest"))?;
    let mut service = Service::start("ingest", effective)?;
    topics::ensure(&admin, &topics).await?;
    let registry = RegistryClient::new(&arguments.registry.url())?;
    let publisher = publisher(&arguments.kafka, &registry, &topics).await?;
    let settings = intake_settings(&arguments.intake, &arguments.judgement, &arguments.http);
    let routes = routes(publisher.clone(), settings).merge(health(admin).router());
    service.serve(&arguments.http, routes)?;
    let exit = service.until_stopped().await;
    publisher.stop(PUBLISHER_GRACE).await;
    exit
}

/// The intake's routes.
pub(crate) fn routes(publisher: Publisher, settings: IntakeSettings) -> Router {
    accept::router(publisher, settings)
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

fn health(admin: Admin) -> Health {
    Health::default().part("brokers", move || {
        let asked = admin.clone();
        async move {
            let count = asked.off_thread(|admin| admin.broker_count()).await;
            count.map(|_| ()).map_err(|error| error.to_string())
        }
        .boxed()
    })
}
