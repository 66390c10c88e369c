//! The read side: what the query API asks of a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use licenseflow_avro::headers::RequestId;
use licenseflow_avro::{
    Coordinates, EventKind, Lane, LicenseKey, Offset, PartitionId, Position, Reason,
};
use licenseflow_core::event_set::RecordedEvent;
use licenseflow_core::status::{Lifecycle, Status};
use licenseflow_core::{Buckets, DeviceState, LicenseState};
use tokio::sync::watch;
use uuid::Uuid;

use crate::Error;
use crate::dead_letters::OpenLetter;

mod said;
mod totals;

pub use said::{SaidEvent, SaidQuery, Span};
pub use totals::{CustomerTotals, DAYS_MAX, GROUPS_MAX, Groups, Stats, TenantTotals};

/// An answer, and where the model stood in the snapshot that it was read from.
#[derive(Debug, Clone)]
pub struct Read<T> {
    /// The answer.
    pub value: T,
    /// How fresh it is.
    pub freshness: Freshness,
}

/// Where the model stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freshness {
    /// The generation.
    pub generation: i64,
    /// Each partition that the store knows.
    pub partitions: Vec<PartitionFreshness>,
    /// Records below the position that wait for another try; those without a key are left out.
    pub waiting: Arc<[WaitingKey]>,
}

/// A record that waits, as far as readers need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingKey {
    /// Where it first lay.
    pub place: RecordPlace,
    /// Its key.
    pub key: Box<[u8]>,
}

/// Where one partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionFreshness {
    /// The lane.
    pub lane: Lane,
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to read.
    pub next_offset: Offset,
    /// The end offset as the projector last saw it.
    pub end_offset: Option<Offset>,
    /// When it was last seen applied up to its end, in milliseconds UTC.
    pub caught_up_at: Option<i64>,
    /// The timestamp of the last record applied, in milliseconds UTC.
    pub last_timestamp: Option<i64>,
}

impl Freshness {
    /// The position.
    #[must_use]
    pub fn position(&self) -> Position {
        self.partitions
            .iter()
            .map(|it| (it.lane, it.partition, it.next_offset))
            .collect()
    }

    /// Whether a record that such a position covers waits, whose key is this license's.
    #[must_use]
    pub fn waits_for(&self, license_id: &str, asked: &Position) -> bool {
        let is_covered = |(lane, partition, offset): RecordPlace| {
            asked.get(lane, partition).is_some_and(|next| offset < next)
        };
        let mut each = self.waiting.iter();
        each.any(|it| *it.key == *license_id.as_bytes() && is_covered(it.place))
    }

    /// How long ago the interactive lane was last seen applied up to its end, the worst
    /// partition's, in milliseconds; none where a partition never was, or none is known.
    #[must_use]
    pub fn lag_ms(&self, now: i64) -> Option<i64> {
        let interactive = self
            .partitions
            .iter()
            .filter(|it| it.lane == Lane::Interactive);
        // None is less than any time, and so the worst.
        let worst = interactive.map(|it| it.caught_up_at).min()?;
        worst.map(|at| (now - at).max(0))
    }
}

/// A license as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicenseRow {
    /// The license.
    pub key: LicenseKey,
    /// Its state.
    pub state: LicenseState,
    /// The first of its open dead letters, [`OPEN_LETTERS_MAX`](crate::dead_letters::OPEN_LETTERS_MAX) at
    /// most; none are read with a page of a list.
    pub letters: Vec<OpenLetter>,
}

/// What is read with a license, in the same snapshot: the first page of each part that is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LicenseParts {
    /// At most so many devices.
    pub devices: Option<usize>,
    /// Its metrics.
    pub usage: bool,
    /// At most so many events.
    pub timeline: Option<usize>,
    /// Its customer, with the totals at this time, in microseconds UTC.
    pub customer_at: Option<i64>,
}

/// A license with the parts that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicenseView {
    /// The license.
    pub license: LicenseRow,
    /// The first of its devices.
    pub devices: Option<Page<(String, DeviceState), String>>,
    /// Its metrics and their sums.
    pub usage: Option<BTreeMap<String, i64>>,
    /// The first of its events.
    pub timeline: Option<Page<TimelineRow, (i64, u8, Uuid)>>,
    /// Its customer; none also where no event has said whose it is.
    pub customer: Option<CustomerTotals>,
}

impl LicenseRow {
    /// How many bytes it holds, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.state.bytes() + 512
    }
}

/// The most that the rows of [`Lookup::licenses_by_id`] hold together, in bytes, by
/// [`LicenseRow::bytes`].
pub const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The most that the bodies of a [`History`] hold together, in bytes as they are stored.
pub const HISTORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What was said of a license, heartbeats aside: what it was at another time follows from it.
///
/// Conflicts are not needed: the event is the least record of its id, so whatever records of an id were
/// there at a time, either the event is among them and the least of them, or there was none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The events of its timeline, voided ones too, in any order.
    pub events: Vec<RecordedEvent>,
    /// Whether these are all. Where they are not, nothing follows from them, and there may be none.
    pub is_whole: bool,
}

/// What a list of licenses is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortBy {
    /// By `license_id`, by bytes.
    #[default]
    LicenseId,
    /// By `expires_at`; those for ever come after all others.
    ExpiresAt,
    /// By `last_event_at`; those without any event come before all others.
    LastEventAt,
}

/// Which licenses are asked for, and in which order. All filters must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LicenseQuery {
    /// The tenant.
    pub tenant_id: String,
    /// Who holds it.
    pub customer_id: Option<String>,
    /// What it is for.
    pub product_id: Option<String>,
    /// The plan.
    pub plan: Option<String>,
    /// The status at [`LicenseQuery::at`].
    pub status: Option<Status>,
    /// The lifecycle.
    pub lifecycle: Option<Lifecycle>,
    /// `expires_at` is before this, in microseconds UTC; those for ever are not.
    pub expires_before: Option<i64>,
    /// `expires_at` is at this or later, in microseconds UTC; those for ever are.
    pub expires_after: Option<i64>,
    /// Whether more seats are used than it has.
    pub over_seat: Option<bool>,
    /// The order.
    pub sort: SortBy,
    /// Whether the order is turned round.
    pub descending: bool,
    /// The time t of `status`, in microseconds UTC.
    pub at: i64,
    /// Where the last page ended.
    pub after: Option<SortKey>,
    /// The most that a page has.
    pub limit: usize,
    /// The most rows that a page looks at; reached, the page is short and goes on.
    pub visit_at_most: usize,
}

/// Where a page ended. Opaque to whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SortKey {
    /// By `license_id`.
    Text(String),
    /// By a number, then by the license's number in the store.
    Number(i64, i64),
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, K> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; none: this was the last.
    pub next: Option<K>,
}

/// Which events of a timeline are asked for. They come in the order of the fold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimelineQuery {
    /// Only this type.
    pub kind: Option<EventKind>,
    /// `occurred_at` is at this or later, in microseconds UTC.
    pub from: Option<i64>,
    /// `occurred_at` is before this, in microseconds UTC.
    pub to: Option<i64>,
    /// Where the last page ended: `occurred_at`, rank, event id.
    pub after: Option<(i64, u8, Uuid)>,
    /// The most that a page has.
    pub limit: usize,
}

/// An event in a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineRow {
    /// The event, and where and by whose request it was said.
    pub recorded: RecordedEvent,
    /// The first EventVoided in order that names it.
    pub voided_by: Option<Uuid>,
}

/// Where a record lies.
pub type RecordPlace = (Lane, PartitionId, Offset);

/// Which request's journey is asked for, and which page of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JourneyQuery {
    /// The tenant whose records are asked for.
    pub tenant_id: String,
    /// The request.
    pub request_id: RequestId,
    /// Set where the request id has the form `topic:partition:offset` of a lane: finds the record
    /// without a header.
    pub by_coordinates: Option<RecordPlace>,
    /// Where the last page ended.
    pub after: Option<RecordPlace>,
    /// The most that a page has.
    pub limit: usize,
}

/// What is known of one record of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JourneyStep {
    /// Where the record lies; its timestamp is when it was produced.
    pub at: Coordinates,
    /// When the intake took the request in, in milliseconds UTC, where it said so.
    pub received_at: Option<i64>,
    /// The batch that dealt with it.
    pub batch: i64,
    /// When that batch was applied, in milliseconds UTC.
    pub applied_at: i64,
    /// The license, event id and type, where the record says an event.
    pub said: Option<(String, Uuid, EventKind)>,
    /// What became of it.
    pub outcome: JourneyOutcome,
    /// The tries before it, where it is the last of several.
    pub retried: Option<Retried>,
}

/// That a record was tried before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retried {
    /// Where the first lay.
    pub first: RecordPlace,
    /// How many tries there were, the last among them.
    pub attempts: i64,
    /// Since when it waited, in milliseconds UTC.
    pub since: i64,
    /// Why.
    pub reason: Reason,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JourneyOutcome {
    /// It is the event.
    Applied,
    /// It is a heartbeat.
    Heartbeat,
    /// Its event is another record's, with the same content.
    Duplicate,
    /// It was rejected.
    Rejected {
        /// Why.
        reason: Reason,
        /// In words.
        error: String,
        /// When its letter was acknowledged, in milliseconds UTC.
        dead_lettered_at: Option<i64>,
    },
}

/// Reads of one store. Calls block; each reads one snapshot, and sees what was committed before.
pub trait Lookup: Send + Sync {
    /// Whether a question for a single row is answered sooner than a thread that may block is found for
    /// it. Such a store gives up by [`Patience::brief`](crate::Patience::brief) what takes longer.
    fn is_at_hand(&self) -> bool {
        false
    }

    /// Changes soon after a writer, of whichever process, has committed; none: the store does not tell.
    fn news(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// Where the model stands, and its digest in its buckets.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`], as of every method here.
    fn position(&self) -> Result<Read<Buckets>, Error>;

    /// Where the model stands.
    ///
    /// # Errors
    /// As above.
    fn freshness(&self) -> Result<Freshness, Error>;

    /// One license.
    ///
    /// # Errors
    /// As above.
    fn license(&self, key: &LicenseKey) -> Result<Read<Option<LicenseRow>>, Error>;

    /// The licenses of a tenant by their ids: one for each id in the order asked, none where there is no
    /// such license. Where they hold more than [`BATCH_BYTES_MAX`] the answer ends early, and is shorter
    /// than `ids`.
    ///
    /// # Errors
    /// As above.
    fn licenses_by_id(
        &self,
        tenant_id: &str,
        ids: &[String],
    ) -> Result<Read<Vec<Option<LicenseRow>>>, Error>;

    /// Every event of a license; none: there is no such license. It is not whole where there are more
    /// than `limit`, or they hold more than [`HISTORY_BYTES_MAX`].
    ///
    /// # Errors
    /// As above.
    fn history(&self, key: &LicenseKey, limit: usize) -> Result<Read<Option<History>>, Error>;

    /// One license with its parts, all of one snapshot.
    ///
    /// # Errors
    /// As above.
    fn license_with(
        &self,
        key: &LicenseKey,
        parts: &LicenseParts,
    ) -> Result<Read<Option<LicenseView>>, Error>;

    /// A page of licenses.
    ///
    /// # Errors
    /// As above.
    fn licenses(&self, query: &LicenseQuery) -> Result<Read<Page<LicenseRow, SortKey>>, Error>;

    /// A customer at a time in microseconds UTC; none: it holds no license.
    ///
    /// # Errors
    /// As above.
    fn customer(
        &self,
        tenant_id: &str,
        customer_id: &str,
        at: i64,
    ) -> Result<Read<Option<CustomerTotals>>, Error>;

    /// A tenant as a whole at a time in microseconds UTC, each part by itself, all of one snapshot.
    ///
    /// # Errors
    /// As above.
    fn stats(&self, tenant_id: &str, at: i64) -> Result<Read<Stats>, Error>;

    /// A page of a license's devices by `device_id`, after that of the last page; none: there is no
    /// such license.
    ///
    /// # Errors
    /// As above.
    #[allow(clippy::type_complexity)]
    fn devices(
        &self,
        key: &LicenseKey,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Read<Option<Page<(String, DeviceState), String>>>, Error>;

    /// All of a license's metrics and their sums; none: there is no such license.
    ///
    /// # Errors
    /// As above.
    fn usage(&self, key: &LicenseKey) -> Result<Read<Option<BTreeMap<String, i64>>>, Error>;

    /// A page of a license's timeline; none: there is no such license.
    ///
    /// # Errors
    /// As above.
    #[allow(clippy::type_complexity)]
    fn timeline(
        &self,
        key: &LicenseKey,
        query: &TimelineQuery,
    ) -> Result<Read<Option<Page<TimelineRow, (i64, u8, Uuid)>>>, Error>;

    /// A page of what was said in parts of the log, by any of a few tenants.
    ///
    /// # Errors
    /// As above.
    fn said(&self, query: &SaidQuery) -> Result<Read<Page<SaidEvent, RecordPlace>>, Error>;

    /// A page of a request's journey in the order of (topic, partition, offset).
    ///
    /// # Errors
    /// As above.
    fn journey(&self, query: &JourneyQuery) -> Result<Read<Page<JourneyStep, RecordPlace>>, Error>;
}
