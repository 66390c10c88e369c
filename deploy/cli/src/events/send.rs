//! `events send`: events from a file or a pipe, resumable.

use super::{LaneName, publishing, request, request_id};
use crate::exit::Exit;
use crate::log::LogArgs;
use crate::output::OutputArgs;
use crate::progress::Shown;
use anyhow::{Context, bail};
use clap::Args;
use licenseflow_avro::headers::RequestId;
use licenseflow_producers::publish::PublishError;
use licenseflow_producers::send::{self, BadLine, Done, OnBadLine, Progress, SendOptions, Source};
use licenseflow_runtime::config::{ByteSize, JudgementArgs};
use licenseflow_runtime::shutdown;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Lines of events in JSON; without it, or with -, standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The lane
    #[arg(long, value_enum, default_value = "interactive")]
    lane: LaneName,
    /// The tenant of events that name none
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Keep in this file how far the run is, and go on from there; events must bring their ids
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Add lines that are no events to this file and go on; without it, the first ends the run
    #[arg(long, value_name = "FILE")]
    skip_to: Option<PathBuf>,
    /// The longest line
    #[arg(long, default_value = "1MiB", value_name = "SIZE")]
    line_bytes_max: ByteSize,
    /// The request id of the whole run
    #[arg(long, value_name = "ID", value_parser = request_id)]
    request_id: Option<RequestId>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    judgement: JudgementArgs,
}

pub(super) async fn run(arguments: SendArgs) -> anyhow::Result<Exit> {
    let stop = shutdown::on_signals()?;
    // A wrong name is told before any broker is asked.
    let length = length(arguments.file.as_deref())?;
    let source = source(arguments.file.as_deref());
    let options = SendOptions {
        lane: arguments.lane.into(),
        tenant: arguments.tenant,
        state: arguments.state,
        on_bad_line: arguments.skip_to.map_or(OnBadLine::Stop, OnBadLine::SkipTo),
        line_bytes_max: arguments.line_bytes_max.as_usize(),
        max_future_skew: arguments.judgement.max_future_skew,
        ..SendOptions::default()
    };
    let context = request(arguments.request_id.as_ref())?;
    let mut bar = Bar(Shown::new(length, "bytes"));
    let done = publishing(&arguments.log, async |publisher| {
        Ok(send::send(&publisher, source, &options, &context, &mut bar, &stop).await?)
    })
    .await?;
    drop(bar);
    show(&done, &context.request_id, arguments.output)?;
    if !done.is_complete {
        bail!("stopped after line {}, before the end", done.lines);
    }
    Ok(if done.skipped == 0 {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn source(file: Option<&Path>) -> Source {
    match file {
        Some(path) if path != Path::new("-") => Source::File(path.to_owned()),
        Some(_) | None => Source::Pipe(Box::new(tokio::io::stdin())),
    }
}

/// The length of a file that has one; it is not opened, since a pipe could be read but once.
fn length(file: Option<&Path>) -> anyhow::Result<Option<u64>> {
    let Some(path) = file.filter(|path| *path != Path::new("-")) else {
        return Ok(None);
    };
    let metadata = std::fs::metadata(path);
    let metadata = metadata.with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(metadata.is_file().then_some(metadata.len()))
}

fn show(done: &Done, request_id: &RequestId, output: OutputArgs) -> anyhow::Result<()> {
    let Done {
        lines,
        acknowledged,
        skipped,
        position,
        is_complete,
        ..
    } = done;
    let text = format!(
        "{acknowledged} events acknowledged, {skipped} lines skipped, {lines} lines dealt with, position {position}"
    );
    let json = json!({
        "lines": lines,
        "acknowledged": acknowledged,
        "skipped": skipped,
        "position": position.to_string(),
        "request_id": request_id.as_str(),
        "complete": is_complete,
    });
    Ok(output.print(text, &json)?)
}

struct Bar(Shown);

impl Progress for Bar {
    fn advanced(&mut self, done: &Done) {
        self.0.advanced(done.bytes);
    }

    fn bad_line(&mut self, bad: &BadLine) {
        self.0.say(&bad.to_string());
    }

    fn waiting(&mut self, error: &PublishError) {
        self.0
            .say(&format!("not acknowledged yet, sent again: {error}"));
    }
}
