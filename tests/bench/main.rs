//! `make bench`: how fast the projector catches up, beside a bare consumer that only counts bytes; how fast
//! the query API answers, beside a bare handler; and how soon what was acknowledged can be read.
//!
//! One broker of its own, set up as users run it; one log; and then, in alternation, the same records
//! read by both. Each measurement is a process of its own, so that its peak memory is its own too.
//! The two parts that need no broker, folding and writing, are measured apart, so that one sees
//! where the time goes.

mod alone;
mod bare;
mod catch_up;
mod fill;
mod freshness;
mod meter;
mod reads;
mod replay;
mod report;
mod sample;
mod stores;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use licenseflow_avro::Lane;
use licenseflow_projector::Shares;
use licenseflow_tests::harness::{Kafka, unique_prefix};
use tokio::runtime::Runtime;

use fill::Log;
use freshness::{Beside, Freshness};
use meter::Measured;
use replay::BesideBuild;
use report::{Filled, Lanes, OnStore, Report};
use stores::{Kind, Place};

/// The platform's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Records that say nothing for every hundred events: none, a fifth of all, and a client that sends nothing
/// else, as much as all others together.
const POISON_PERCENT: [u64; 3] = [0, 25, 100];

#[derive(Debug, Clone, Parser)]
#[command(name = "bench", about = "How fast the platform is, beside bare parts")]
struct Options {
    /// How many events the log has
    #[arg(long, default_value = "1000000")]
    events: u64,
    /// Over how many licenses they go
    #[arg(long, default_value = "100000")]
    licenses: u64,
    /// How often each measurement is made; medians are printed
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Which headers the records have
    #[arg(long, default_value = "intake")]
    headers: Headers,
    /// The projector's ceiling of memory
    #[arg(long, default_value = "512")]
    ceiling_mib: u32,
    /// What is measured; all of it without this
    #[arg(long)]
    only: Option<Only>,
    /// On which store, where stores are measured; on both without this
    #[arg(long)]
    store: Option<Kind>,
    /// How many events of the bulk lane wait while freshness is looked at beside them
    #[arg(long, default_value = "5000000", value_parser = clap::value_parser!(u64).range(1..))]
    bulk: u64,
    /// How many events a second come while freshness is looked at
    #[arg(long, default_value = "5000", value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// How long each of the readers asks, and how long freshness is looked at
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    read_seconds: u32,
    /// Prints one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Makes one measurement in this process; how the benchmark calls itself
    #[arg(long, hide = true)]
    part: Option<Part>,
    #[arg(long, hide = true, default_value = "")]
    bootstrap: String,
    #[arg(long, hide = true, default_value = "")]
    topic: String,
    #[arg(long, hide = true, default_value = "answer.json")]
    answer: PathBuf,
    #[arg(long, hide = true, default_value = "0")]
    port: u16,
}

/// What can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// The projector beside a bare consumer, on SQLite.
    CatchUp,
    /// The projector, the query API and freshness on both stores.
    Stores,
    /// How soon what was acknowledged can be read, on both stores.
    Freshness,
    /// The same beside a backlog of the bulk lane, on both stores.
    Lanes,
    /// The same beside records that say nothing, on both stores.
    Poison,
    /// How long reads take beside a generation that is built, on both stores.
    Replay,
}

/// Which headers the records have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Headers {
    /// All that the intake sends: request id, time of receipt, CloudEvents' own.
    Intake,
    /// The request id alone.
    Request,
}

/// What one process measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A consumer that counts bytes.
    Bare,
    /// Judging, grouping and folding, from memory to memory.
    Fold,
    /// Writing batches that are ready.
    Store,
    /// A server that answers everything with the same bytes.
    BareHttp,
}

impl Options {
    fn shares(&self) -> Shares {
        Shares::of(self.ceiling_mib)
    }

    /// Runs one measurement in a process of its own.
    fn measure(&self, part: Part, bootstrap: &str, topic: &str) -> anyhow::Result<Measured> {
        let name = part.to_possible_value().context("a part has a name")?;
        let headers = self
            .headers
            .to_possible_value()
            .context("so have headers")?;
        let output = Command::new(std::env::current_exe()?)
            .args(["--part", name.get_name(), "--headers", headers.get_name()])
            .args(["--events", &self.events.to_string()])
            .args(["--licenses", &self.licenses.to_string()])
            .args(["--ceiling-mib", &self.ceiling_mib.to_string()])
            .args(["--bootstrap", bootstrap, "--topic", topic])
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(
            output.status.success(),
            "{part:?} ended with {}",
            output.status
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(part) = options.part {
        let measured = match part {
            Part::Bare => bare::read(&options)?,
            Part::Fold => alone::fold(&options)?,
            Part::Store => alone::store(&options)?,
            Part::BareHttp => return reads::serve(&options),
        };
        return report::say(&serde_json::to_string(&measured)?);
    }
    let kafka = Kafka::for_measuring()?;
    let prefix = unique_prefix();
    let log = match options.only {
        Some(Only::Freshness | Only::Lanes | Only::Poison) => Log::none(),
        Some(Only::CatchUp | Only::Stores | Only::Replay) | None => {
            let all = (Lane::Interactive, options.events);
            fill::fill(&options, all, kafka.bootstrap(), &prefix)?
        }
    };
    let mut report = Report::new(&options, &log);
    let has = |part| options.only.is_none_or(|only| only == part);
    let runs = if has(Only::CatchUp) { options.runs } else { 0 };
    for run in 1..=runs {
        report::note(&format!("run {run} of {}", options.runs));
        let measure = |part| options.measure(part, kafka.bootstrap(), &log.topic);
        report.bare.push(measure(Part::Bare)?);
        let (caught_up, built) = catch_up::run(&options, kafka.bootstrap(), &prefix, &log)?;
        report.projector.push(caught_up);
        report.build.push(built);
        report.fold.push(measure(Part::Fold)?);
        report.store.push(measure(Part::Store)?);
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let is_asked = |kind: &Kind| options.store.is_none_or(|only| only == *kind);
    for kind in Kind::ALL.into_iter().filter(is_asked) {
        let mut measured = OnStore::of(kind);
        if has(Only::Stores) {
            let filled = read_from(kind, &options, kafka.bootstrap(), (&prefix, &log), &runtime)?;
            measured.filled = Some(filled);
        }
        if has(Only::Stores) || has(Only::Freshness) {
            let fresh = freshness_of(kind, &options, kafka.bootstrap(), &runtime, 0)?;
            measured.freshness = Some(fresh);
        }
        if options.only == Some(Only::Lanes) {
            let idle = freshness_of(kind, &options, kafka.bootstrap(), &runtime, 0)?;
            let beside = beside_bulk(kind, &options, kafka.bootstrap(), &runtime)?;
            measured.lanes = Some(Lanes { idle, beside });
        }
        if options.only == Some(Only::Poison) {
            for percent in POISON_PERCENT {
                let beside = freshness_of(kind, &options, kafka.bootstrap(), &runtime, percent)?;
                measured.poison.push(beside);
            }
        }
        if options.only == Some(Only::Replay) {
            let beside =
                beside_build(kind, &options, kafka.bootstrap(), (&prefix, &log), &runtime)?;
            measured.replay = Some(beside);
        }
        if options.only != Some(Only::CatchUp) {
            report.stores.push(measured);
        }
    }
    report.print(options.json)
}

/// One store, filled from the log and read.
fn read_from(
    kind: Kind,
    options: &Options,
    bootstrap: &str,
    (prefix, log): (&str, &Log),
    runtime: &Runtime,
) -> anyhow::Result<Filled> {
    report::note(&format!("filling {}, and reading from it", kind.name()));
    let place =
        Place::new(kind, options, bootstrap, prefix)?.with("LICENSEFLOW_QUERY_CACHE_MIB", "0");
    let projector = place.fill(runtime.handle(), log.offsets, options.events)?;
    let reads = reads::run(options, &place)?;
    Ok(Filled { projector, reads })
}

/// One store, filled from the log, and read while it is built anew.
fn beside_build(
    kind: Kind,
    options: &Options,
    bootstrap: &str,
    (prefix, log): (&str, &Log),
    runtime: &Runtime,
) -> anyhow::Result<BesideBuild> {
    report::note(&format!(
        "filling {}, and reading from it beside a build",
        kind.name()
    ));
    let place =
        Place::new(kind, options, bootstrap, prefix)?.with("LICENSEFLOW_QUERY_CACHE_MIB", "0");
    place.fill(runtime.handle(), log.offsets, options.events)?;
    runtime.block_on(replay::run(options, &place))
}

/// One store, empty at first, that is written at a steady rate.
fn freshness_of(
    kind: Kind,
    options: &Options,
    bootstrap: &str,
    runtime: &Runtime,
    poison_percent: u64,
) -> anyhow::Result<Freshness> {
    let poison = match poison_percent {
        0 => String::new(),
        percent => format!(" beside {percent} records that say nothing for every 100 events"),
    };
    report::note(&format!("how fresh {} is{poison}", kind.name()));
    let prefix = unique_prefix();
    let place = Place::new(kind, options, bootstrap, &prefix)?;
    let beside = Beside {
        poison_percent,
        ..Beside::default()
    };
    runtime.block_on(freshness::run(options, &place, &prefix, beside))
}

/// The same beside a backlog of the bulk lane that is there from the start.
fn beside_bulk(
    kind: Kind,
    options: &Options,
    bootstrap: &str,
    runtime: &Runtime,
) -> anyhow::Result<Freshness> {
    let prefix = unique_prefix();
    fill::fill(options, (Lane::Bulk, options.bulk), bootstrap, &prefix)?;
    report::note(&format!("how fresh {} is beside them", kind.name()));
    let place = Place::new(kind, options, bootstrap, &prefix)?;
    let beside = Beside {
        bulk: options.bulk,
        ..Beside::default()
    };
    let measured = freshness::run(options, &place, &prefix, beside);
    runtime.block_on(measured)
}
