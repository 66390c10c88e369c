//! The medians, as a table or as JSON.

use std::io::{Write, stderr, stdout};

use serde::Serialize;
use serde_json::{Value, json};

use crate::Options;
use crate::fill::Log;
use crate::freshness::Freshness;
use crate::meter::Measured;
use crate::reads::Reads;
use crate::replay::BesideBuild;
use crate::stores::Kind;

/// All measurements of one call.
#[derive(Debug)]
pub(crate) struct Report {
    options: Options,
    offsets: i64,
    pub(crate) bare: Vec<Measured>,
    pub(crate) projector: Vec<Measured>,
    pub(crate) build: Vec<Measured>,
    pub(crate) fold: Vec<Measured>,
    pub(crate) store: Vec<Measured>,
    pub(crate) stores: Vec<OnStore>,
}

/// What was measured on one store.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OnStore {
    pub(crate) kind: Kind,
    #[serde(flatten)]
    pub(crate) filled: Option<Filled>,
    pub(crate) freshness: Option<Freshness>,
    pub(crate) lanes: Option<Lanes>,
    /// Freshness beside none, and beside more and more, records that say nothing.
    pub(crate) poison: Vec<Freshness>,
    /// Reads beside a generation that is built.
    pub(crate) replay: Option<BesideBuild>,
}

/// Freshness of the interactive lane on an idle platform, and beside a backlog of the bulk lane.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Lanes {
    pub(crate) idle: Freshness,
    pub(crate) beside: Freshness,
}

/// What was measured while it was filled, and then read.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Filled {
    pub(crate) projector: Measured,
    pub(crate) reads: Vec<Reads>,
}

impl OnStore {
    pub(crate) fn of(kind: Kind) -> Self {
        Self {
            kind,
            filled: None,
            freshness: None,
            lanes: None,
            poison: Vec::new(),
            replay: None,
        }
    }
}

impl Report {
    pub(crate) fn new(options: &Options, log: &Log) -> Self {
        Self {
            options: options.clone(),
            offsets: log.offsets,
            bare: Vec::new(),
            projector: Vec::new(),
            build: Vec::new(),
            fold: Vec::new(),
            store: Vec::new(),
            stores: Vec::new(),
        }
    }

    fn rows(&self) -> [(&'static str, &[Measured]); 5] {
        [
            ("bare consumer", &self.bare),
            ("projector", &self.projector),
            ("generation beside it", &self.build),
            ("judge and fold alone", &self.fold),
            ("store alone", &self.store),
        ]
    }

    fn ratio(&self) -> f64 {
        let speed = |one: &Measured| one.events_per_second();
        median(&self.projector, speed) / median(&self.bare, speed)
    }

    pub(crate) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            return say(&self.json().to_string());
        }
        let options = &self.options;
        say(&format!(
            "{} events ({} offsets) of {} licenses, headers: {:?}, ceiling {} MiB; medians of {} runs\n",
            options.events,
            self.offsets,
            options.licenses,
            options.headers,
            options.ceiling_mib,
            options.runs
        ))?;
        if !self.bare.is_empty() {
            self.print_catch_up()?;
        }
        self.stores.iter().try_for_each(print_store)
    }

    fn print_catch_up(&self) -> anyhow::Result<()> {
        say("                           events/s   seconds   CPU µs/event   peak MiB")?;
        for (name, measured) in self.rows() {
            say(&format!(
                "{name:22} {:>12.0} {:>9.2} {:>14.2} {:>10.0}",
                median(measured, Measured::events_per_second),
                median(measured, |one| one.seconds),
                median(measured, Measured::cpu_micros_per_event),
                median(measured, |one| one.peak_bytes as f64) / f64::from(1 << 20),
            ))?;
        }
        say(&format!("\nprojector / bare consumer: {:.3}", self.ratio()))
    }

    fn json(&self) -> Value {
        let mut members = serde_json::Map::new();
        let measured = self.rows().into_iter().filter(|(_, runs)| !runs.is_empty());
        for (name, measured) in measured {
            let name = name.replace(' ', "_");
            let figures = json!({
                "events_per_second": median(measured, Measured::events_per_second),
                "seconds": median(measured, |one| one.seconds),
                "cpu_micros_per_event": median(measured, Measured::cpu_micros_per_event),
                "peak_bytes": median(measured, |one| one.peak_bytes as f64),
                "runs": measured,
            });
            members.insert(name, figures);
        }
        members.insert("events".to_owned(), json!(self.options.events));
        members.insert("licenses".to_owned(), json!(self.options.licenses));
        if !self.bare.is_empty() {
            members.insert("ratio".to_owned(), json!(self.ratio()));
        }
        members.insert("stores".to_owned(), json!(self.stores));
        Value::Object(members)
    }
}

fn print_store(of: &OnStore) -> anyhow::Result<()> {
    say(&format!("\n{}", of.kind.name()))?;
    if let Some(filled) = &of.filled {
        print_filled(filled)?;
    }
    of.freshness.as_ref().map_or(Ok(()), print_freshness)?;
    of.lanes.as_ref().map_or(Ok(()), print_lanes)?;
    of.replay.as_ref().map_or(Ok(()), print_replay)?;
    print_poison(&of.poison)
}

fn print_replay(of: &BesideBuild) -> anyhow::Result<()> {
    for (what, times) in [("without", &of.without), ("beside it", &of.beside)] {
        say(&format!(
            "  a license read, {what}: p50 {:.2} ms, p99 {:.2} ms, at most {:.1} ms ({} reads)",
            times.p50_ms, times.p99_ms, times.most_ms, times.reads
        ))?;
    }
    say(&format!(
        "  the build and its comparison took {:.1} s; beside / without: p50 {:.2}, p99 {:.2}",
        of.seconds,
        of.beside.p50_ms / of.without.p50_ms,
        of.beside.p99_ms / of.without.p99_ms
    ))
}

fn print_poison(each: &[Freshness]) -> anyhow::Result<()> {
    for fresh in each {
        say(&format!(
            " beside {} records that say nothing",
            fresh.poison
        ))?;
        print_freshness(fresh)?;
        let (without, with) = (&each[0].all, &fresh.all);
        say(&format!(
            "  beside / without: p50 {:.2}, p99 {:.2}",
            with.p50_ms / without.p50_ms,
            with.p99_ms / without.p99_ms
        ))?;
    }
    Ok(())
}

fn print_lanes(Lanes { idle, beside }: &Lanes) -> anyhow::Result<()> {
    say(" idle")?;
    print_freshness(idle)?;
    let [before, after] = beside.bulk_waiting;
    let speed = (before - after) as f64 / beside.seconds;
    say(&format!(
        " beside the bulk lane: {before} events waited, {after} at the end, {speed:.0} applied a second"
    ))?;
    print_freshness(beside)?;
    let (idle, beside) = (&idle.all, &beside.all);
    say(&format!(
        " beside / idle: p50 {:.2}, p99 {:.2}",
        beside.p50_ms / idle.p50_ms,
        beside.p99_ms / idle.p99_ms
    ))
}

fn print_filled(Filled { projector, reads }: &Filled) -> anyhow::Result<()> {
    say(&format!(
        "  projector: {:.0} events/s, {:.2} CPU µs/event of its own, peak {} MiB",
        projector.events_per_second(),
        projector.cpu_micros_per_event(),
        projector.peak_bytes >> 20,
    ))?;
    say("                        answers/s   p50 ms   p99 ms   bare handler/s   ratio")?;
    for reads in reads {
        say(&format!(
            "  {:18} {:>12.0} {:>8.2} {:>8.2} {:>16.0} {:>7.3}",
            reads.what.name(),
            reads.query.per_second,
            reads.query.p50_ms,
            reads.query.p99_ms,
            reads.bare.per_second,
            reads.ratio(),
        ))?;
    }
    Ok(())
}

fn print_freshness(fresh: &Freshness) -> anyhow::Result<()> {
    let all = &fresh.all;
    say(&format!(
        "  from acknowledged to readable at {:.0} events/s: p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms ({} reads)",
        fresh.per_second, all.p50_ms, all.p99_ms, all.most_ms, all.reads
    ))?;
    let each = fresh.by_second.iter();
    let each = each.map(|one| format!("{:.1}/{:.0}", one.p50_ms, one.p99_ms));
    say(&format!(
        "  by second, p50/p99 ms: {}",
        each.collect::<Vec<_>>().join(" ")
    ))
}

fn median(measured: &[Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<f64> = measured.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// A line of the result.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(stdout(), "{line}")?)
}

/// A line on how far it is; where nobody hears it, nothing is lost.
pub(crate) fn note(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}
