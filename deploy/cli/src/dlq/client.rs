//! The admin API as a client has it: one address, JSON, and problems in words.

use super::wrong;
use anyhow::{Context, bail};
use clap::Args;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::Value;
use std::time::Duration;

/// Longer than the service takes for anything here.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where the admin API is.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminArgs {
    /// Address of a process that builds the read model (`up` or `project`)
    #[arg(
        long,
        env = "LICENSEFLOW_ADMIN",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    admin: String,
}

/// One who asks it.
pub(crate) struct AdminClient {
    client: Client,
    base: Url,
}

impl AdminClient {
    pub(crate) fn new(arguments: &AdminArgs) -> anyhow::Result<Self> {
        let base = Url::parse(&arguments.admin).ok();
        let base = base.filter(|url| url.scheme() == "http" && url.has_host());
        let base = base.ok_or_else(|| {
            let address = &arguments.admin;
            wrong(&format!(
                "--admin {address}: expected an address such as http://127.0.0.1:8080"
            ))
        })?;
        let client = Client::builder().no_proxy().timeout(PATIENCE).build();
        Ok(Self {
            client: client.context("cannot make a client of HTTP")?,
            base,
        })
    }

    /// Asks, with these parameters.
    pub(crate) async fn get(&self, path: &str, pairs: &[(&str, &str)]) -> anyhow::Result<Value> {
        let mut address = self.address(path)?;
        if !pairs.is_empty() {
            address.query_pairs_mut().extend_pairs(pairs);
        }
        self.asked(self.client.get(address)).await
    }

    /// Has something done.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let address = self.address(path)?;
        self.asked(self.client.post(address).json(body)).await
    }

    fn address(&self, path: &str) -> anyhow::Result<Url> {
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).context("the address cannot be made")
    }

    async fn asked(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let answer = request.send().await.map_err(|error| self.away(&error))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| self.away(&error))?;
        let json: Option<Value> = serde_json::from_slice(&bytes).ok();
        match json {
            Some(json) if status.is_success() => Ok(json),
            Some(problem) if problem["code"].is_string() => {
                Err(self.refused(status.as_u16(), &problem))
            }
            Some(_) | None => {
                bail!(
                    "{}: answered {status}, and not as Licenseflow does",
                    self.base
                )
            }
        }
    }

    fn away(&self, error: &reqwest::Error) -> anyhow::Error {
        let base = &self.base;
        if error.is_timeout() {
            return anyhow::anyhow!("{base} does not answer within {} s", PATIENCE.as_secs());
        }
        if error.is_connect() {
            return anyhow::anyhow!(
                "nobody listens at {base}: start `licenseflow up` or `licenseflow project`, or name another address with --admin"
            );
        }
        anyhow::anyhow!("{base} did not answer: {error}")
    }

    /// What a problem says; where it is the command line's fault, so.
    fn refused(&self, status: u16, problem: &Value) -> anyhow::Error {
        let member = |name: &str| problem[name].as_str().unwrap_or("").to_owned();
        let code = member("code");
        if code == "not_found" {
            let base = &self.base;
            return anyhow::anyhow!(
                "{base} has no dead letters: the roles `up` and `project` have them; name one with --admin"
            );
        }
        let errors = problem["errors"].as_array();
        let errors = errors.into_iter().flatten().map(|one| {
            let (pointer, detail) = (&one["pointer"], &one["detail"]);
            let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
            format!("; {}: {}", text(pointer), text(detail))
        });
        let errors: String = errors.collect();
        let words = format!(
            "{}{errors} ({code}, request {})",
            member("detail"),
            member("request_id")
        );
        match status {
            400 | 422 => wrong(&words),
            _ => anyhow::anyhow!(words),
        }
    }
}
