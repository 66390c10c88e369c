//! What every role of the platform needs to run and nothing of what it does:
//! configuration, telemetry, shutdown, serving HTTP, and plain access to the
//! Kafka log. It knows no event, no SQL and no route.

pub mod config;
pub mod http;
pub mod log;
pub mod shutdown;
pub mod telemetry;
