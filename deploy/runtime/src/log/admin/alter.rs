//! Settings of a topic that is there, changed for a while.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::executor::block_on;
use rdkafka::admin::{AlterConfig, ConfigSource, ResourceSpecifier};
use rdkafka::error::KafkaError;

use super::super::Result;
use super::{Admin, Duration};

/// How often it is asked whether a change is known.
const ASKED_EVERY: Duration = Duration::from_millis(100);

impl Admin {
    /// Changes some of a topic's own settings, or takes them back to the cluster's (none), leaves the others as
    /// they are, and waits until the brokers describe the topic so.
    ///
    /// # Errors
    /// From the brokers.
    pub fn alter_topic(&self, topic: &str, changes: &BTreeMap<&str, Option<&str>>) -> Result<()> {
        let before = self.own_settings(topic)?;
        let mut after = before.clone();
        for (key, value) in changes {
            match value {
                Some(value) => after.insert((*key).to_owned(), (*value).to_owned()),
                None => after.remove(*key),
            };
        }
        if after == before {
            return Ok(());
        }
        // The one call there is replaces all of them.
        let mut order = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (key, value) in &after {
            order = order.set(key, value);
        }
        let operation = || format!("change the settings of {topic}");
        let answer = block_on(self.inner.client.alter_configs([&order], &self.options()))
            .map_err(|source| self.error(operation(), source))?;
        for one in answer {
            one.map_err(|(_, code)| self.error(operation(), KafkaError::AdminOp(code)))?;
        }
        let deadline = Instant::now() + self.inner.timeout;
        while self.own_settings(topic)? != after && Instant::now() < deadline {
            std::thread::sleep(ASKED_EVERY);
        }
        Ok(())
    }

    /// The settings that a topic has of its own, without those that are the cluster's.
    fn own_settings(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        let operation = || format!("describe the settings of {topic}");
        let resource = [ResourceSpecifier::Topic(topic)];
        let client = &self.inner.client;
        let answer = block_on(client.describe_configs(&resource, &self.options()))
            .map_err(|source| self.error(operation(), source))?;
        let mut own = BTreeMap::new();
        for resource in answer {
            let resource =
                resource.map_err(|code| self.error(operation(), KafkaError::AdminOp(code)))?;
            let entries = resource.entries.into_iter();
            let entries = entries.filter(|entry| entry.source == ConfigSource::DynamicTopic);
            own.extend(entries.filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(own)
    }
}
