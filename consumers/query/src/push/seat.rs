//! The seat of one stream: what waits for its reader, and what became of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::filter::Filter;
use super::frame::Frame;
use super::limits::StreamLimits;

/// Why a stream ends before its reader has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The reader took nothing, or less than is said, for too long.
    SlowReader,
    /// The process stops.
    Stopping,
    /// The store holds another generation, or an earlier state: ids speak of another one.
    AnotherModel,
}

impl Ending {
    /// The name to program against.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::SlowReader => "slow_reader",
            Self::Stopping => "stopping",
            Self::AnotherModel => "another_model",
        }
    }

    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::SlowReader => {
                "events were read more slowly than they came; go on from last_event_id"
            }
            Self::Stopping => "the service stops; go on from last_event_id when it is back",
            Self::AnotherModel => "the read model was built anew; go on from last_event_id",
        }
    }
}

/// What became of a frame that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    Taken,
    /// There was no room, and what waited went too.
    NoRoom,
    /// The stream takes nothing any more as it comes.
    Over,
}

/// What a reader finds at its seat.
pub(super) enum Found {
    Frame(Arc<Frame>),
    /// The queue ran over: what comes after the last frame is in the store.
    Fallen,
    Ended(Ending),
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    Fallen,
    Ended(Ending),
}

pub(super) struct Seat {
    pub(super) filter: Filter,
    queue: Mutex<Queue>,
    changed: Notify,
}

struct Queue {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    standing: Standing,
    /// Whether the reader has taken all that there was, and waits for more.
    is_asking: bool,
    /// When the reader last took something, or something began to wait for it.
    taken_at: Instant,
}

impl Queue {
    fn clear(&mut self) {
        self.frames = VecDeque::new();
        self.bytes = 0;
    }

    fn push(&mut self, frame: Arc<Frame>) {
        if self.frames.is_empty() {
            self.taken_at = Instant::now();
        }
        self.bytes += frame.bytes();
        self.frames.push_back(frame);
    }
}

impl Seat {
    pub(super) fn new(filter: Filter) -> Self {
        Self {
            filter,
            queue: Mutex::new(Queue {
                frames: VecDeque::new(),
                bytes: 0,
                standing: Standing::Open,
                is_asking: false,
                taken_at: Instant::now(),
            }),
            changed: Notify::new(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a frame. `crowded`: as a whole too much waits already.
    pub(super) fn offer(
        &self,
        frame: &Arc<Frame>,
        limits: &StreamLimits,
        crowded: bool,
    ) -> Offered {
        let mut queue = self.queue();
        if queue.standing != Standing::Open {
            return Offered::Over;
        }
        let full = queue.frames.len() >= limits.queue_events
            || queue.bytes + frame.bytes() > limits.queue_bytes
            || crowded;
        let offered = if full && !queue.frames.is_empty() {
            queue.clear();
            queue.standing = Standing::Fallen;
            Offered::NoRoom
        } else {
            queue.push(Arc::clone(frame));
            Offered::Taken
        };
        drop(queue);
        self.changed.notify_one();
        offered
    }

    /// Offers how far the stream has come, where nothing else waits.
    pub(super) fn beat(&self, frame: &Arc<Frame>) {
        let mut queue = self.queue();
        if queue.frames.is_empty() && queue.standing == Standing::Open {
            queue.push(Arc::clone(frame));
            drop(queue);
            self.changed.notify_one();
        }
    }

    /// Lays down a page that the stream has read itself.
    pub(super) fn lay(&self, frames: Vec<Frame>) {
        let mut queue = self.queue();
        if queue.standing == Standing::Open {
            let frames = frames.into_iter().map(Arc::new);
            frames.for_each(|frame| queue.push(frame));
        }
    }

    /// Ends the stream; what waited goes.
    pub(super) fn end(&self, ending: Ending) {
        let mut queue = self.queue();
        if !matches!(queue.standing, Standing::Ended(_)) {
            queue.clear();
            queue.standing = Standing::Ended(ending);
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Whether something has waited for so long without being taken. For a stream that is not live there
    /// always may be something: it has to ask for it.
    pub(super) fn is_stalled(&self, stall_max: Duration, is_live: bool) -> bool {
        let queue = self.queue();
        let something = match queue.standing {
            Standing::Open => !queue.frames.is_empty() || !is_live,
            Standing::Fallen => true,
            Standing::Ended(_) => false,
        };
        something && !queue.is_asking && queue.taken_at.elapsed() >= stall_max
    }

    /// Takes what is next.
    pub(super) fn take(&self) -> Found {
        let mut queue = self.queue();
        queue.is_asking = queue.frames.is_empty() && queue.standing == Standing::Open;
        if let Some(frame) = queue.frames.pop_front() {
            queue.bytes -= frame.bytes();
            queue.taken_at = Instant::now();
            if queue.frames.is_empty() {
                // A quiet stream keeps no room for what it had in a burst.
                queue.clear();
            }
            return Found::Frame(frame);
        }
        match queue.standing {
            Standing::Open => Found::Nothing,
            Standing::Fallen => {
                queue.standing = Standing::Open;
                Found::Fallen
            }
            Standing::Ended(ending) => Found::Ended(ending),
        }
    }

    /// Waits until there may be something to take.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_queue_that_runs_over_has_no_room() {
        let limits = StreamLimits {
            queue_events: 1,
            ..StreamLimits::default()
        };
        let frame = Arc::new(Frame::mark("e:0:1".to_owned()));
        let offer = |seat: &Seat| seat.offer(&frame, &limits, false);
        let seat = Seat::new(Filter::default());
        assert_eq!(offer(&seat), Offered::Taken);
        assert_eq!(offer(&seat), Offered::NoRoom);
        assert_eq!(offer(&seat), Offered::Over, "it reads on by itself");
        for ending in [Ending::Stopping, Ending::SlowReader, Ending::AnotherModel] {
            let seat = Seat::new(Filter::default());
            seat.end(ending);
            assert_eq!(offer(&seat), Offered::Over, "{ending:?}");
        }
    }
}
