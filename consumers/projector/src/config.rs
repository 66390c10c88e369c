//! What the projector is told at its start.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{AlertsAt, Backoff, LettersPace, Marks, Retries, SuspectsMax, Yields};

/// Milliseconds UTC; given in, so that tests hold the time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn wall_clock() -> Clock {
    Arc::new(|| {
        #[expect(
            clippy::disallowed_methods,
            reason = "the projector's time is read here and nowhere else"
        )]
        let now = SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// The projector's bounds and times.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most records that one batch holds.
    pub batch_records_max: usize,
    /// The most bytes that one batch holds, as the batch counts them; one record may go over.
    pub batch_bytes_max: usize,
    /// How many bytes may wait, in the batch that grows and the one that is written.
    pub waiting: Marks,
    /// Past what an operator is told.
    pub alerts: AlertsAt,
    /// How far an event's time may be ahead of its record's.
    pub max_future_skew: Duration,
    /// How often the ends of partitions are written, at most.
    pub ends_interval: Duration,
    /// How long a full batch waits for the store before its partitions are left.
    pub hold: Duration,
    /// How failures are waited out.
    pub backoff: Backoff,
    /// The most letters that are sent at a time.
    pub letters_max: usize,
    /// The most bytes of originals that are read for letters at a time; one may go over.
    pub letters_bytes_max: usize,
    /// How fast letters of one partition are sent.
    pub letters_pace: LettersPace,
    /// How long letters may take to be acknowledged.
    pub letters_within: Duration,
    /// How many rejects that point at us a partition may have.
    pub suspects_max: SuspectsMax,
    /// When the bulk lane yields to the interactive one.
    pub yields: Yields,
    /// How often a record is tried that may heal, and how many may wait.
    pub retries: Retries,
    /// A loop that did not turn for so long is stalled.
    pub stall: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_records_max: 200_000,
            batch_bytes_max: 64 << 20,
            waiting: Marks::of(64 << 20, 100, 60),
            alerts: AlertsAt::default(),
            max_future_skew: Duration::from_secs(300),
            ends_interval: Duration::from_millis(200),
            hold: Duration::from_secs(2),
            backoff: Backoff::default(),
            letters_max: 500,
            letters_bytes_max: licenseflow_store::read_model::LETTERS_BYTES,
            letters_pace: LettersPace::default(),
            // Longer than a delivery may take, so that a round is over before the next begins.
            letters_within: Duration::from_secs(20),
            suspects_max: SuspectsMax::default(),
            retries: Retries::default(),
            yields: Yields::default(),
            stall: Duration::from_secs(60),
        }
    }
}
