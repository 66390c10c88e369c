//! The `licenseflow` binary: a table of contents. Settings, telemetry, then the one command that was
//! asked for; what it does is said in the file of its name.

mod admin;
mod allocator;
mod archive;
mod brokers;
mod command;
mod config_show;
mod crash;
mod dlq;
mod events;
mod exit;
mod ingest;
mod keeping;
mod lanes;
mod log;
mod opening;
mod output;
mod progress;
mod project;
mod query;
mod replay;
mod restore;
mod schemas;
mod service;
mod store;
mod topics;
mod up;
mod verify;

use clap::error::ErrorKind;
use command::Cli;
use exit::Exit;
use licenseflow_runtime::config::{self, Loaded};
use licenseflow_runtime::telemetry;
use std::process::ExitCode;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let exit = match config::load::<Cli>(std::env::args_os().collect()) {
        Ok(loaded) => run(loaded),
        Err(config::Error::CommandLine(error)) => {
            // Nothing is left to say it with if even this cannot be written.
            let _ = error.print();
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            if asked { Exit::Done } else { Exit::WrongUse }
        }
        Err(error) => exit::report(&exit::WrongUse::of(error).into()),
    };
    exit.into()
}

fn run(loaded: Loaded<Cli>) -> Exit {
    until_done(loaded).unwrap_or_else(|error| exit::report(&error))
}

fn until_done(loaded: Loaded<Cli>) -> anyhow::Result<Exit> {
    let _logs = telemetry::start_logs(&loaded.command.telemetry)?;
    let runtime = Runtime::new()?;
    let outcome = runtime.block_on(command::run(loaded));
    // A question to brokers that are away may hold a thread for seconds yet;
    // nobody waits for its answer any more.
    runtime.shutdown_background();
    outcome
}
