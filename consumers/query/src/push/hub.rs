//! Where the streams of a process meet: their seats, and how far all have been told.
//!
//! One lock orders what the follower tells and who joins it: a stream joins exactly where the follower
//! stands, so that it misses nothing and hears nothing twice.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use licenseflow_core::contract::{Position, Topics};
use licenseflow_runtime::http::Problem;
use licenseflow_store::lookup::{Freshness, SaidEvent};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use super::audience::Audience;
use super::filter::Filter;
use super::follow;
use super::frame::Frame;
use super::limits::StreamLimits;
use super::seat::{Ending, Offered, Seat};
use super::session::{PAGE_BYTES, Session};
use super::walk::id_of;
use crate::answer::Failure;
use crate::metrics;
use crate::store::Store;

/// How long streams have to end when the process stops.
const FAREWELL_MAX: Duration = Duration::from_secs(3);

/// The streams of a process.
pub(crate) struct Hub {
    pub(super) shared: Arc<Shared>,
    /// The follower and the one who looks after the seats; they end with the hub.
    _tasks: JoinSet<()>,
}

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) limits: StreamLimits,
    pub(super) topics: Topics,
    places: Arc<Semaphore>,
    /// The turns of streams that read from the store by themselves.
    pub(super) pages: Semaphore,
    /// How many bytes wait for readers.
    held: Arc<AtomicUsize>,
    /// The same of pages that streams have read by themselves.
    pub(super) laid: Arc<AtomicUsize>,
    inner: Mutex<Inner>,
    /// Somebody began to listen.
    pub(super) arrived: Notify,
    /// Changes whenever the follower has moved, or a stream has gone.
    moved: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    stopping: bool,
    numbers: u64,
    seats: HashMap<u64, Taken>,
    audience: Audience,
    followed: Option<Followed>,
    /// Whose events are being told; a stream of another tenant joins after them.
    told: Option<BTreeSet<String>>,
}

struct Taken {
    seat: Arc<Seat>,
    /// Whether it gets events as they come.
    is_live: bool,
}

impl Taken {
    /// It gets nothing more as it comes.
    fn silence(&mut self, number: u64, audience: &mut Audience) {
        self.is_live = false;
        audience.remove(number, &self.seat.filter);
    }
}

/// Where the follower stands: everything below was told.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub(super) generation: i64,
    pub(super) position: Position,
}

/// What a stream that wants to hear events as they come is told.
pub(super) enum Joined {
    Live,
    /// It has not come as far as this yet.
    Behind(Position),
    /// The follower has not come as far as it, or is in the middle of something.
    NotYet,
    /// The follower speaks of another generation.
    Elsewhere,
}

impl Hub {
    /// Begins to follow; must be called inside the runtime.
    pub(crate) fn start(
        store: Store,
        topics: Topics,
        limits: StreamLimits,
        applied: Option<watch::Receiver<u64>>,
    ) -> Self {
        let shared = Arc::new(Shared {
            places: Arc::new(Semaphore::new(
                limits.streams_max.min(Semaphore::MAX_PERMITS),
            )),
            pages: Semaphore::new(limits.pages.max(1)),
            store,
            limits,
            topics,
            held: Arc::default(),
            laid: Arc::default(),
            inner: Mutex::default(),
            arrived: Notify::new(),
            moved: watch::Sender::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(follow::follow(Arc::clone(&shared), applied));
        tasks.spawn(follow::look_after(Arc::clone(&shared)));
        Self {
            shared,
            _tasks: tasks,
        }
    }

    /// A stream that tells what comes after this position.
    pub(super) fn open(
        &self,
        filter: Filter,
        after: Position,
        generation: i64,
    ) -> Result<Session, Failure> {
        let shared = &self.shared;
        let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
            metrics::stream_refused("crowded");
            let most = shared.limits.streams_max;
            let detail = format!("all {most} streams are taken; try again");
            return Err(Problem::unavailable("too_many_streams", detail).into());
        };
        let mut inner = shared.inner();
        if inner.stopping {
            metrics::stream_refused("stopping");
            return Err(Problem::unavailable("stopping", "the service stops").into());
        }
        inner.numbers += 1;
        let number = inner.numbers;
        let seat = Arc::new(Seat::new(filter));
        let taken = Taken {
            seat: Arc::clone(&seat),
            is_live: false,
        };
        inner.seats.insert(number, taken);
        metrics::streams(inner.seats.len());
        drop(inner);
        shared.arrived.notify_one();
        Ok(Session::new(
            Arc::clone(shared),
            seat,
            number,
            (after, generation),
            place,
        ))
    }

    /// Waits until `stop`, then ends every stream with the reason, and returns when they have gone or had
    /// their time.
    pub(crate) async fn end_with(&self, stop: impl Future<Output = ()>) {
        stop.await;
        let mut moved = self.shared.moved.subscribe();
        {
            let mut inner = self.shared.inner();
            inner.stopping = true;
            inner
                .seats
                .values()
                .for_each(|taken| taken.seat.end(Ending::Stopping));
        }
        let gone = async { while !self.shared.is_idle() && moved.changed().await.is_ok() {} };
        // Whoever reads nothing is not waited for.
        let _ = tokio::time::timeout(FAREWELL_MAX, gone).await;
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody listens.
    pub(super) fn is_idle(&self) -> bool {
        self.inner().seats.is_empty()
    }

    /// Changes whenever it is worth trying to join again.
    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    fn has_moved(&self) {
        self.moved.send_modify(|moves| *moves += 1);
    }

    /// Nobody listens: where the follower stood means nothing any more. False: somebody does.
    pub(super) fn forget(&self) -> bool {
        let mut inner = self.inner();
        if inner.seats.is_empty() {
            inner.followed = None;
        }
        inner.followed.is_none() && inner.seats.is_empty()
    }

    /// Where the follower goes on from; it begins at where the model stands. None: that is no later state
    /// of what it has told, and every stream has ended.
    pub(super) fn go_on_from(&self, now: &Freshness) -> Option<Followed> {
        let mut inner = self.inner();
        let position = now.position();
        let is_later = |followed: &Followed| {
            followed.generation == now.generation && position.covers(&followed.position)
        };
        let followed = inner.followed.take().filter(is_later);
        let begins = followed.is_none();
        let inner = &mut *inner;
        let followed = inner.followed.insert(followed.unwrap_or(Followed {
            generation: now.generation,
            position,
        }));
        if begins {
            // Who is live was told by another state.
            for (number, taken) in inner.seats.iter_mut().filter(|(_, taken)| taken.is_live) {
                taken.silence(*number, &mut inner.audience);
                taken.seat.end(Ending::AnotherModel);
            }
            self.has_moved();
            return None;
        }
        Some(followed.clone())
    }

    /// Whether the pages that wait for their readers take all that they may.
    pub(super) fn is_full_of_pages(&self) -> bool {
        let most = self.limits.pages.saturating_mul(PAGE_BYTES);
        self.laid.load(Ordering::Relaxed) >= most
    }

    /// The tenants that somebody listens to; their events are told next.
    pub(super) fn begin_to_tell(&self) -> BTreeSet<String> {
        let mut inner = self.inner();
        let mut tenants = BTreeSet::new();
        for taken in inner.seats.values() {
            if !tenants.contains(&taken.seat.filter.tenant_id) {
                tenants.insert(taken.seat.filter.tenant_id.clone());
            }
        }
        inner.told = Some(tenants.clone());
        tenants
    }

    /// Tells an event to all who ask for it; `position` is the one after it.
    pub(super) fn tell(&self, event: &SaidEvent, position: &Position) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let seats = inner.audience.of(event);
        if !seats.is_empty() {
            let frame = Frame::of(id_of(position), event, &self.topics).counted(&self.held);
            let frame = Arc::new(frame);
            let mut told = 0;
            for (number, seat) in seats {
                let crowded = self.held.load(Ordering::Relaxed) > self.limits.held_bytes;
                match seat.offer(&frame, &self.limits, crowded) {
                    Offered::Taken => {
                        told += 1;
                        continue;
                    }
                    Offered::NoRoom => metrics::stream_fell_behind(),
                    Offered::Over => {}
                }
                if let Some(taken) = inner.seats.get_mut(&number) {
                    taken.silence(number, &mut inner.audience);
                }
            }
            metrics::stream_events(told);
        }
        if let Some(followed) = &mut inner.followed {
            followed.position.clone_from(position);
        }
    }

    /// The follower has come to here, and stands still for a moment.
    pub(super) fn end_telling(&self, position: &Position) {
        let mut inner = self.inner();
        inner.told = None;
        if let Some(followed) = &mut inner.followed {
            followed.position.clone_from(position);
        }
        drop(inner);
        self.has_moved();
    }

    /// Lets a stream hear events as they come, where it has come to where the follower stands.
    pub(super) fn join(&self, number: u64, at: &Position, generation: i64) -> Joined {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let Some(followed) = &inner.followed else {
            return Joined::NotYet;
        };
        if followed.generation != generation {
            return Joined::Elsewhere;
        }
        if !followed.position.covers(at) {
            return Joined::NotYet;
        }
        if !at.covers(&followed.position) {
            return Joined::Behind(followed.position.clone());
        }
        let Some(taken) = inner.seats.get_mut(&number) else {
            return Joined::NotYet;
        };
        let filter = &taken.seat.filter;
        if inner
            .told
            .as_ref()
            .is_some_and(|told| !told.contains(&filter.tenant_id))
        {
            return Joined::NotYet;
        }
        taken.is_live = true;
        inner.audience.add(number, &taken.seat);
        Joined::Live
    }

    /// A stream is over.
    pub(super) fn leave(&self, number: u64) {
        let mut inner = self.inner();
        if let Some(taken) = inner.seats.remove(&number) {
            inner.audience.remove(number, &taken.seat.filter);
        }
        metrics::streams(inner.seats.len());
        drop(inner);
        self.has_moved();
    }

    /// Cuts off who takes nothing, and tells some of the quiet that they are alive: those whose turn it is
    /// in this second.
    pub(super) fn look_after(&self, second: u64) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let turns = self.limits.beat.as_secs().max(1);
        let followed = inner.followed.as_ref();
        let mark = followed.map(|it| Arc::new(Frame::mark(id_of(&it.position))));
        for (number, taken) in &mut inner.seats {
            if taken.seat.is_stalled(self.limits.stall_max, taken.is_live) {
                taken.silence(*number, &mut inner.audience);
                taken.seat.end(Ending::SlowReader);
            }
            if let Some(mark) = &mark
                && taken.is_live
                && number % turns == second % turns
            {
                taken.seat.beat(mark);
            }
        }
    }
}
