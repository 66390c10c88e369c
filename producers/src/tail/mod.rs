//! `events tail`: the topics as they are written, decoded.
//!
//! A blocking function that hands over lines; printing is the caller's. It shows records that are no
//! events too, with what is wrong with them.

mod decode;
mod show;

use std::ops::ControlFlow;
use std::time::Duration;

use licenseflow_avro::judgement::Schemas;
use licenseflow_avro::{Lane, Topics};
use licenseflow_runtime::log::{Error, KafkaSettings, Reader, Result, Start, Step, Stop};

pub use decode::{Content, DeadLetter, ShownHeader, Tailed};

/// How long one look at the topics waits before `is_over` is asked again.
const LOOK: Duration = Duration::from_millis(200);

/// Bounds each question to the brokers.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A topic to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailTopic {
    /// A lane.
    Lane(Lane),
    /// Records that were given up on.
    DeadLetters,
    /// Records that wait for another try.
    Retries,
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailForm {
    /// One JSON object a line.
    Json,
    /// For people.
    Readable,
}

/// What to read and what to show.
#[derive(Debug, Clone)]
pub struct TailOptions {
    /// The topics.
    pub topics: Vec<TailTopic>,
    /// Where to start.
    pub start: Start,
    /// Whether to go on at the end.
    pub stop: Stop,
    /// Only this license's records: by the event, else by the key.
    pub license_id: Option<String>,
    /// Only this tenant's events.
    pub tenant_id: Option<String>,
    /// Only this request's records.
    pub request_id: Option<String>,
    /// How lines look.
    pub form: TailForm,
}

/// Reads and hands over one line a record, until the end of a bounded reading, until `is_over` says
/// so, or until `on_line` breaks.
///
/// # Errors
/// From the brokers. Trouble that passes is waited out where the reading never stops.
#[expect(
    clippy::too_many_arguments,
    reason = "each is another owner's: options say what is wanted, the others who does and hears it"
)]
pub fn tail(
    kafka: &KafkaSettings,
    topics: &Topics,
    options: &TailOptions,
    schemas: &dyn Schemas,
    is_over: impl Fn() -> bool,
    mut on_line: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<()> {
    let names: Vec<String> = options
        .topics
        .iter()
        .map(|topic| name(topics, *topic))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut reader = Reader::open(kafka, &names, &options.start, options.stop, TIMEOUT)?;
    while !is_over() {
        let record = match reader.step(LOOK) {
            Ok(Step::Record(record)) => record,
            Ok(Step::Waiting) => continue,
            Ok(Step::Done) => break,
            Err(error) => {
                wait_out(error, options.stop)?;
                continue;
            }
        };
        let tailed = Tailed::of(&record, topics, schemas);
        if tailed.fits(options) && on_line(&show::line(&tailed, options.form)).is_break() {
            break;
        }
    }
    Ok(())
}

fn wait_out(error: Error, stop: Stop) -> Result<()> {
    match stop {
        Stop::Never if error.is_passing() => {
            tracing::warn!(%error, "the topics cannot be read for now");
            Ok(())
        }
        Stop::Never | Stop::AtEnd => Err(error),
    }
}

fn name(topics: &Topics, topic: TailTopic) -> String {
    match topic {
        TailTopic::Lane(lane) => topics.lane(lane),
        TailTopic::DeadLetters => topics.dead_letters(),
        TailTopic::Retries => topics.retry(),
    }
}
