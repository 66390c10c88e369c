//! What a test stands on: a real Kafka, processes that never outlive it, free ports, waiting.
//!
//! Owns everything outside the platform that a test starts. It must not know events or rows.

pub mod callers;
pub mod folder;
pub mod foreign_registry;
pub mod kafka;
pub mod kcat;
pub mod moto;
pub mod places;
pub mod platform;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod proxied_cluster;
pub mod proxy;
pub mod secured_kafka;
pub mod wait;

pub use folder::Folder;
pub use foreign_registry::ForeignRegistry;
pub use kafka::{Cluster, Kafka, unique_prefix};
pub use moto::Moto;
pub use places::{binary, project, python};
pub use platform::{Platform, Role};
pub use ports::Port;
pub use postgres::Postgres;
pub use process::{Process, Signal};
pub use proxied_cluster::ProxiedCluster;
pub use proxy::{Fault, Gone, Proxy, Whose};
pub use secured_kafka::SecuredKafka;
pub use wait::{wait_for, wait_for_async, wait_until};
