//! The bounds within which a client is served. Values only: who enforces each
//! of them is said at the field.

use std::time::Duration;

/// The bounds of one HTTP listener.
///
/// The order matters: a client waits 30 s, an edge proxy 25 s, the service 20 s
/// and the store 15 s, so that whoever is nearer to the cause gives the answer.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// From the first byte of a request to the end of its headers, then 408
    /// (`lifeline`).
    pub header_timeout: Duration,
    /// How long a kept connection may rest between requests; it is then closed
    /// without a word (hyper).
    pub idle_timeout: Duration,
    /// From the end of the headers to the end of the body, then 408 (`deadline`).
    pub body_timeout: Duration,
    /// How long a client may take in nothing of what is there for it; the connection is then reset
    /// (`lifeline`).
    pub write_timeout: Duration,
    /// From the end of the headers to the answer, then 504 (`deadline`).
    pub service_timeout: Duration,
    /// The same for whoever looks after the service, under `/v1/admin/`.
    pub admin_timeout: Duration,
    /// The same for `/healthz` and `/readyz`.
    pub health_timeout: Duration,
    /// Bytes of request line and headers, then 431 (`harden`).
    pub header_bytes_max: usize,
    /// Headers of one request, then 431 (`harden`).
    pub headers_max: usize,
    /// Open connections; one more is answered 503 and closed (`lifeline`).
    pub connections_max: usize,
    /// How long requests that were taken may still run after a stop was asked for.
    pub grace: Duration,
}

impl HttpLimits {
    /// How long the answer to a request for this path may take; nothing takes longer than the service.
    pub(super) fn timeout_of(&self, path: &str) -> Duration {
        let timeout = match path {
            "/healthz" | "/readyz" => self.health_timeout,
            path if path.starts_with("/v1/admin/") => self.admin_timeout,
            _ => self.service_timeout,
        };
        timeout.min(self.service_timeout)
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(60),
            service_timeout: Duration::from_secs(20),
            admin_timeout: Duration::from_secs(10),
            health_timeout: Duration::from_secs(3),
            header_bytes_max: 8 * 1024,
            headers_max: 100,
            connections_max: 1024,
            grace: Duration::from_secs(8),
        }
    }
}
