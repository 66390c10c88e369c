//! Settings: a flag, else the environment (`LICENSEFLOW_…`), else
//! `licenseflow.toml`, else the default. clap knows this order already, so the
//! file's values are given to it as defaults and there is one way to read a
//! setting. A setting is a flag that has an environment name; every other flag
//! belongs to one command and cannot stand in the file.
//!
//! One struct for each component lives here; a command flattens those it needs.

mod components;
mod effective;
mod file;
mod load;
mod names;
mod secret;
mod values;

pub use components::http::HttpArgs;
pub use components::intake::IntakeArgs;
pub use components::judgement::JudgementArgs;
pub use components::kafka::{KafkaArgs, RegistryArgs, TopicsArgs};
pub use components::projector::ProjectorArgs;
pub use components::query::{CorsOrigin, QueryApiArgs};
pub use components::store::{PostgresUrl, StoreArgs, StorePlace};
pub use components::telemetry::{ConfigFileArgs, LogFormat, TelemetryArgs};
pub use effective::{Effective, Origin, Setting};
pub use load::{Error, Loaded, load};
pub use values::ByteSize;
