//! One stream: first what the store holds from its position on, then what comes.

use std::sync::Arc;
use std::time::Duration;

use licenseflow_core::contract::Position;
use licenseflow_store::lookup::SaidQuery;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::frame::Frame;
use super::hub::{Joined, Shared};
use super::seat::{Ending, Found, Seat};
use super::walk::{Walk, id_of};
use crate::metrics;

/// As many events as a stream reads from the store at once, and the most bytes of them.
const PAGE_EVENTS: usize = 128;
pub(super) const PAGE_BYTES: usize = 256 * 1024;

/// As many while there is room for a single one, which may be the last of those that are looked at.
const EVENTS_WHERE_FULL: usize = 8;

/// How long after an error of the store it is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What is sent next on a stream.
pub(super) enum Piece {
    Frame(Arc<Frame>),
    /// The last: why the stream ends, and the id to go on from.
    Cut(Ending, String),
}

pub(super) struct Session {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    number: u64,
    generation: i64,
    /// Where the stream reads on from; none while it hears events as they come.
    behind: Option<Position>,
    /// When its queue ran over, until it is live again.
    fallen_at: Option<Instant>,
    last_id: String,
    phase: Phase,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Begins,
    Runs,
    Over,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.leave(self.number);
    }
}

impl Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        seat: Arc<Seat>,
        number: u64,
        (after, generation): (Position, i64),
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            shared,
            seat,
            number,
            generation,
            last_id: id_of(&after),
            behind: Some(after),
            fallen_at: None,
            phase: Phase::Begins,
            _place: place,
        }
    }

    /// What is sent next; none: the stream is over. May be dropped and called again at any time.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        match self.phase {
            Phase::Over => return None,
            Phase::Begins => {
                // At once, so that also a stream that is cut before its first event goes on from here.
                self.phase = Phase::Runs;
                return Some(Piece::Frame(Arc::new(Frame::mark(self.last_id.clone()))));
            }
            Phase::Runs => {}
        }
        loop {
            match self.seat.take() {
                Found::Frame(frame) => {
                    self.last_id.clone_from(&frame.id);
                    return Some(Piece::Frame(frame));
                }
                Found::Ended(ending) => {
                    self.phase = Phase::Over;
                    metrics::stream_cut(ending.reason());
                    return Some(Piece::Cut(ending, self.last_id.clone()));
                }
                Found::Fallen => {
                    // Our own ids always are positions.
                    self.behind = Some(self.last_id.parse().unwrap_or_default());
                    self.fallen_at.get_or_insert_with(Instant::now);
                }
                Found::Nothing if self.behind.is_some() => {
                    let seat = Arc::clone(&self.seat);
                    tokio::select! {
                        () = Box::pin(self.catch_up()) => {}
                        // Ended meanwhile.
                        () = seat.changed() => {}
                    }
                }
                Found::Nothing => self.seat.changed().await,
            }
        }
    }

    /// Comes closer to where the follower stands by one page, or joins it.
    async fn catch_up(&mut self) {
        let Some(at) = &self.behind else {
            return;
        };
        let mut moves = self.shared.moves();
        match self.shared.join(self.number, at, self.generation) {
            Joined::Live => {
                self.behind = None;
                self.fallen_at = None;
            }
            Joined::Elsewhere => self.seat.end(Ending::AnotherModel),
            Joined::NotYet => {
                // The hub lives as long as its streams.
                let _ = moves.changed().await;
            }
            Joined::Behind(target) => {
                let too_long = |since: Instant| since.elapsed() > self.shared.limits.behind_max;
                if self.fallen_at.is_some_and(too_long) {
                    self.seat.end(Ending::SlowReader);
                    return;
                }
                let walk = Walk::new(at, &target);
                self.read_on(walk).await;
            }
        }
    }

    /// Lays the next page down at the seat.
    async fn read_on(&mut self, mut walk: Walk) {
        let Ok(turn) = self.shared.pages.acquire().await else {
            return;
        };
        let query = SaidQuery {
            tenants: [self.seat.filter.tenant_id.clone()].into(),
            spans: walk.spans(),
            limit: match self.shared.is_full_of_pages() {
                true => EVENTS_WHERE_FULL,
                false => PAGE_EVENTS,
            },
        };
        let read = self
            .shared
            .store
            .ask("said", move |lookup| lookup.said(&query))
            .await;
        // Nobody else waits for this reader.
        drop(turn);
        let Ok(read) = read else {
            // The store's own words are in the log; the stream goes on when it is back.
            tokio::time::sleep(AGAIN_AFTER).await;
            return;
        };
        let (mut frames, mut bytes) = (Vec::new(), 0);
        let mut is_full = false;
        for event in &read.value.items {
            let at = event.row.recorded.at;
            walk.pass(at.lane, at.partition, at.offset);
            if self.seat.filter.takes(event) {
                let frame = Frame::of(id_of(walk.at()), event, &self.shared.topics);
                bytes += frame.bytes();
                frames.push(frame.counted(&self.shared.laid));
                is_full = bytes > PAGE_BYTES || self.shared.is_full_of_pages();
            }
            if is_full {
                break;
            }
        }
        if !is_full {
            walk.come_to(read.value.next);
        }
        metrics::stream_events(frames.len());
        if frames.is_empty() && !walk.is_done() {
            // A long way without any event that is asked for: the reader learns how far it is.
            frames.push(Frame::mark(id_of(walk.at())));
        }
        self.behind = Some(walk.at().clone());
        self.seat.lay(frames);
    }
}
