//! How a role is reached over HTTP.

use crate::http::HttpLimits;
use std::net::SocketAddr;
use std::time::Duration;

/// The HTTP listener and its bounds.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// Address to serve HTTP on; any but 127.0.0.1 lets everyone who reaches it do everything
    #[arg(
        long,
        env = "LICENSEFLOW_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// Time for the headers of a request, then 408
    #[arg(long, env = "LICENSEFLOW_HTTP_HEADER_TIMEOUT", default_value = "10s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub http_header_timeout: Duration,

    /// Time a kept connection may rest between requests
    #[arg(long, env = "LICENSEFLOW_HTTP_IDLE_TIMEOUT", default_value = "75s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub http_idle_timeout: Duration,

    /// Time for the body of a request, then 408
    #[arg(long, env = "LICENSEFLOW_HTTP_BODY_TIMEOUT", default_value = "15s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub http_body_timeout: Duration,

    /// Time a client may take in nothing of its answer or stream, then its connection is reset
    #[arg(long, env = "LICENSEFLOW_HTTP_WRITE_TIMEOUT", default_value = "60s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub http_write_timeout: Duration,

    /// Time for a whole request, then 504
    #[arg(long, env = "LICENSEFLOW_HTTP_TIMEOUT", default_value = "20s", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub http_timeout: Duration,

    /// Open connections, then 503
    #[arg(long, env = "LICENSEFLOW_HTTP_CONNECTIONS_MAX", default_value = "1024", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub http_connections_max: u32,
}

impl HttpArgs {
    /// The bounds as the listener takes them.
    pub fn limits(&self) -> HttpLimits {
        HttpLimits {
            header_timeout: self.http_header_timeout,
            idle_timeout: self.http_idle_timeout,
            body_timeout: self.http_body_timeout,
            write_timeout: self.http_write_timeout,
            service_timeout: self.http_timeout,
            connections_max: self.http_connections_max as usize,
            ..HttpLimits::default()
        }
    }
}
