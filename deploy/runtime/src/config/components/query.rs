//! What the query API is told of its surroundings.

use std::str::FromStr;

/// The query API beside its store.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Query API")]
pub struct QueryApiArgs {
    /// Origins whose web pages may read the query API in a browser, such as https://portal.example.com, or * for all; the intake stays closed to them
    #[arg(
        long,
        env = "LICENSEFLOW_CORS_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub cors_origin: Vec<CorsOrigin>,

    /// Address that events are sent to, in the links of a license to what can be done next; an intake in the same process is known without it
    #[arg(long, env = "LICENSEFLOW_EVENTS_URL", value_name = "URL")]
    pub events_url: Option<String>,

    /// Open streams of events, then 503; each is a connection too, see --http-connections-max
    #[arg(long, env = "LICENSEFLOW_STREAMS_MAX", default_value = "10000", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub streams_max: u32,

    /// Questions that the store answers at once, each over a connection of its own
    #[arg(long, env = "LICENSEFLOW_QUERY_READERS", default_value = "8", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub query_readers: u32,

    /// Questions that wait for their turn beside them, for 5 seconds at most; what comes beyond that is answered 503 at once
    #[arg(long, env = "LICENSEFLOW_QUERY_QUEUE_MAX", default_value = "512", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub query_queue_max: u32,

    /// Memory for what was just read, in MiB, told again until a newer position is known; 0 reads anew for each request
    #[arg(long, env = "LICENSEFLOW_QUERY_CACHE_MIB", default_value = "64", value_name = "MIB", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub query_cache_mib: u32,
}

impl QueryApiArgs {
    /// How many streams may be open at once.
    pub fn streams_max(&self) -> usize {
        self.streams_max as usize
    }

    /// Questions that the store answers at once.
    pub fn readers(&self) -> usize {
        self.query_readers as usize
    }

    /// Questions that wait for their turn.
    pub fn queue_max(&self) -> usize {
        self.query_queue_max as usize
    }

    /// Bytes for what was just read. Platforms with less than 64 bits hold no more than their own most.
    pub fn cache_bytes_max(&self) -> usize {
        (self.query_cache_mib as usize).saturating_mul(1 << 20)
    }

    /// The origins as browsers send them.
    pub fn cors_origins(&self) -> Vec<String> {
        self.cors_origin.iter().map(|it| it.0.clone()).collect()
    }
}

/// An origin as browsers send it, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsOrigin(String);

impl FromStr for CorsOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let is_host = |host: &str| {
            let taken = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]_".contains(&byte)
            };
            !host.is_empty() && host.bytes().all(taken)
        };
        if text == "*" || host.is_some_and(is_host) {
            return Ok(Self(text.to_owned()));
        }
        Err("expected *, or a scheme and a host in lower case without anything behind, such as https://portal.example.com".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for text in [
            "*",
            "https://portal.example.com",
            "http://localhost:5173",
            "http://[::1]:80",
        ] {
            assert_eq!(text.parse::<CorsOrigin>().unwrap().0, text);
        }
        for text in [
            "",
            "portal.example.com",
            "https://portal.example.com/",
            "https://Portal.example.com",
            "https://",
            "https://*.example.com",
            "null",
            "ftp://x",
            "https://a b",
        ] {
            assert!(text.parse::<CorsOrigin>().is_err(), "{text}");
        }
    }
}
