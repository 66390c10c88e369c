//! Where schemas are: the registry that is named, or the embedded one; and our
//! own schema, registered for both lanes.

use crate::log::LogArgs;
use anyhow::Context;
use futures::FutureExt;
use futures::future::BoxFuture;
use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_avro::{Lane, Topics, schema};
use licenseflow_producers::publish::SchemaIds;
use licenseflow_registry::{Registry, RegistrySettings};
use licenseflow_runtime::http::{self, HttpLimits};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A new schema must read what was written under every earlier one: both lanes
/// are kept for ever.
const COMPATIBILITY: &str = "BACKWARD_TRANSITIVE";

/// How long registering may fail before it is given up.
const REGISTERED_WITHIN: Duration = Duration::from_secs(20);
const REGISTER_PAUSE: Duration = Duration::from_millis(500);

/// What is done where the embedded registry's address is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is an error: this process is to be the registry.
    Refused,
    /// It is used: another process of ours is the registry already.
    Used,
}

/// A registry within reach, and, where it is the embedded one, the part that
/// serves it and must be kept running.
pub(crate) struct Schemas {
    pub(crate) client: RegistryClient,
    pub(crate) part: Option<BoxFuture<'static, anyhow::Result<()>>>,
}

impl Schemas {
    /// Finds or starts the registry. The embedded one ends when `stop` is cancelled.
    pub(crate) fn open(
        log: &LogArgs,
        taken: Taken,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let kafka = log.settings("licenseflow-registry")?;
        let client = RegistryClient::new(&log.registry.url())?;
        if log.registry.schema_registry.is_some() {
            return Ok(Self { client, part: None });
        }
        let listener = match (http::bind(log.registry.registry_listen), taken) {
            (Ok(listener), _) => listener,
            (Err(http::Error::AddressTaken(_)), Taken::Used) => {
                return Ok(Self { client, part: None });
            }
            (Err(error), _) => {
                return Err(error).context(
                    "cannot start the embedded schema registry; --registry-listen gives it another \
                     address, SCHEMA_REGISTRY_URL names another registry",
                );
            }
        };
        let settings = RegistrySettings::new(kafka, log.topics().prefix());
        let registry = Registry::start(settings)?;
        let serving = http::serve(listener, registry.router(), HttpLimits::default(), stop);
        let part = async move {
            let served = serving.await;
            registry.shutdown().await;
            Ok(served?)
        };
        Ok(Self {
            client,
            part: Some(part.boxed()),
        })
    }
}

/// The registry for as long as a command runs: the one that is named, the one that another process
/// of ours embeds, or one of this command's own.
pub(crate) struct CommandSchemas {
    pub(crate) client: RegistryClient,
    /// Ends with the command.
    _serving: JoinSet<anyhow::Result<()>>,
}

impl CommandSchemas {
    pub(crate) fn open(log: &LogArgs) -> anyhow::Result<Self> {
        let schemas = Schemas::open(log, Taken::Used, CancellationToken::new())?;
        Ok(Self {
            client: schemas.client,
            _serving: schemas.part.into_iter().collect(),
        })
    }
}

/// Registers our schema for both lanes, and gives its ids. A registry that has just
/// begun, or whose brokers have, fails for a moment: it is asked again for a while.
pub(crate) async fn register(
    client: &RegistryClient,
    topics: &Topics,
) -> anyhow::Result<SchemaIds> {
    let until = Instant::now() + REGISTERED_WITHIN;
    loop {
        match register_once(client, topics).await {
            Ok(ids) => return Ok(ids),
            Err(error) if Instant::now() < until => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the schema is not registered yet; trying again"
                );
                tokio::time::sleep(REGISTER_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn register_once(client: &RegistryClient, topics: &Topics) -> anyhow::Result<SchemaIds> {
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
