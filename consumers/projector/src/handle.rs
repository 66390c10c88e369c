//! Starting the projector, and what its owner holds of it.

use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::metrics::NoopRecorder;
use licenseflow_avro::Position;
use licenseflow_avro::judgement::Schemas;
use licenseflow_kafka::{Letters, Source};
use licenseflow_runtime::shutdown::GRACE;
use licenseflow_store::{Outbox, ReadModel};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::backlog::Backlog;
use crate::config::{Clock, Settings};
use crate::ends::Ends;
use crate::growing::Growing;
use crate::lag::Lag;
use crate::metrics::Gauges;
use crate::narrowing::Narrowing;
use crate::outbox::Sending;
use crate::partitions::Partitions;
use crate::pump::Pump;
use crate::retrying::{Retrying, Room};
use crate::slowing::Slowing;
use crate::status::{Board, Status, together};
use crate::store_line::StoreLine;
use crate::store_thread::StoreThread;
use crate::suspicion::Suspicion;
use crate::waiting::Waiting;
use crate::walk::Walk;
use crate::yielding::{InUse, Yielding};
use crate::{Error, Result};

/// What the projector is made of; tests put others in their place.
pub struct Parts<S, J, M, L> {
    /// Where records come from.
    pub source: S,
    /// Where schemas come from.
    pub schemas: J,
    /// Where rows go.
    pub model: M,
    /// Where letters go.
    pub letters: L,
    /// The time, in milliseconds UTC.
    pub clock: Clock,
}

/// The one loop.
pub struct Projector;

impl Projector {
    /// Starts the projector's threads. It ends when `shutdown` is cancelled, and cancels it where it
    /// cannot go on.
    ///
    /// Several appliers are loops beside one another, each a member of the group with partitions of its
    /// own, over a store that takes so many writers. They are one projector: where one cannot go on, all
    /// end.
    ///
    /// # Errors
    /// [`Error::Thread`].
    pub fn start<S, J, M, L>(
        settings: Settings,
        appliers: impl IntoIterator<Item = Parts<S, J, M, L>>,
        shutdown: &CancellationToken,
    ) -> Result<Handle>
    where
        S: Source + 'static,
        J: Schemas + Send + 'static,
        M: ReadModel + Outbox + 'static,
        L: Letters + 'static,
    {
        start(settings, appliers, Numbers::Shown, shutdown)
    }

    /// Starts the loop of a generation beside the live one.
    ///
    /// # Errors
    /// [`Error::Thread`].
    pub(crate) fn start_beside<S, J, M, L>(
        settings: Settings,
        parts: Parts<S, J, M, L>,
        shutdown: &CancellationToken,
    ) -> Result<Handle>
    where
        S: Source + 'static,
        J: Schemas + Send + 'static,
        M: ReadModel + Outbox + 'static,
        L: Letters + 'static,
    {
        start(settings, [parts], Numbers::Hidden, shutdown)
    }
}

fn start<S, J, M, L>(
    settings: Settings,
    appliers: impl IntoIterator<Item = Parts<S, J, M, L>>,
    numbers: Numbers,
    shutdown: &CancellationToken,
) -> Result<Handle>
where
    S: Source + 'static,
    J: Schemas + Send + 'static,
    M: ReadModel + Outbox + 'static,
    L: Letters + 'static,
{
    let (position, positions) = watch::channel(Position::default());
    let mut handle = Handle {
        positions,
        boards: Vec::new(),
        stop: shutdown.clone(),
        appliers: Vec::new(),
    };
    let in_use = InUse::new(Instant::now());
    for (number, parts) in appliers.into_iter().enumerate() {
        let board = Board::new();
        handle.boards.push(board.clone());
        let seen = Seen {
            board,
            gauges: Gauges::of(number),
            position: position.clone(),
            in_use: in_use.clone(),
            numbers,
        };
        match parts.start(settings.clone(), seen, shutdown) {
            Ok(threads) => handle.appliers.push(threads),
            Err(error) => {
                shutdown.cancel();
                return Err(error);
            }
        }
    }
    Ok(handle)
}

/// What others see of a loop.
struct Seen {
    board: Board,
    gauges: Gauges,
    position: watch::Sender<Position>,
    in_use: InUse,
    numbers: Numbers,
}

/// Whether a loop's numbers are among the projector's.
#[derive(Debug, Clone, Copy)]
enum Numbers {
    Shown,
    /// It writes another generation, whose lag is not the readers'.
    Hidden,
}

impl<S, J, M, L> Parts<S, J, M, L>
where
    S: Source + 'static,
    J: Schemas + Send + 'static,
    M: ReadModel + Outbox + 'static,
    L: Letters + 'static,
{
    /// Starts one loop.
    fn start(
        self,
        settings: Settings,
        seen: Seen,
        shutdown: &CancellationToken,
    ) -> Result<Threads> {
        let (tasks, to_do) = channel();
        let (told, answers) = channel();
        let (outgoing, inbox) = channel();
        let sending = Sending {
            letters: self.letters,
            inbox,
            tasks: tasks.clone(),
            within: settings.letters_within,
            bytes_max: settings.letters_bytes_max,
            backoff: settings.backoff,
            stop: shutdown.clone(),
        };
        let store = StoreThread {
            model: self.model,
            tasks: to_do,
            told,
            outgoing,
            letters_max: settings.letters_max,
            walk: Walk::new(settings.letters_max, settings.backoff),
            position: seen.position,
            clock: self.clock.clone(),
            gauges: seen.gauges.clone(),
            is_sending: false,
            acknowledged: Vec::new(),
            slowing: Slowing::new(settings.letters_pace),
            retrying: Retrying::new(Instant::now()),
            look: Instant::now(),
            backoff: settings.backoff,
            failures: 0,
        };
        let pump = Pump {
            source: self.source,
            schemas: self.schemas,
            store: StoreLine::new(tasks, answers),
            clock: self.clock,
            board: seen.board,
            gauges: seen.gauges,
            growing: Growing::default(),
            partitions: Partitions::default(),
            ends: Ends::new(settings.ends_interval),
            lag: Lag::new(Instant::now()),
            suspicion: Suspicion::new(settings.suspects_max),
            room: Room::new(settings.retries, settings.backoff),
            narrowing: Narrowing::default(),
            waiting: Waiting::new(&settings),
            backlog: Backlog::new(settings.waiting, settings.alerts),
            yielding: Yielding::new(settings.yields, seen.in_use),
            settings,
        };
        let stop = shutdown.clone();
        let numbers = seen.numbers;
        Ok(Threads {
            store: spawn("store", numbers, move || store.run())?,
            letters: spawn("letters", numbers, move || sending.run())?,
            pump: spawn("poll", numbers, move || {
                let _ended = stop.clone().drop_guard();
                pump.run(&stop)
            })?,
        })
    }
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    numbers: Numbers,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    thread::Builder::new()
        .name(format!("projector-{name}"))
        .spawn(move || match numbers {
            Numbers::Shown => work(),
            Numbers::Hidden => ::metrics::with_local_recorder(&NoopRecorder, work),
        })
        .map_err(|source| Error::Thread { name, source })
}

/// A projector that runs.
#[derive(Debug)]
pub struct Handle {
    positions: watch::Receiver<Position>,
    boards: Vec<Board>,
    stop: CancellationToken,
    appliers: Vec<Threads>,
}

#[derive(Debug)]
struct Threads {
    pump: JoinHandle<Result<()>>,
    store: JoinHandle<()>,
    letters: JoinHandle<()>,
}

impl Handle {
    /// The position that is applied; it changes after each batch is committed.
    #[must_use]
    pub fn position(&self) -> watch::Receiver<Position> {
        self.positions.clone()
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        together(&self.boards)
    }

    /// Asks, from any thread and for as long as anyone likes, how it is.
    pub fn watcher(&self) -> impl Fn() -> Status + Send + Sync + Clone + 'static {
        let boards = self.boards.clone();
        move || together(&boards)
    }

    /// Whether it reads no more, for whichever reason; [`Handle::join`] says which.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.appliers.iter().any(|it| it.pump.is_finished())
    }

    /// Asks it to end, as cancelling the token does.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it ends by itself or was asked to, and then for the batches that are being written.
    /// Blocks.
    ///
    /// # Errors
    /// Why it could not go on; [`Error::Slow`] where it did not end in the grace after it was asked.
    pub fn join(self) -> Result<()> {
        while !self.stop.is_cancelled() && !self.is_ended() {
            thread::sleep(GLANCE);
        }
        let until = Instant::now() + GRACE;
        let each = self.appliers.into_iter();
        let ended: Vec<Result<()>> = each.map(|applier| applier.join(until)).collect();
        ended.into_iter().collect()
    }
}

impl Threads {
    fn join(self, until: Instant) -> Result<()> {
        let ended = waited(self.pump, "poll", until)?;
        ended?;
        waited(self.store, "store", until)?;
        // Letters that are under way are rows still; nothing is lost by leaving them.
        waited(self.letters, "letters", until).or_else(|error| match error {
            Error::Slow(_) => Ok(()),
            other => Err(other),
        })
    }
}

const GLANCE: Duration = Duration::from_millis(10);

fn waited<T>(thread: JoinHandle<T>, name: &'static str, until: Instant) -> Result<T> {
    while !thread.is_finished() {
        if Instant::now() > until {
            return Err(Error::Slow(GRACE));
        }
        std::thread::sleep(GLANCE);
    }
    thread.join().map_err(|_| Error::Ended(name))
}
