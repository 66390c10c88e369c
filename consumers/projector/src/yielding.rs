//! How the bulk lane yields to the interactive one.
//!
//! An event of the interactive lane waits for whatever the store is at, and for what is written with it.
//! So what counts is how long a batch with the bulk lane's records in it takes, not only whose turn it is:
//!
//! | the interactive lane | the bulk lane's records |
//! |---|---|
//! | is behind its mark, and has records to give | one in twenty |
//! | had a record within the last minute | the same, and for a third of the store's time as many as make a batch some milliseconds longer |
//! | had none, or all of it is halted | as many as are written in a quarter of a second, while the store writes too |
//!
//! It is told the time, and knows neither partitions nor records.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use licenseflow_avro::Lane;
use licenseflow_kafka::Lanes;

/// After so many records of the interactive lane one of the bulk lane is due: a twentieth.
const INTERACTIVE_IN_A_ROW: u32 = 19;
/// A lane that is behind and gave nothing for so long has nothing to give now.
const SILENCE: Duration = Duration::from_millis(200);
/// After a batch with its records the bulk lane rests for so many times as long as that took.
const REST: u32 = 2;
/// The least that a batch may hold, so that what is large or slow comes through too.
const WEIGHT_MIN: usize = 64;
/// A batch that weighs no more takes as long as one of nothing.
const WEIGHT_LIGHT: usize = 16;
/// One batch in so many is kept light, to see how long that is.
const LIGHT_ONE_IN: u32 = 32;
/// So many bytes weigh as much as one more record.
const BYTES_A_RECORD: usize = 1024;

/// When the bulk lane yields, and how far.
#[derive(Debug, Clone, Copy)]
pub struct Yields {
    /// The interactive lane is behind where it has more events to be applied.
    pub lag_max: i64,
    /// The interactive lane is in use for so long after a record of it.
    pub in_use: Duration,
    /// How much longer a batch may take for records of the bulk lane while the interactive lane is in use.
    pub beside: Duration,
    /// How long a batch of the bulk lane may take while the interactive lane is not.
    pub alone: Duration,
}

impl Default for Yields {
    fn default() -> Self {
        Self {
            lag_max: 1_000,
            in_use: Duration::from_secs(60),
            beside: Duration::from_millis(2),
            alone: Duration::from_millis(250),
        }
    }
}

/// When the interactive lane last had a record, known to all appliers of a process: they share the store.
#[derive(Debug, Clone)]
pub(crate) struct InUse {
    begun: Instant,
    /// Milliseconds since it began, and one; 0: never.
    last: Arc<AtomicU64>,
}

impl InUse {
    pub(crate) fn new(begun: Instant) -> Self {
        Self {
            begun,
            last: Arc::default(),
        }
    }

    fn note(&self, now: Instant) {
        let since = now.saturating_duration_since(self.begun).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX - 1);
        self.last.fetch_max(since + 1, Ordering::Relaxed);
    }

    fn is_within(&self, time: Duration, now: Instant) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last > 0 && now < self.begun + Duration::from_millis(last - 1) + time
    }
}

/// What the interactive lane is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interactive {
    Behind,
    InUse,
    Quiet,
}

/// How much may be written at once, found out by trying.
#[derive(Debug)]
struct Portion {
    time: Duration,
    weight: usize,
}

impl Portion {
    fn new(time: Duration, weight: usize) -> Self {
        Self { time, weight }
    }

    /// A batch of that weight took so much longer than one of nothing. One that was far from the bound and in
    /// time says nothing.
    fn was_written(&mut self, weight: usize, longer: Duration) {
        if longer <= self.time && weight < self.weight / 2 {
            return;
        }
        let fits = weight as f64 * self.time.as_secs_f64() / longer.as_secs_f64().max(1e-6);
        let most = self.weight.saturating_mul(2);
        self.weight = (fits as usize).clamp(self.weight / 2, most).max(WEIGHT_MIN);
    }
}

/// A batch that the store is at.
#[derive(Debug)]
struct Written {
    since: Instant,
    weight: usize,
    has_bulk: bool,
    beside: Interactive,
}

#[derive(Debug)]
pub(crate) struct Yielding {
    yields: Yields,
    in_use: InUse,
    interactive: Interactive,
    last_interactive: Option<Instant>,
    interactive_in_a_row: u32,
    /// Whether the bulk lane gave a record when it was last looked at.
    bulk_waits: bool,
    /// What was told of it.
    is_yielding: bool,
    /// Whether the batch that grows has any of it.
    has_bulk: bool,
    beside: Portion,
    alone: Portion,
    /// How long a batch of next to nothing takes.
    least: Duration,
    batches: u32,
    /// Nothing of the bulk lane is taken before, while the interactive lane is in use.
    rests_until: Option<Instant>,
    written: Option<Written>,
}

/// How much a batch of so many records and bytes weighs.
pub(crate) fn weight(records: usize, bytes: usize) -> usize {
    records + bytes / BYTES_A_RECORD
}

impl Yielding {
    pub(crate) fn new(yields: Yields, in_use: InUse) -> Self {
        Self {
            yields,
            in_use,
            interactive: Interactive::Quiet,
            last_interactive: None,
            interactive_in_a_row: 0,
            bulk_waits: false,
            is_yielding: false,
            has_bulk: false,
            beside: Portion::new(yields.beside, WEIGHT_MIN),
            alone: Portion::new(yields.alone, 2048),
            least: Duration::ZERO,
            batches: 0,
            rests_until: None,
            written: None,
        }
    }

    /// Looks at how far the interactive lane is behind: in events, of the partitions that are read.
    pub(crate) fn look(&mut self, lag: i64, now: Instant) {
        let last = self.last_interactive;
        let gives = last.is_some_and(|last| now.saturating_duration_since(last) < SILENCE);
        self.interactive = if lag > self.yields.lag_max && gives {
            Interactive::Behind
        } else if self.in_use.is_within(self.yields.in_use, now) {
            Interactive::InUse
        } else {
            Interactive::Quiet
        };
    }

    /// Which lanes the next record may be of, where the batch that grows weighs so much.
    pub(crate) fn lanes(&self, weight: usize, is_writing: bool, now: Instant) -> Lanes {
        if self.interactive_in_a_row >= INTERACTIVE_IN_A_ROW {
            return Lanes::BulkFirst;
        }
        let is_let = match self.interactive {
            Interactive::Behind => false,
            Interactive::InUse => {
                let rests = !self.rest(now).is_zero();
                !is_writing && !rests && weight < self.weight_beside()
            }
            Interactive::Quiet => weight < self.alone.weight,
        };
        match is_let {
            true => Lanes::InteractiveFirst,
            false => Lanes::Interactive,
        }
    }

    /// How long the bulk lane rests still.
    pub(crate) fn rest(&self, now: Instant) -> Duration {
        let until = self.rests_until;
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    fn weight_beside(&self) -> usize {
        match self.batches.is_multiple_of(LIGHT_ONE_IN) {
            true => WEIGHT_LIGHT,
            false => self.beside.weight,
        }
    }

    /// A record was read.
    pub(crate) fn came(&mut self, lane: Lane, now: Instant) {
        match lane {
            Lane::Interactive => {
                // A turn at which the bulk lane had nothing is over too: none is saved up.
                let was_due = self.interactive_in_a_row >= INTERACTIVE_IN_A_ROW;
                self.interactive_in_a_row = if was_due {
                    1
                } else {
                    self.interactive_in_a_row + 1
                };
                self.last_interactive = Some(now);
                if self.interactive == Interactive::Quiet {
                    self.interactive = Interactive::InUse;
                }
                self.in_use.note(now);
            }
            Lane::Bulk => {
                self.interactive_in_a_row = 0;
                (self.bulk_waits, self.has_bulk) = (true, true);
            }
        }
    }

    /// There was none in these lanes.
    pub(crate) fn came_none(&mut self, lanes: Lanes) {
        match lanes {
            Lanes::InteractiveFirst | Lanes::BulkFirst => {
                self.interactive_in_a_row = 0;
                self.bulk_waits = false;
            }
            Lanes::Interactive => {}
        }
    }

    /// Whether records of the bulk lane wait for the store to be free.
    pub(crate) fn bulk_waits_for_the_store(&self) -> bool {
        self.bulk_waits && self.interactive == Interactive::InUse
    }

    /// Whether records of the bulk lane wait for the interactive one, where that has changed.
    pub(crate) fn news(&mut self) -> Option<bool> {
        let is_yielding = self.bulk_waits && self.interactive != Interactive::Quiet;
        let was = std::mem::replace(&mut self.is_yielding, is_yielding);
        (was != is_yielding).then_some(is_yielding)
    }

    /// The batch goes to the store.
    pub(crate) fn handed_over(&mut self, weight: usize, now: Instant) {
        let has_bulk = std::mem::take(&mut self.has_bulk);
        self.batches = self.batches.wrapping_add(1);
        self.written = Some(Written {
            since: now,
            weight,
            has_bulk,
            beside: self.interactive,
        });
    }

    /// It was written.
    pub(crate) fn applied(&mut self, now: Instant) {
        let Some(written) = self.written.take() else {
            return;
        };
        let took = now.saturating_duration_since(written.since);
        if written.has_bulk && written.beside == Interactive::InUse {
            self.rests_until = Some(now + took * REST);
        }
        if written.weight <= WEIGHT_LIGHT {
            self.took_least(took);
            return;
        }
        match written.beside {
            Interactive::InUse if written.has_bulk => {
                let longer = took.saturating_sub(self.least);
                self.beside.was_written(written.weight, longer);
            }
            Interactive::Quiet if written.has_bulk => {
                self.alone.was_written(written.weight, took);
            }
            // As large as the interactive lane made it.
            Interactive::InUse | Interactive::Quiet | Interactive::Behind => {}
        }
    }

    /// Follows slowly: one stroke of bad luck says little.
    fn took_least(&mut self, took: Duration) {
        let least = self.least;
        self.least = match least.is_zero() {
            true => took,
            false => (least * 7 + took.min(least * 4)) / 8,
        };
    }

    /// What was read is dropped.
    pub(crate) fn start_over(&mut self) {
        (self.has_bulk, self.written) = (false, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn yielding(now: Instant) -> Yielding {
        Yielding::new(Yields::default(), InUse::new(now))
    }

    /// How many of each lane are taken where both have records without end.
    fn taken(yielding: &mut Yielding, records: usize, now: Instant) -> (usize, usize) {
        let (mut interactive, mut bulk) = (0, 0);
        for _ in 0..records {
            let lane = match yielding.lanes(0, true, now) {
                Lanes::Interactive | Lanes::InteractiveFirst => Lane::Interactive,
                Lanes::BulkFirst => Lane::Bulk,
            };
            yielding.came(lane, now);
            match lane {
                Lane::Interactive => interactive += 1,
                Lane::Bulk => bulk += 1,
            }
        }
        (interactive, bulk)
    }

    #[test]
    fn of_twenty_records_one_is_of_the_bulk_lane_however_far_the_interactive_one_is_behind() {
        let now = Instant::now();
        for lag in [0, 1_000_000] {
            let mut yielding = yielding(now);
            yielding.look(lag, now);
            assert_eq!(taken(&mut yielding, 2000, now), (1900, 100));
        }
    }

    #[test]
    fn a_turn_that_found_nothing_is_not_saved_up() {
        let now = Instant::now();
        let mut yielding = yielding(now);
        yielding.look(0, now);
        let turns = (0..200).filter(|_| {
            let lanes = yielding.lanes(0, true, now);
            yielding.came(Lane::Interactive, now);
            lanes == Lanes::BulkFirst
        });
        assert_eq!(turns.count(), 10);
        // News of the group, or of ends, takes no turn away.
        while yielding.lanes(0, true, now) != Lanes::BulkFirst {
            yielding.came(Lane::Interactive, now);
        }
        assert_eq!(yielding.lanes(0, true, now), Lanes::BulkFirst);
        yielding.came_none(Lanes::BulkFirst);
        assert_eq!(yielding.lanes(0, true, now), Lanes::Interactive);
    }

    #[test]
    fn what_the_bulk_lane_may_depends_on_what_the_interactive_lane_is_at() {
        let now = Instant::now();
        let mut yielding = yielding(now);
        yielding.batches = 1;
        let mut lanes = |lag, now, weight, is_writing| {
            yielding.look(lag, now);
            yielding.lanes(weight, is_writing, now)
        };
        // Nothing of the interactive lane was seen.
        assert_eq!(lanes(0, now, 2000, true), Lanes::InteractiveFirst);
        assert_eq!(lanes(0, now, 2048, true), Lanes::Interactive);
        // Behind, but it gives nothing.
        assert_eq!(lanes(5000, now, 0, true), Lanes::InteractiveFirst);
        yielding.came(Lane::Interactive, now);
        let mut lanes = |lag, now, weight, is_writing| {
            yielding.look(lag, now);
            yielding.lanes(weight, is_writing, now)
        };
        // In use: only where the store is free.
        assert_eq!(lanes(1000, now, 63, false), Lanes::InteractiveFirst);
        assert_eq!(lanes(1000, now, 63, true), Lanes::Interactive);
        assert_eq!(lanes(1000, now, 64, false), Lanes::Interactive);
        // Behind its mark, and giving; then silent.
        assert_eq!(lanes(1001, now, 0, false), Lanes::Interactive);
        let silent = now + SILENCE;
        assert_eq!(lanes(1001, silent, 0, false), Lanes::InteractiveFirst);
        // A minute later it is quiet.
        let quiet = now + Yields::default().in_use;
        assert_eq!(lanes(0, quiet - MS, 0, true), Lanes::Interactive);
        assert_eq!(lanes(0, quiet + MS, 0, true), Lanes::InteractiveFirst);
    }

    #[test]
    fn an_event_at_one_applier_makes_the_bulk_lane_of_all_of_them_yield() {
        let now = Instant::now();
        let in_use = InUse::new(now);
        let [mut one, mut other] =
            [(); 2].map(|()| Yielding::new(Yields::default(), in_use.clone()));
        one.came(Lane::Interactive, now);
        other.look(0, now + MS);
        assert_eq!(other.lanes(0, true, now), Lanes::Interactive);
    }

    #[test]
    fn a_portion_follows_the_time_that_it_takes() {
        let mut portion = Portion::new(4 * MS, 64);
        // Each record takes 10 microseconds.
        for _ in 0..20 {
            let longer = Duration::from_micros(10) * u32::try_from(portion.weight).unwrap();
            portion.was_written(portion.weight, longer);
        }
        assert!((390..=400).contains(&portion.weight), "{}", portion.weight);
        let before = portion.weight;
        portion.was_written(10, 2 * MS);
        assert_eq!(portion.weight, before, "a small batch says nothing");
        portion.was_written(before, 400 * MS);
        assert_eq!(portion.weight, before / 2, "one that is late says little");
        for _ in 0..20 {
            portion.was_written(portion.weight, 400 * MS);
        }
        assert_eq!(portion.weight, WEIGHT_MIN);
    }

    #[test]
    fn only_batches_with_records_of_the_bulk_lane_are_learnt_from() {
        let now = Instant::now();
        let mut yielding = yielding(now);
        yielding.came(Lane::Interactive, now);
        yielding.handed_over(640, now);
        yielding.applied(now + MS);
        assert_eq!(yielding.beside.weight, 64);
        yielding.came(Lane::Bulk, now);
        yielding.handed_over(640, now);
        yielding.applied(now + MS);
        assert_eq!((yielding.beside.weight, yielding.alone.weight), (128, 2048));
    }

    #[test]
    fn a_store_that_is_slow_with_nothing_is_not_slower_for_the_bulk_lane() {
        let now = Instant::now();
        let mut yielding = yielding(now);
        yielding.came(Lane::Interactive, now);
        // 20 ms for a batch of nothing, and 10 microseconds for each record.
        for _ in 0..500 {
            yielding.came(Lane::Bulk, now);
            let weight = yielding.weight_beside();
            yielding.handed_over(weight, now);
            let took = 20 * MS + Duration::from_micros(10) * u32::try_from(weight).unwrap();
            yielding.applied(now + took);
        }
        let weight = yielding.beside.weight;
        assert!((150..=250).contains(&weight), "{weight}");
    }

    #[test]
    fn beside_the_interactive_lane_the_bulk_lane_has_a_third_of_the_stores_time() {
        let now = Instant::now();
        let mut yielding = yielding(now);
        yielding.came(Lane::Interactive, now);
        yielding.came(Lane::Bulk, now);
        yielding.look(0, now);
        assert_eq!(yielding.lanes(0, false, now), Lanes::InteractiveFirst);
        yielding.handed_over(64, now);
        let written = now + 5 * MS;
        yielding.applied(written);
        assert_eq!(yielding.rest(written), 10 * MS);
        let lanes = |at| yielding.lanes(0, false, at);
        assert_eq!(lanes(written + 9 * MS), Lanes::Interactive);
        assert_eq!(lanes(written + 10 * MS), Lanes::InteractiveFirst);
    }
}
