//! `events send`: lines of events from a file or a pipe, published and, where asked for, resumable.
//!
//! It owns the reading, the order of acknowledgements and the checkpoint. It draws nothing: whoever
//! calls it gives a [`Progress`]. A run that was killed anywhere goes on from the last line before which
//! everything was acknowledged, so each line arrives at least once, and an event counts once by its id.

mod checkpoint;
mod lines;
mod validate;

pub use checkpoint::Checkpoint;
pub use validate::BadLine;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use licenseflow_avro::event::LicenseEvent;
use licenseflow_avro::{Lane, Position};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeekExt, AsyncWriteExt, BufReader};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::publish::{Delivery, PublishError, Publisher, Receipt, RequestContext};
use lines::{Line, Lines};
use validate::Validation;

/// How often a resumable run writes down how far it is.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// The pause before a line that the brokers did not acknowledge is sent again, doubled up to the most.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// What becomes of a line that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnBadLine {
    /// The run ends there.
    Stop,
    /// The line is added to this file as it is, to be mended and sent.
    SkipTo(PathBuf),
}

/// Where lines come from.
pub enum Source {
    /// A file, which a resumed run opens at the right place.
    File(PathBuf),
    /// A pipe; a resumed run must be given the same bytes from the beginning.
    Pipe(Box<dyn AsyncRead + Send + Unpin>),
}

/// How lines are sent.
#[derive(Debug, Clone)]
pub struct SendOptions {
    /// The lane.
    pub lane: Lane,
    /// The tenant of events that name none.
    pub tenant: Option<String>,
    /// Keeps how far the run is, so that it can be resumed; events must then bring their ids.
    pub state: Option<PathBuf>,
    /// What becomes of a line that is no event.
    pub on_bad_line: OnBadLine,
    /// How many lines may be on their way at once.
    pub in_flight_max: usize,
    /// The longest line, in bytes.
    pub line_bytes_max: usize,
    /// How far an event's own time may be ahead of now.
    pub max_future_skew: Duration,
    /// For how long a line is sent again while the brokers do not acknowledge it.
    pub retry_for: Duration,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            lane: Lane::Interactive,
            tenant: None,
            state: None,
            on_bad_line: OnBadLine::Stop,
            in_flight_max: 10_000,
            line_bytes_max: 1024 * 1024,
            max_future_skew: Duration::from_secs(5 * 60),
            retry_for: Duration::from_secs(5 * 60),
        }
    }
}

/// How far a run is. Counts include what earlier runs on the same checkpoint did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Lines that were dealt with, from the first on without a gap.
    pub lines: u64,
    /// The bytes of these lines.
    pub bytes: u64,
    /// The bytes that there are, where that is known.
    pub bytes_total: Option<u64>,
    /// Events that this run has receipts for.
    pub acknowledged: u64,
    /// Lines that this run skipped because they are no events.
    pub skipped: u64,
    /// Covers every event that this run has a receipt for.
    pub position: Position,
    /// Whether the input was read to its end.
    pub is_complete: bool,
}

/// Hears how a run goes.
pub trait Progress: Send {
    /// Lines were acknowledged.
    fn advanced(&mut self, done: &Done);
    /// A line is no event.
    fn bad_line(&mut self, bad: &BadLine);
    /// The brokers have not acknowledged a line, which is sent again.
    fn waiting(&mut self, error: &PublishError);
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The input cannot be read.
    #[error("cannot read the events")]
    Read(#[source] io::Error),
    /// The file of skipped lines cannot be written.
    #[error("cannot write the skipped lines to {path}")]
    Skipped {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The checkpoint cannot be read, written, or belongs to something else.
    #[error("cannot use the checkpoint {path}: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A line is no event.
    #[error("{0}")]
    BadLine(BadLine),
    /// The brokers did not acknowledge a line, however often it was sent.
    #[error("line {line} was not acknowledged")]
    Publish {
        /// Counted from 1.
        line: u64,
        /// The last answer.
        #[source]
        source: PublishError,
    },
}

/// Sends every line, or those that an earlier run has left. Ends early where `stop` is cancelled, after
/// what is on its way was acknowledged.
///
/// # Errors
/// What ended the run; lines acknowledged before are in the checkpoint.
#[expect(
    clippy::too_many_arguments,
    reason = "each is another owner's: options say what is wanted, the others who does and hears it"
)]
pub async fn send(
    publisher: &Publisher,
    source: Source,
    options: &SendOptions,
    context: &RequestContext,
    progress: &mut dyn Progress,
    stop: &CancellationToken,
) -> Result<Done, SendError> {
    let start = match &options.state {
        Some(path) => Checkpoint::load(path).await?,
        None => Checkpoint::default(),
    };
    let (input, bytes_total) = open(source, &start, options).await?;
    let mut run = Run {
        publisher,
        options,
        context,
        done: Done {
            lines: start.lines,
            bytes: start.bytes,
            bytes_total,
            ..Done::default()
        },
        in_flight: VecDeque::new(),
        skipped: open_skipped(options).await?,
        saved_at: Instant::now(),
        progress,
    };
    let lines = Lines::new(input, start, options.line_bytes_max);
    let sent = run.send(lines, stop).await;
    // Also after an error: what came before it is acknowledged, and need not be sent again.
    let saved = run.save().await;
    sent?;
    saved?;
    run.progress.advanced(&run.done);
    Ok(run.done)
}

type Input = BufReader<Box<dyn AsyncRead + Send + Unpin>>;

const READ_BYTES: usize = 256 * 1024;

/// The input, standing behind what the checkpoint covers, and its length where that is known.
async fn open(
    source: Source,
    start: &Checkpoint,
    options: &SendOptions,
) -> Result<(Input, Option<u64>), SendError> {
    match source {
        Source::Pipe(pipe) => {
            let mut input = BufReader::with_capacity(READ_BYTES, pipe);
            lines::skip(&mut input, start.bytes)
                .await
                .map_err(SendError::Read)?;
            Ok((input, None))
        }
        Source::File(path) => {
            let mut file = File::open(&path).await.map_err(SendError::Read)?;
            let length = file.metadata().await.map_err(SendError::Read)?.len();
            if let (true, Some(state)) = (length < start.bytes, &options.state) {
                return Err(SendError::Checkpoint {
                    path: state.clone(),
                    reason: format!(
                        "it stands at byte {} of a file that has {length}: it belongs to another file",
                        start.bytes
                    ),
                });
            }
            file.seek(io::SeekFrom::Start(start.bytes))
                .await
                .map_err(SendError::Read)?;
            let file: Box<dyn AsyncRead + Send + Unpin> = Box::new(file);
            Ok((BufReader::with_capacity(READ_BYTES, file), Some(length)))
        }
    }
}

async fn open_skipped(options: &SendOptions) -> Result<Option<(PathBuf, File)>, SendError> {
    let OnBadLine::SkipTo(path) = &options.on_bad_line else {
        return Ok(None);
    };
    let file = File::options().create(true).append(true).open(path).await;
    let file = file.map_err(|source| SendError::Skipped {
        path: path.clone(),
        source,
    })?;
    Ok(Some((path.clone(), file)))
}

/// A line on its way.
struct Sent {
    line: Line,
    /// None for a line that was skipped.
    event: Option<(LicenseEvent, Result<Delivery, PublishError>)>,
}

struct Run<'a> {
    publisher: &'a Publisher,
    options: &'a SendOptions,
    context: &'a RequestContext,
    done: Done,
    in_flight: VecDeque<Sent>,
    skipped: Option<(PathBuf, File)>,
    saved_at: Instant,
    progress: &'a mut dyn Progress,
}

impl Run<'_> {
    async fn send(&mut self, mut lines: Lines, stop: &CancellationToken) -> Result<(), SendError> {
        let validation = Validation::new(self.options);
        let mut failed = None;
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                next = lines.next() => next.map_err(SendError::Read)?,
            };
            let Some((line, text)) = next else {
                self.done.is_complete = true;
                break;
            };
            if let Err(error) = self.take(line, &text, &validation).await {
                failed = Some(error);
                break;
            }
            while self.in_flight.len() >= self.options.in_flight_max.max(1) {
                self.settle_first().await?;
            }
            if self.saved_at.elapsed() >= CHECKPOINT_EVERY {
                self.save().await?;
            }
        }
        while !self.in_flight.is_empty() {
            self.settle_first().await?;
        }
        failed.map_or(Ok(()), Err)
    }

    async fn take(
        &mut self,
        line: Line,
        text: &[u8],
        validation: &Validation,
    ) -> Result<(), SendError> {
        let event = match validation.event(&line, text) {
            Ok(Some(event)) => {
                let lane = self.options.lane;
                let sent = self.publisher.enqueue(&event, lane, self.context).await;
                Some((event, sent))
            }
            Ok(None) => None,
            Err(bad) => {
                self.progress.bad_line(&bad);
                let Some((path, file)) = &mut self.skipped else {
                    return Err(SendError::BadLine(bad));
                };
                let written = [text, b"\n"].concat();
                file.write_all(&written)
                    .await
                    .map_err(|source| SendError::Skipped {
                        path: path.clone(),
                        source,
                    })?;
                self.done.skipped += 1;
                None
            }
        };
        self.in_flight.push_back(Sent { line, event });
        Ok(())
    }

    /// Waits for the line that has been on its way longest.
    async fn settle_first(&mut self) -> Result<(), SendError> {
        let Some(Sent { line, event }) = self.in_flight.pop_front() else {
            return Ok(());
        };
        if let Some((event, sent)) = event {
            let receipt = self.receipt(&line, &event, sent).await?;
            let next_offset = receipt.offset + 1;
            self.done
                .position
                .raise(receipt.lane, receipt.partition, next_offset);
            self.done.acknowledged += 1;
        }
        self.done.lines = line.number;
        self.done.bytes = line.end;
        if self.done.lines.is_multiple_of(1000) {
            self.progress.advanced(&self.done);
        }
        Ok(())
    }

    /// The receipt of an event, which is sent again as long as that may help: it is the same event.
    async fn receipt(
        &mut self,
        line: &Line,
        event: &LicenseEvent,
        sent: Result<Delivery, PublishError>,
    ) -> Result<Receipt, SendError> {
        let give_up_at = Instant::now() + self.options.retry_for;
        let mut pause = RETRY_PAUSE;
        let mut answer = match sent {
            Ok(delivery) => delivery.receipt().await,
            Err(error) => Err(error),
        };
        loop {
            let error = match answer {
                Ok(receipt) => return Ok(receipt),
                Err(error) => error,
            };
            if !error.may_pass() || Instant::now() >= give_up_at {
                let (line, source) = (line.number, error);
                return Err(SendError::Publish { line, source });
            }
            self.progress.waiting(&error);
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(RETRY_PAUSE_MAX);
            answer = self
                .publisher
                .publish(event, self.options.lane, self.context)
                .await;
        }
    }

    /// Writes down how far the run is. Skipped lines reach the disk first.
    async fn save(&mut self) -> Result<(), SendError> {
        self.saved_at = Instant::now();
        if let Some((path, file)) = &mut self.skipped {
            file.flush()
                .await
                .and(file.sync_data().await)
                .map_err(|source| SendError::Skipped {
                    path: path.clone(),
                    source,
                })?;
        }
        let Some(path) = &self.options.state else {
            return Ok(());
        };
        let checkpoint = Checkpoint {
            lines: self.done.lines,
            bytes: self.done.bytes,
        };
        checkpoint.save(path).await
    }
}
