//! The admin API of the roles that build the read model: wired from the store, the lanes and the registry.

use crate::lanes::LanesOverKafka;
use crate::project::Work;
use crate::store::{self, Writing};
use licenseflow_avro::Topics;
use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_kafka::KafkaLanes;
use licenseflow_query::{AdminOptions, admin_routes, system_clock};
use licenseflow_runtime::config::{JudgementArgs, StorePlace};
use licenseflow_runtime::http::openapi::Routes;
use licenseflow_runtime::log::KafkaSettings;
use std::sync::Arc;
use tokio::runtime::Handle;

/// What the admin API is wired from.
pub(crate) struct Administered {
    kafka: KafkaSettings,
    topics: Topics,
    place: StorePlace,
    schemas: RegistryClient,
    judgement: JudgementArgs,
}

impl Administered {
    /// Beside the projector that is made from this.
    pub(crate) fn beside(work: &Work) -> Self {
        Self {
            kafka: work.kafka.clone(),
            topics: work.topics.clone(),
            place: work.store.place(),
            schemas: work.schemas.clone(),
            judgement: work.judgement.clone(),
        }
    }

    /// The routes, over a store that its writer has opened.
    pub(crate) async fn routes(self) -> anyhow::Result<Routes> {
        let lanes = KafkaLanes::new(&self.kafka, &self.topics)?;
        Ok(admin_routes(AdminOptions {
            // Only its book is written here, and its rows read.
            generations: store::generations(&self.place, Writing::default())?,
            letters: store::letters(self.place).await?,
            lanes: Arc::new(LanesOverKafka::new(lanes, self.kafka, self.topics.clone())),
            schemas: Arc::new(self.schemas.blocking(Handle::current())),
            topics: self.topics,
            max_future_skew_micros: self.judgement.max_future_skew_micros(),
            clock: system_clock(),
        }))
    }
}
