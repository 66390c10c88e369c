//! The `licenseflow` binary: a table of contents. Settings, telemetry, then the
//! one command that was asked for; what it does is said in the file of its name.

mod brokers;
mod command;
mod config_show;
mod exit;
mod ingest;
mod output;
mod project;
mod query;
mod schemas;
mod service;
mod topics;
mod up;
mod verify;

use clap::error::ErrorKind;
use command::{Cli, Command};
use exit::Exit;
use licenseflow_runtime::config::{self, Loaded};
use licenseflow_runtime::telemetry;
use std::process::ExitCode;

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
    let outcome = telemetry::start_logs(&loaded.command.telemetry)
        .map_err(Into::into)
        .and_then(|()| {
            Ok(tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?)
        })
        .and_then(|runtime| runtime.block_on(dispatch(loaded)));
    match outcome {
        Ok(exit) => exit,
        Err(error) => exit::report(&error),
    }
}

async fn dispatch(loaded: Loaded<Cli>) -> anyhow::Result<Exit> {
    match loaded.command.command {
        Command::Up(arguments) => up::run(*arguments, &loaded.effective).await,
        Command::Ingest(arguments) => ingest::run(*arguments, &loaded.effective).await,
        Command::Project(arguments) => project::run(*arguments, &loaded.effective).await,
        Command::Query(arguments) => query::run(*arguments, &loaded.effective).await,
        Command::Verify(arguments) => verify::run(*arguments).await,
        Command::Topics(command) => topics::run(command).await,
        Command::Config(command) => config_show::run(&command, &loaded.effective),
    }
}
