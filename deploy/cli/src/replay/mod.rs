//! `replay`: builds another generation of the read models beside the live one, compares them, switches and
//! goes back. What is wanted is written into the store's book; whoever keeps the generation does it: this
//! command while it runs, a projector otherwise.

mod begin;
mod follow;
mod license;
mod means;
mod table;

pub(crate) use means::OverKafka;

use crate::crash;
use crate::exit::{Exit, WrongUse};
use crate::log::LogArgs;
use crate::output::OutputArgs;
use crate::project::{CLIENT, Work, ground};
use crate::schemas::CommandSchemas;
use crate::store::{self, Writing};
use crate::topics;
use anyhow::Context;
use clap::{Args, Subcommand};
use licenseflow_projector::replay::sweep;
use licenseflow_runtime::config::{JudgementArgs, ProjectorArgs, StoreArgs};
use licenseflow_store::generations::{Book, Number, Refused, Wish};
use licenseflow_store::{Generations, progress};
use std::sync::Arc;

/// Builds a new generation of the read models from the log, beside the live one, which goes on serving; and
/// compares them at one position. Nothing is sent, and nothing is switched unless it is said.
///
/// Killed at any moment, it goes on where it was: a projector takes the generation over, or
/// `licenseflow replay resume`.
///
/// With --license no generation is built: that one license is rebuilt where it lies, from all its records, while
/// projectors and queries go on. All of the log is scanned for it, and writers wait for a moment at the end.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ReplayArgs {
    #[command(subcommand)]
    command: Option<ReplayCommand>,
    #[command(flatten)]
    license: license::LicenseArgs,
    #[command(flatten)]
    begin: begin::BeginArgs,
    #[command(flatten)]
    on: OnArgs,
}

/// What is worked on.
#[derive(Debug, Args)]
pub(crate) struct OnArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    projector: ProjectorArgs,
    #[command(flatten)]
    judgement: JudgementArgs,
}

/// What is done about generations that there are.
#[derive(Debug, Subcommand)]
enum ReplayCommand {
    /// Show all generations, how far they are, and what their last comparison gave
    Status(StatusArgs),
    /// Stop advancing a generation
    Pause(OneArgs),
    /// Go on with it, and show how far it is until it has caught up
    Resume(Box<WorkArgs>),
    /// Compare it with the live one, both at one position
    Compare(Box<WorkArgs>),
    /// Make it the live one
    Switch(Box<WorkArgs>),
    /// Go back to the generation that was live before
    Rollback(Box<OnArgs>),
    /// Give up one that is being built, and remove it
    Cancel(OneArgs),
    /// Remove one that was live before
    Drop(OneArgs),
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// The generation
    #[arg(value_name = "GENERATION")]
    number: Number,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Args)]
struct WorkArgs {
    /// The generation
    #[arg(value_name = "GENERATION")]
    number: Number,
    #[command(flatten)]
    on: OnArgs,
}

pub(crate) async fn run(arguments: ReplayArgs) -> anyhow::Result<Exit> {
    crash::hook().map_err(|error| WrongUse::of(std::io::Error::other(error)))?;
    let ReplayArgs {
        command,
        license,
        begin,
        on,
    } = arguments;
    match command {
        None => match license.key() {
            Some(key) => license::run(key, on).await,
            None => begin::run(begin, on).await,
        },
        Some(ReplayCommand::Status(arguments)) => status(arguments).await,
        Some(ReplayCommand::Pause(one)) => changed(one, Book::pause).await,
        Some(ReplayCommand::Resume(work)) => asked(*work, Book::resume).await,
        Some(ReplayCommand::Compare(work)) => {
            asked(*work, |book, number| book.ask(number, Wish::Compare)).await
        }
        Some(ReplayCommand::Switch(work)) => {
            asked(*work, |book, number| book.ask(number, Wish::Switch)).await
        }
        Some(ReplayCommand::Rollback(on)) => {
            let on = *on;
            let generations = on.generations().await?;
            let former = generations
                .with(|generations| Ok(generations.book()?.former()))
                .await?;
            let number = former.context(
                "there is no generation that was live before: there is nothing to go back to",
            )?;
            let work = WorkArgs { number, on };
            asked(work, |book, number| book.ask(number, Wish::Switch)).await
        }
        Some(ReplayCommand::Cancel(one)) => changed(one, Book::cancel).await,
        Some(ReplayCommand::Drop(one)) => changed(one, Book::drop_former).await,
    }
}

/// Calls to generations block, and wait for the runtime's own threads.
struct OffThread(Arc<dyn Generations>);

impl OffThread {
    async fn with<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Generations) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let generations = Arc::clone(&self.0);
        let called = tokio::task::spawn_blocking(move || call(&*generations));
        called.await.context("the store did not answer")?
    }

    async fn change(
        &self,
        mut change: impl FnMut(&mut Book) -> Result<(), Refused> + Send + 'static,
    ) -> anyhow::Result<Arc<Book>> {
        self.with(move |generations| Ok(generations.change(&mut change)??))
            .await
    }
}

impl OnArgs {
    async fn generations(&self) -> anyhow::Result<OffThread> {
        off_thread(&self.store)
    }

    /// What a keeper is made from; the brokers and the registry are asked.
    async fn work(self) -> anyhow::Result<(Work, CommandSchemas)> {
        let topics = self.log.topics();
        let kafka = self.log.settings(CLIENT)?;
        let admin = topics::admin(&kafka)?;
        let schemas = CommandSchemas::open(&self.log)?;
        let work = Work {
            ground: ground(&admin, &topics).await?,
            kafka,
            topics,
            store: self.store,
            projector: self.projector,
            judgement: self.judgement,
            schemas: schemas.client.clone(),
        };
        Ok((work, schemas))
    }
}

fn off_thread(store: &StoreArgs) -> anyhow::Result<OffThread> {
    store::check(store)?;
    Ok(OffThread(store::generations(
        &store.place(),
        Writing::default(),
    )?))
}

/// Changes the book, removes what is struck out of it, and shows what it says then.
async fn changed(
    OneArgs { number, store }: OneArgs,
    change: fn(&mut Book, Number) -> Result<(), Refused>,
) -> anyhow::Result<Exit> {
    let generations = off_thread(&store)?;
    generations.change(move |book| change(book, number)).await?;
    let all = generations
        .with(|generations| {
            // Where somebody keeps it still, they remove it.
            sweep(generations)?;
            Ok(progress::replays(generations)?)
        })
        .await?;
    crate::output::line(table::table(&all))?;
    Ok(Exit::Done)
}

/// Writes down what is asked of a generation, and looks after it until what is wanted of it is so.
async fn asked(
    work: WorkArgs,
    ask: fn(&mut Book, Number) -> Result<(), Refused>,
) -> anyhow::Result<Exit> {
    let WorkArgs { number, on } = work;
    let generations = on.generations().await?;
    let output = on.output;
    let (work, _schemas) = on.work().await?;
    let keeper = work.keeper()?;
    let book = generations.change(move |book| ask(book, number)).await?;
    let wish = book.get(number).map(|it| it.wish).unwrap_or_default();
    follow::follow(&generations, keeper, number, wish.into(), output).await
}

async fn status(arguments: StatusArgs) -> anyhow::Result<Exit> {
    let generations = off_thread(&arguments.store)?;
    let all = generations
        .with(|generations| Ok(progress::replays(generations)?))
        .await?;
    arguments
        .output
        .print(table::table(&all), &table::json(&all))?;
    Ok(Exit::Done)
}
