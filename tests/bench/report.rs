//! The medians, as a table or as JSON.

use std::io::{Write, stderr, stdout};

use serde_json::{Value, json};

use crate::Options;
use crate::fill::Log;
use crate::meter::Measured;

/// All measurements of one call.
#[derive(Debug)]
pub(crate) struct Report {
    options: Options,
    offsets: i64,
    pub(crate) bare: Vec<Measured>,
    pub(crate) projector: Vec<Measured>,
    pub(crate) fold: Vec<Measured>,
    pub(crate) store: Vec<Measured>,
}

impl Report {
    pub(crate) fn new(options: &Options, log: &Log) -> Self {
        Self {
            options: options.clone(),
            offsets: log.offsets,
            bare: Vec::new(),
            projector: Vec::new(),
            fold: Vec::new(),
            store: Vec::new(),
        }
    }

    fn rows(&self) -> [(&'static str, &[Measured]); 4] {
        [
            ("bare consumer", &self.bare),
            ("projector", &self.projector),
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
        for (name, measured) in self.rows() {
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
        members.insert("ratio".to_owned(), json!(self.ratio()));
        Value::Object(members)
    }
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
