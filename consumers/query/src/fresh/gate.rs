//! Those who wait until the read model is as fresh as they asked, and the one who looks for them.
//!
//! A single task reads where the model stands, and only while somebody waits: after each commit of a
//! projector in this process, or every few milliseconds where the projector is another process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use licenseflow_runtime::http::Problem;
use licenseflow_store::lookup::Freshness;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::asked::{AskedFreshness, OnStale};
use crate::answer::Failure;
use crate::changes::Changes;
use crate::clock::Clock;
use crate::metrics;
use crate::store::{self, Store};

/// How often the store is read while somebody waits and nothing says that it changed.
const POLL: Duration = Duration::from_millis(10);

/// The same where a projector says it: how long a change that it does not speak of may go unseen.
const POLL_BESIDE_SIGNAL: Duration = Duration::from_millis(200);

/// Where requests wait for the read model.
pub(crate) struct Gate {
    shared: Arc<Shared>,
    waiters_max: usize,
    /// Ends with the gate.
    _watcher: JoinSet<()>,
}

struct Shared {
    store: Store,
    clock: Clock,
    waiters: AtomicUsize,
    /// Somebody began to wait.
    arrived: Notify,
    /// What the last look found.
    seen: watch::Sender<Result<Freshness, Failure>>,
}

impl Gate {
    /// Begins to watch; must be called inside the runtime.
    pub(crate) fn start(
        store: Store,
        applied: Option<watch::Receiver<u64>>,
        waiters_max: usize,
        clock: Clock,
    ) -> Self {
        let shared = Arc::new(Shared {
            store,
            clock,
            waiters: AtomicUsize::new(0),
            arrived: Notify::new(),
            seen: watch::Sender::new(Ok(Freshness::default())),
        });
        let mut watcher = JoinSet::new();
        let changes = Changes {
            applied,
            poll: POLL,
            poll_beside_signal: POLL_BESIDE_SIGNAL,
        };
        watcher.spawn(Arc::clone(&shared).watch(changes));
        Self {
            shared,
            waiters_max,
            _watcher: watcher,
        }
    }

    /// Returns when the model is as fresh as asked, or at once where staleness is to be served.
    pub(crate) async fn pass(&self, asked: &AskedFreshness) -> Result<(), Failure> {
        let is_met = |freshness: &Freshness| asked.met_by(freshness, self.shared.now_ms());
        if self
            .shared
            .store
            .known()
            .is_some_and(|known| is_met(&known))
        {
            metrics::waited("fresh");
            return Ok(());
        }
        if asked.on_stale == OnStale::Wait {
            return self.wait(asked).await;
        }
        let found = self.shared.store.freshness().await?;
        if is_met(&found) {
            metrics::waited("fresh");
            return Ok(());
        }
        if asked.on_stale == OnStale::Serve {
            metrics::waited("served");
            return Ok(());
        }
        metrics::waited("failed");
        let problem = Problem::new(StatusCode::PRECONDITION_FAILED, "stale");
        Err(self.stale(problem, "now", asked, found))
    }

    async fn wait(&self, asked: &AskedFreshness) -> Result<(), Failure> {
        let Some(_waiter) = Waiter::enter(&self.shared, self.waiters_max) else {
            metrics::waited("crowded");
            let problem = Problem::unavailable(
                "too_many_waiters",
                "too many requests wait for the read model",
            );
            return Err(match self.shared.store.known() {
                Some(known) => Failure::read(problem, known),
                None => problem.into(),
            });
        };
        let mut seen = self.shared.seen.subscribe();
        self.shared.arrived.notify_one();
        let is_met = |freshness: &Freshness| asked.met_by(freshness, self.shared.now_ms());
        // The first look is not waiting yet: it is taken together with all who come meanwhile.
        let looked = timeout(store::left(), seen.changed()).await;
        if !matches!(looked, Ok(Ok(()))) {
            return Err(store::ran_out());
        }
        let found = seen.borrow_and_update().clone()?;
        if is_met(&found) {
            metrics::waited("fresh");
            return Ok(());
        }
        let met = seen.wait_for(|seen| seen.as_ref().is_ok_and(is_met));
        // Who waits holds no turn, and leaves the store what is left of the request's time.
        let wait_max = asked.wait_max.min(store::left());
        if timeout(wait_max, met).await.is_ok() {
            metrics::waited("caught_up");
            return Ok(());
        }
        metrics::waited("ran_out");
        // It was looked for all the while.
        let found = self.shared.store.known().unwrap_or(found);
        let when = format!("after {} ms", wait_max.as_millis());
        let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, "still_stale");
        Err(self.stale(problem, &when, asked, found))
    }

    /// Completes a problem with where the model stands and what was asked.
    fn stale(
        &self,
        problem: Problem,
        when: &str,
        asked: &AskedFreshness,
        found: Freshness,
    ) -> Failure {
        let position = found.position();
        let lag_ms = found.lag_ms(self.shared.now_ms());
        let lag = lag_ms.map_or_else(|| "unknown".to_owned(), |lag| format!("{lag} ms"));
        let mut wanted = Vec::new();
        if !asked.position.is_empty() {
            wanted.push(format!("the position {}", asked.position));
        }
        if let Some(max) = asked.staleness_ms_max {
            wanted.push(format!("a lag of at most {max} ms"));
        }
        let wanted = wanted.join(" and ");
        let detail =
            format!("{when} the read model is at {position}, its lag is {lag}; asked was {wanted}");
        let waits = asked.license_id.as_deref();
        let waits = waits.is_some_and(|it| found.waits_for(it, &asked.position));
        let detail = match waits {
            true => format!("{detail}; a record of this license waits for another try"),
            false => detail,
        };
        let problem = problem
            .detail(detail)
            .member("position", position.to_string())
            .member("lag_ms", lag_ms);
        Failure::read(problem, found)
    }
}

impl Shared {
    fn now_ms(&self) -> i64 {
        (self.clock)().div_euclid(1000)
    }

    /// Reads where the model stands for as long as somebody waits.
    async fn watch(self: Arc<Self>, mut changes: Changes) {
        loop {
            if self.waiters.load(Ordering::Acquire) == 0 {
                self.arrived.notified().await;
            }
            changes.mark_seen();
            // An error is for those who have just come; of the others' time enough may be left.
            let found = self.store.freshness().await;
            self.seen.send_modify(|seen| *seen = found);
            changes.next(&self.arrived).await;
        }
    }
}

/// A place among those who wait; given up when dropped, also where the client has gone.
struct Waiter<'g>(&'g Shared);

impl<'g> Waiter<'g> {
    fn enter(shared: &'g Shared, most: usize) -> Option<Self> {
        let waiter = Self(shared);
        let before = shared.waiters.fetch_add(1, Ordering::AcqRel);
        metrics::waiters(before + 1);
        (before < most).then_some(waiter)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let before = self.0.waiters.fetch_sub(1, Ordering::AcqRel);
        metrics::waiters(before.saturating_sub(1));
    }
}
