//! The bounds of streams. Values only.

use std::time::Duration;

/// The bounds of the streams of one process.
#[derive(Debug, Clone)]
pub struct StreamLimits {
    /// Open streams; one more is answered 503.
    pub streams_max: usize,
    /// How many events wait for one reader before its stream reads on from the store by itself.
    pub queue_events: usize,
    /// The same in bytes.
    pub queue_bytes: usize,
    /// The most bytes that wait for all readers together, an event counted once; beyond it whoever is
    /// behind reads on from the store.
    pub held_bytes: usize,
    /// How many streams read a page from the store at once. What waits of such pages for their readers is no
    /// more than so many full ones; beyond that a stream gets an event at a time.
    pub pages: usize,
    /// A reader that takes nothing for so long, with something waiting for it, is cut off.
    pub stall_max: Duration,
    /// A reader whose queue ran over, and who has not caught up with the others after so long, is cut off.
    pub behind_max: Duration,
    /// How often a quiet stream says that it is alive, and how far it has come; in whole seconds.
    pub beat: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            streams_max: 10_000,
            queue_events: 256,
            queue_bytes: 512 * 1024,
            held_bytes: 64 * 1024 * 1024,
            pages: 64,
            stall_max: Duration::from_secs(10),
            behind_max: Duration::from_secs(60),
            beat: Duration::from_secs(15),
        }
    }
}
