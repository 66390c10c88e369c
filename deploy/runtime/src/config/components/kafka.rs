//! Where the log is, where the schemas are, and how topics are told apart.

use crate::config::names::LIBRDKAFKA_BELOW;
use crate::log::KafkaSettings;
use std::net::SocketAddr;

/// The brokers, and whatever else librdkafka should know.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaArgs {
    /// Brokers as host:port, separated by commas; also read from KAFKA_BOOTSTRAP_SERVERS
    #[arg(
        long,
        short = 'b',
        env = "LICENSEFLOW_KAFKA",
        default_value = "127.0.0.1:9092",
        value_name = "BROKERS"
    )]
    pub kafka: String,

    /// Any librdkafka setting, TLS and SASL among them; may stand several times (in the environment: one a line)
    #[arg(long, short = 'X', env = "LICENSEFLOW_LIBRDKAFKA", value_name = "KEY=VALUE", value_delimiter = '\n', value_parser = key_and_value, hide_env_values = true, hide_default_value = true)]
    pub librdkafka: Vec<(String, String)>,

    /// What the settings file and the environment say of librdkafka, the latter last; put there by the
    /// loading, so that a flag for one key leaves the other keys as they are.
    #[arg(long = LIBRDKAFKA_BELOW, hide = true, value_delimiter = '\n', value_parser = key_and_value, hide_default_value = true)]
    pub librdkafka_below: Vec<(String, String)>,
}

impl KafkaArgs {
    /// The settings of one client, named by what it does.
    pub fn settings(&self, client_id: &str) -> KafkaSettings {
        let mut settings = KafkaSettings::new(&self.kafka, client_id);
        // In the order of precedence: what comes later wins, key by key.
        let layers = [&self.librdkafka_below, &self.librdkafka];
        settings
            .overrides
            .extend(layers.into_iter().flatten().cloned());
        settings
    }
}

/// Where schemas are registered.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct RegistryArgs {
    /// A schema registry to use instead of the embedded one; also read from SCHEMA_REGISTRY_URL
    #[arg(
        long,
        env = "LICENSEFLOW_SCHEMA_REGISTRY",
        value_name = "URL",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub schema_registry: Option<String>,

    /// Address of the embedded schema registry
    #[arg(
        long,
        env = "LICENSEFLOW_REGISTRY_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS"
    )]
    pub registry_listen: SocketAddr,
}

impl RegistryArgs {
    /// The registry's address: the one that is named, else where the embedded one listens.
    pub fn url(&self) -> String {
        let embedded = || format!("http://{}", self.registry_listen);
        self.schema_registry.clone().unwrap_or_else(embedded)
    }
}

/// How the topics of several installations on one cluster are told apart.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Kafka")]
pub struct TopicsArgs {
    /// Prefix of topics, consumer groups and transactional ids
    #[arg(long, env = "LICENSEFLOW_TOPIC_PREFIX", default_value = "", value_name = "TEXT", value_parser = topic_prefix)]
    pub topic_prefix: String,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        // The text is left out of the message: it may be a secret.
        Some(_) | None => Err("expected key=value".to_owned()),
    }
}

/// Kafka's own rule for topic names, with room left for ours.
fn topic_prefix(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.len() <= 200 && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("at most 200 of A-Z a-z 0-9 . _ -".to_owned())
    }
}
