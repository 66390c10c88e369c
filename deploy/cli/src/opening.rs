//! How every role begins that works on the log: its settings are taken, its topics made sure of,
//! its schemas brought within reach. What the role does then is not known here.

use crate::log::LogArgs;
use crate::schemas::{Schemas, Taken};
use crate::service::Service;
use crate::topics;
use licenseflow_avro::Topics;
use licenseflow_avro::registry_client::RegistryClient;
use licenseflow_runtime::config::Effective;
use licenseflow_runtime::log::Admin;

/// A role that has begun.
pub(crate) struct Opening {
    pub(crate) service: Service,
    pub(crate) admin: Admin,
    pub(crate) topics: Topics,
}

impl Opening {
    /// Takes the settings and starts the role; no broker is asked yet.
    pub(crate) fn begin(role: &str, log: &LogArgs, effective: &Effective) -> anyhow::Result<Self> {
        let admin = topics::admin(&log.settings(&format!("licenseflow-{role}"))?)?;
        let service = Service::start(role, effective)?;
        let topics = log.topics();
        Ok(Self {
            service,
            admin,
            topics,
        })
    }

    /// Makes sure of the topics, and finds the registry or starts it as a part of the role.
    pub(crate) async fn schemas(
        &mut self,
        log: &LogArgs,
        taken: Taken,
    ) -> anyhow::Result<RegistryClient> {
        topics::ensure(&self.admin, &self.topics).await?;
        let schemas = Schemas::open(log, taken, self.service.stop_token())?;
        if let Some(part) = schemas.part {
            self.service.run("schema registry", part);
        }
        Ok(schemas.client)
    }
}
