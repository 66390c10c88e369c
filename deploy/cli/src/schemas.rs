//! Where schemas are: the registry that is named, or the embedded one; and our
//! own schema, registered for both lanes.

use crate::service::Service;
use anyhow::Context;
use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_avro::{Lane, Topics, schema};
use licenseflow_producers::publish::SchemaIds;
use licenseflow_registry::{Registry, RegistrySettings};
use licenseflow_runtime::config::{HttpArgs, KafkaArgs, RegistryArgs};
use licenseflow_runtime::http;

/// A new schema must read what was written under every earlier one: both lanes
/// are kept for ever.
const COMPATIBILITY: &str = "BACKWARD_TRANSITIVE";

/// Starts the embedded registry, unless another one is named.
pub(crate) async fn start_embedded(
    service: &mut Service,
    arguments: &RegistryArgs,
    kafka: &KafkaArgs,
    limits: &HttpArgs,
    topics: &Topics,
) -> anyhow::Result<()> {
    if arguments.schema_registry.is_some() {
        return Ok(());
    }
    let listener = http::bind(arguments.registry_listen).context(
        "cannot start the embedded schema registry (SCHEMA_REGISTRY_URL names another one)",
    )?;
    let settings = RegistrySettings::new(kafka.settings("licenseflow-registry"), topics.prefix());
    let registry = Registry::start(settings)?;
    let serving = http::serve(
        listener,
        registry.router(),
        limits.limits(),
        service.stop_token(),
    );
    service.run("schema registry", async move {
        let served = serving.await;
        registry.shutdown().await;
        Ok(served?)
    });
    Ok(())
}

/// Registers our schema for both lanes, and gives its ids.
pub(crate) async fn register(
    client: &RegistryClient,
    topics: &Topics,
) -> anyhow::Result<SchemaIds> {
    Ok(SchemaIds {
        interactive: register_lane(client, topics, Lane::Interactive).await?,
        bulk: register_lane(client, topics, Lane::Bulk).await?,
    })
}

async fn register_lane(
    client: &RegistryClient,
    topics: &Topics,
    lane: Lane,
) -> anyhow::Result<u32> {
    let subject = topics.subject(lane);
    // The level first: a schema that breaks it must not get in before it.
    client.set_compatibility(&subject, COMPATIBILITY).await?;
    Ok(client.register(&subject, schema::LICENSE_EVENT).await?)
}
