//! `events generate`: histories as they might have been, made from a seed.
//!
//! A [`History`] yields events about in the order of their times, as producers would have sent them;
//! the same options give the same bytes. It owns what is likely; it must not know Kafka, except for
//! [`send`], which publishes what is yielded.

mod bench;
mod cast;
mod life;
mod poison;
mod rhythm;
mod send;

pub use bench::bench_event;
pub use send::{GenerateProgress, SendGenerated, send};

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use licenseflow_avro::event::{EventVoided, LicenseEvent, Payload};
use licenseflow_avro::json;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::publish::RawRecord;
use cast::Cast;
use life::Life;

/// How many events are remembered, to be repeated, voided or contradicted.
const RECENT_MAX: usize = 1024;

/// The furthest that a late event comes behind its time, in records.
const LATE_RECORDS_MAX: u64 = 5000;

/// How often each kind of trouble is met, as shares of all records; together at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shares {
    /// Events that come long after others with later times. On top of the rest.
    pub late: f64,
    /// Events that came before, word for word.
    pub duplicate: f64,
    /// Events that void another.
    pub voided: f64,
    /// Events under an id that is taken by another content.
    pub conflicting: f64,
    /// Records that are no events.
    pub poison: f64,
}

/// What history to make.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// The same seed and options give the same history.
    pub seed: u64,
    /// How many licenses there are.
    pub licenses: usize,
    /// How many records are yielded.
    pub events: u64,
    /// When the first events happen, in microseconds UTC.
    pub start: i64,
    /// Before when the last events happen, in microseconds UTC.
    pub end: i64,
    /// How many tenants share the licenses.
    pub tenants: usize,
    /// Kinds of trouble.
    pub shares: Shares,
    /// Whether devices beat.
    pub heartbeats: bool,
}

impl GenerateOptions {
    /// A year before `end` with 1000 licenses of two tenants, 10 000 records, and no trouble.
    #[must_use]
    pub fn until(end: i64) -> Self {
        Self {
            seed: 1,
            licenses: 1000,
            events: 10_000,
            start: end - 365 * rhythm::DAY,
            end,
            tenants: 2,
            shares: Shares::default(),
            heartbeats: true,
        }
    }
}

/// Why no history can be made of the options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// A share is not between 0 and 1, or they are more than everything.
    #[error("shares are between 0 and 1, and those but late together at most 1")]
    Shares,
    /// The end is not after the start, or one of them is no time of an event.
    #[error("the end must be after the start, both from 1970 to before 2200")]
    Times,
    /// There is nobody for anything to happen to.
    #[error("at least one license and one tenant are needed")]
    Nobody,
}

/// One record of a history.
#[derive(Debug, Clone, PartialEq)]
pub enum Generated {
    /// Something that happened.
    Event(LicenseEvent),
    /// Something that no projector can read.
    Raw(RawRecord),
}

impl Generated {
    /// The event as a line of JSON without its line feed; none for what is no event.
    #[must_use]
    pub fn to_line(&self) -> Option<String> {
        match self {
            Generated::Event(event) => Some(json::encode(event).to_string()),
            Generated::Raw(_) => None,
        }
    }
}

/// A history, record by record.
pub struct History {
    rng: StdRng,
    options: GenerateOptions,
    lives: Vec<Life>,
    /// Which license has its next event when.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    recent: VecDeque<LicenseEvent>,
    /// Late events, by the record after which they come.
    late: BTreeMap<(u64, u64), LicenseEvent>,
    yielded: u64,
}

impl History {
    /// Prepares a history; it is made while it is read.
    ///
    /// # Errors
    /// The options make no sense.
    pub fn new(options: GenerateOptions) -> Result<Self, InvalidOptions> {
        check(&options)?;
        let mut rng = StdRng::seed_from_u64(options.seed);
        let cast = Cast::new(&options);
        let lives: Vec<Life> = (0..options.licenses)
            .map(|number| Life::new(number, &cast, &options, &mut rng))
            .collect();
        let next = lives.iter().enumerate();
        let next = next
            .map(|(index, life)| Reverse((life.next_at(), index)))
            .collect();
        Ok(Self {
            rng,
            options,
            lives,
            next,
            recent: VecDeque::new(),
            late: BTreeMap::new(),
            yielded: 0,
        })
    }

    fn record(&mut self) -> Generated {
        let shares = self.options.shares;
        let mut chance: f64 = self.rng.random();
        let mut is = |share: f64| {
            let hit = chance < share;
            chance -= share;
            hit
        };
        if is(shares.poison) {
            return Generated::Raw(poison::record(&mut self.rng));
        }
        let repeated = if is(shares.duplicate) {
            self.any_recent()
        } else if is(shares.conflicting) {
            self.any_recent()
                .map(|event| contradicted(event, &mut self.rng))
        } else if is(shares.voided) {
            self.any_recent().map(|event| self.voided(&event))
        } else {
            None
        };
        Generated::Event(repeated.unwrap_or_else(|| self.event()))
    }

    /// The next event that happens, or one that happened and comes late.
    fn event(&mut self) -> LicenseEvent {
        loop {
            if let Some(event) = self.due_late() {
                return event;
            }
            let event = self.happening();
            if !matches!(event.payload, Payload::DeviceHeartbeat(_)) {
                self.recent.push_back(event.clone());
                if self.recent.len() > RECENT_MAX {
                    self.recent.pop_front();
                }
            }
            if self.options.shares.late > 0.0 && self.rng.random_bool(self.options.shares.late) {
                let due = self.yielded + self.rng.random_range(10..=LATE_RECORDS_MAX);
                self.late.insert((due, self.late.len() as u64), event);
                continue;
            }
            return event;
        }
    }

    /// A late event whose turn it is: because it is due, or because only room for the late ones is left.
    fn due_late(&mut self) -> Option<LicenseEvent> {
        let left = self.options.events.saturating_sub(self.yielded);
        let first = self.late.first_entry()?;
        let is_due = first.key().0 <= self.yielded;
        (is_due || self.late.len() as u64 >= left)
            .then(|| self.late.pop_first())
            .flatten()
            .map(|(_, event)| event)
    }

    fn happening(&mut self) -> LicenseEvent {
        let Some(Reverse((at, index))) = self.next.pop() else {
            // Every license has come to its end: some are heard of once more.
            let index = self.rng.random_range(0..self.lives.len());
            let at = self.rng.random_range(self.options.start..self.options.end);
            return self.lives[index].afterthought(at, &mut self.rng);
        };
        let event = self.lives[index].live(at, &self.options, &mut self.rng);
        let next_at = self.lives[index].next_at();
        if next_at < self.options.end {
            self.next.push(Reverse((next_at, index)));
        }
        event
    }

    fn any_recent(&mut self) -> Option<LicenseEvent> {
        let count = self.recent.len();
        let index = (count > 0).then(|| self.rng.random_range(0..count))?;
        self.recent.get(index).cloned()
    }

    fn voided(&mut self, event: &LicenseEvent) -> LicenseEvent {
        let ahead = self.rng.random_range(1..6 * rhythm::HOUR);
        let occurred_at = (event.occurred_at + ahead).min(self.options.end - 1);
        LicenseEvent {
            event_id: life::event_id(occurred_at, &mut self.rng),
            occurred_at: occurred_at.max(event.occurred_at),
            source: "support".to_owned(),
            payload: Payload::EventVoided(EventVoided {
                voided_event_id: event.event_id,
                reason: "said in error".to_owned(),
            }),
            ..event.clone()
        }
    }
}

impl Iterator for History {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        if self.yielded >= self.options.events {
            return None;
        }
        let record = self.record();
        self.yielded += 1;
        Some(record)
    }
}

fn check(options: &GenerateOptions) -> Result<(), InvalidOptions> {
    let Shares {
        late,
        duplicate,
        voided,
        conflicting,
        poison,
    } = options.shares;
    let all = [late, duplicate, voided, conflicting, poison];
    let sum = duplicate + voided + conflicting + poison;
    if !all.iter().all(|share| (0.0..=1.0).contains(share)) || sum > 1.0 + 1e-9 {
        return Err(InvalidOptions::Shares);
    }
    let are_times = options.start >= 0 && options.end <= licenseflow_avro::limits::TIME_END;
    if !are_times || options.end - options.start < rhythm::HOUR {
        return Err(InvalidOptions::Times);
    }
    if options.licenses == 0 || options.tenants == 0 {
        return Err(InvalidOptions::Nobody);
    }
    Ok(())
}

/// The same id with another content.
fn contradicted(event: LicenseEvent, rng: &mut impl Rng) -> LicenseEvent {
    LicenseEvent {
        source: format!("{}-replica-{}", event.source, rng.random_range(1..10)),
        ..event
    }
}

#[cfg(test)]
mod tests;
