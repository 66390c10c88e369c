//! What is the same for every role that runs until it is told to stop: numbers,
//! signals, its parts side by side, and an end in which the failure of one part
//! stops the others.

use crate::crash;
use crate::exit::{Exit, WrongUse};
use anyhow::{Context, anyhow};
use licenseflow_runtime::config::{Effective, HttpArgs};
use licenseflow_runtime::http;
use licenseflow_runtime::http::openapi::{self, Routes};
use licenseflow_runtime::shutdown;
use licenseflow_runtime::telemetry::{self, Numbers};
use std::future::Future;
use std::io;
use std::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A role at work.
pub(crate) struct Service {
    stop: CancellationToken,
    numbers: Numbers,
    parts: JoinSet<(&'static str, anyhow::Result<()>)>,
    /// The parts that run, for the one who asks why it does not end.
    running: Vec<&'static str>,
}

impl Service {
    /// Starts numbers and signals, and says once with which settings it runs.
    pub(crate) fn start(role: &str, effective: &Effective) -> anyhow::Result<Self> {
        crash::hook().map_err(|error| WrongUse::of(io::Error::other(error)))?;
        let stop = shutdown::on_signals().context("cannot listen for signals")?;
        let numbers = telemetry::start_numbers()?;
        let (version, settings) = (telemetry::VERSION, effective.to_json());
        tracing::info!(role, version, %settings, "starting");
        Ok(Self {
            stop,
            numbers,
            parts: JoinSet::new(),
            running: Vec::new(),
        })
    }

    /// Is cancelled when the role is to end.
    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a part; its end, whatever the reason, is the end of the role.
    pub(crate) fn run<F>(&mut self, name: &'static str, part: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.running.push(name);
        self.parts.spawn(async move { (name, part.await) });
    }

    /// Takes the address of the role. Before anything else is begun, so that a
    /// second process is told at once.
    pub(crate) fn open_door(&self, arguments: &HttpArgs) -> anyhow::Result<TcpListener> {
        let address = arguments.listen;
        let listener = http::bind(address)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "there are no credentials yet: everyone who reaches this address may do everything");
        }
        Ok(listener)
    }

    /// Serves the routes of the role, with `/metrics` and the description of all of it beside them.
    pub(crate) fn serve_at(&mut self, door: TcpListener, arguments: &HttpArgs, routes: Routes) {
        let router = openapi::served(routes).merge(self.numbers.router());
        let serving = http::serve(door, router, arguments.limits(), self.stop_token());
        self.run("http", async move { Ok(serving.await?) });
        tracing::info!(address = %arguments.listen, "serving HTTP");
    }

    /// Takes the address and serves the routes.
    pub(crate) fn serve(
        &mut self,
        arguments: &HttpArgs,
        routes: impl Into<Routes>,
    ) -> anyhow::Result<()> {
        let door = self.open_door(arguments)?;
        self.serve_at(door, arguments, routes.into());
        Ok(())
    }

    /// Waits for the end of all parts. The first that ends stops the others, which
    /// have the grace of a stop to finish what they took.
    pub(crate) async fn until_stopped(mut self) -> anyhow::Result<Exit> {
        let mut failure = None;
        let asked = self.stop.clone();
        let mut deadline = std::pin::pin!(async {
            asked.cancelled().await;
            tokio::time::sleep(shutdown::GRACE).await;
        });
        loop {
            let ended = tokio::select! {
                ended = self.parts.join_next() => ended,
                () = &mut deadline => {
                    let parts = self.running.join(", ");
                    tracing::error!(parts, "did not end in time, and is cut off");
                    return Ok(Exit::Failed);
                }
            };
            let Some(ended) = ended else { break };
            let (name, outcome) = ended.unwrap_or_else(|panic| ("part", Err(anyhow!(panic))));
            self.running.retain(|running| *running != name);
            if let Err(error) = outcome {
                failure.get_or_insert(error.context(format!("{name} failed")));
            } else if !self.stop.is_cancelled() {
                failure.get_or_insert(anyhow!("{name} ended by itself"));
            }
            self.stop.cancel();
        }
        match failure {
            Some(error) => Err(error),
            None => {
                tracing::info!("ended");
                Ok(Exit::Done)
            }
        }
    }
}
