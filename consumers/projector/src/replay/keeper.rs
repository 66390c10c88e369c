//! The keeper: one thread that does what the book says of generations beside the live one.
//!
//! | the book says | it |
//! |---|---|
//! | another generation, of our fold | takes its post, where nobody has it, and has it advanced |
//! | it is paused, throttled, or waits for the live one | stops it, or slows it |
//! | it is to be compared, and has caught up | holds both at one position, compares them, notes what came out |
//! | it is to be the live one | holds the live one, waits until it is nowhere behind, and moves the pointer |
//! | it is the live one now, or struck out | lets go of it |
//!
//! Each step begins with the book as it stands, so that whoever dies in the middle of one leaves it to the
//! next keeper.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use licenseflow_avro::judgement::Schemas;
use licenseflow_avro::{Position, Topics};
use licenseflow_core::crash;
use licenseflow_kafka::{LanePartition, Source};
use licenseflow_store::generations::{
    Book, Gate, Generation, Made, Number, Refused, SwitchError, Wish,
};
use licenseflow_store::{Error, Generations, Ground};
use tokio_util::sync::CancellationToken;

use super::beside::{Beside, NoLetters, Silent, Throttle};
use super::gate::{self, Both};
use crate::config::{Clock, Settings};
use crate::{Handle, Parts, Projector, Result};

/// What a generation is built with beside its store.
pub trait Means: Send {
    /// Where its records come from.
    type Source: Source + 'static;
    /// Where its schemas come from.
    type Schemas: Schemas + Send + 'static;

    /// All partitions of both lanes, as they are now.
    ///
    /// # Errors
    /// The brokers are away.
    fn partitions(&self) -> Result<Vec<LanePartition>>;

    /// Reads these partitions, beside the group.
    ///
    /// # Errors
    /// From the log.
    fn source(&self, partitions: Vec<LanePartition>) -> Result<Self::Source>;

    /// The schemas.
    fn schemas(&self) -> Self::Schemas;
}

/// How often the book is looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// How often it is looked how far generations are.
const LOOK: Duration = Duration::from_secs(1);

/// How long what went wrong is left alone.
const AGAIN: Duration = Duration::from_secs(2);

/// How long either generation is waited for at the gate, as long as it moves.
const STANDSTILL_MAX: Duration = Duration::from_secs(60);

/// How long the live generation is held at a switch.
const HELD_MS: i64 = 10_000;

/// So many records behind the live one a generation has caught up.
const CAUGHT_UP: i64 = 1_000;

/// Looks after the generations beside the live one.
pub struct Keeper<B: Means> {
    /// Where they are.
    pub generations: Arc<dyn Generations>,
    /// What they are built with.
    pub means: B,
    /// The log.
    pub ground: Ground,
    /// The names of its topics.
    pub topics: Topics,
    /// As for any loop.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// So many former live ones are kept.
    pub kept: usize,
}

/// A generation that is kept here.
struct Kept {
    _post: Box<dyn Send>,
    throttle: Arc<Throttle>,
    running: Option<Running>,
    /// Nothing is tried before.
    again: Option<Instant>,
    /// When it was last looked how far it is.
    looked: Option<Instant>,
}

/// A loop that runs.
struct Running {
    handle: Handle,
    stop: CancellationToken,
    stood: Position,
}

impl Running {
    /// Where the generation stands.
    fn position(&self) -> Position {
        let mut position = self.stood.clone();
        position.raise_to(&self.handle.position().borrow());
        position
    }

    fn end(self) -> Result<Position> {
        self.stop.cancel();
        let position = self.position();
        self.handle.join()?;
        Ok(position)
    }
}

/// What keeps a step from being done now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] Error),
    #[error(transparent)]
    Loop(#[from] crate::Error),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("{0}")]
    Words(String),
}

impl<B: Means> Keeper<B> {
    /// Works until it is told to stop.
    pub fn run(self, stop: &CancellationToken) {
        let mut kept: BTreeMap<Number, Kept> = BTreeMap::new();
        let mut swept = None;
        while !stop.is_cancelled() {
            match self.generations.book() {
                Ok(book) => {
                    self.look(&book, &mut kept, stop);
                    if swept != Some(book.generations.len()) && kept.len() < book.generations.len()
                    {
                        swept = Some(book.generations.len());
                        note("sweep", sweep(&*self.generations));
                    }
                }
                Err(error) => tracing::warn!(%error, "the book of generations cannot be read now"),
            }
            std::thread::sleep(GLANCE);
        }
        for (number, kept) in kept {
            let ended = kept.running.map_or(Ok(()), |it| it.end().map(drop));
            note(&format!("generation {number}"), ended);
        }
    }

    fn look(&self, book: &Book, kept: &mut BTreeMap<Number, Kept>, stop: &CancellationToken) {
        let is_ours = |it: &&Generation| {
            it.number != book.live && it.fold == licenseflow_core::fold::version()
        };
        kept.retain(|number, kept| {
            let stays = book.get(*number).filter(is_ours).is_some();
            if !stays && let Some(running) = kept.running.take() {
                note(&format!("generation {number}"), running.end());
            }
            stays
        });
        for generation in book.generations.iter().filter(is_ours) {
            if let std::collections::btree_map::Entry::Vacant(place) = kept.entry(generation.number)
            {
                match self.generations.take_post(generation.number) {
                    Ok(Some(post)) => {
                        place.insert(Kept {
                            _post: post,
                            throttle: Arc::default(),
                            running: None,
                            again: None,
                            looked: None,
                        });
                    }
                    Ok(None) => continue,
                    Err(error) => {
                        tracing::warn!(%error, generation = generation.number, "it cannot be kept now");
                        continue;
                    }
                }
            }
            let Some(of) = kept.get_mut(&generation.number) else {
                continue;
            };
            if of.again.is_some_and(|again| again > Instant::now()) {
                continue;
            }
            of.again = None;
            if let Err(trouble) = self.step(generation, book, of, stop) {
                self.is_troubled(generation, of, &trouble);
            }
        }
    }

    fn is_troubled(&self, generation: &Generation, of: &mut Kept, trouble: &Trouble) {
        let words = licenseflow_avro::causes::chain(trouble);
        tracing::warn!(
            generation = generation.number,
            "it does not go on now: {words}"
        );
        of.again = Some(Instant::now() + AGAIN);
        let number = generation.number;
        let noted = self.change(&mut |book| {
            book.beside(number)?.trouble = Some(words.clone());
            Ok(())
        });
        note("trouble", noted);
    }

    /// Does the next thing that the book says of a generation.
    fn step(
        &self,
        generation: &Generation,
        book: &Book,
        of: &mut Kept,
        stop: &CancellationToken,
    ) -> std::result::Result<(), Trouble> {
        if let Some(running) = of.running.take_if(|it| it.handle.is_ended()) {
            running.end()?;
        }
        if generation.is_paused {
            if let Some(running) = of.running.take() {
                running.end()?;
            }
            return Ok(());
        }
        if of.looked.is_none_or(|looked| looked.elapsed() > LOOK) {
            of.looked = Some(Instant::now());
            self.throttle(generation, book.live, of);
            self.show(generation, book.live, of)?;
        }
        if of.running.is_none() {
            of.running = Some(self.start(generation, of, None, stop)?);
            return Ok(());
        }
        match generation.wish {
            Wish::None => self.goes_on(generation),
            Wish::Compare | Wish::SwitchWhenEqual => {
                if !self.has_caught_up(book.live, of)? {
                    return self.goes_on(generation);
                }
                let gate = self.compare(generation, book.live, of, stop)?;
                self.note_gate(generation, gate)
            }
            Wish::Switch => match self.has_caught_up(book.live, of)? {
                true => self.switch(generation, book.live, of),
                false => self.goes_on(generation),
            },
        }
    }

    /// It is advanced, and nothing else can be done now: what kept it from going on is over.
    fn goes_on(&self, generation: &Generation) -> std::result::Result<(), Trouble> {
        if generation.trouble.is_none() {
            return Ok(());
        }
        let number = generation.number;
        self.change(&mut |book| {
            book.beside(number)?.trouble = None;
            Ok(())
        })
    }

    fn throttle(&self, generation: &Generation, live: Number, of: &mut Kept) {
        use std::sync::atomic::Ordering::Relaxed;
        let per_second = generation.records_per_second.unwrap_or(0);
        of.throttle.per_second.store(per_second, Relaxed);
        let waits = generation.live_lag_max_ms.is_some_and(|most| {
            let lookup = self.generations.lookup(live, 1);
            let freshness = lookup.and_then(|it| it.freshness());
            let now = (self.clock)();
            freshness.is_ok_and(|it| it.lag_ms(now).is_none_or(|lag| lag > most))
        });
        of.throttle.waits.store(waits, Relaxed);
    }

    /// Starts the loop of a generation, to a position or on and on.
    fn start(
        &self,
        generation: &Generation,
        of: &Kept,
        until: Option<Position>,
        stop: &CancellationToken,
    ) -> std::result::Result<Running, Trouble> {
        let mut model = Silent(self.generations.open(generation)?);
        licenseflow_store::ReadModel::begin_on(&mut model, &self.ground)?;
        let states = licenseflow_store::ReadModel::positions(&mut model)?;
        let stood = states.iter();
        let stood = stood.map(|it| (it.lane, it.partition, it.next_offset));
        let partitions = match &generation.of {
            Made::Whole => self.means.partitions()?,
            Made::Part { begin } => begin.iter().map(|(lane, of, _)| (lane, of)).collect(),
        };
        let source = self.means.source(partitions)?;
        let stopped = stop.child_token();
        let parts = Parts {
            source: Beside::new(source, Arc::clone(&of.throttle), until),
            schemas: self.means.schemas(),
            model,
            letters: NoLetters,
            clock: self.clock.clone(),
        };
        let settings = Settings {
            max_future_skew: self.settings.max_future_skew,
            ..self.settings.clone()
        };
        let handle = Projector::start_beside(settings, parts, &stopped)?;
        tracing::info!(
            generation = generation.number,
            "it is advanced beside the live one"
        );
        Ok(Running {
            handle,
            stop: stopped,
            stood: stood.collect(),
        })
    }

    fn live_position(&self, live: Number) -> std::result::Result<Position, Trouble> {
        let lookup = self.generations.lookup(live, 1)?;
        Ok(lookup.freshness()?.position())
    }

    fn has_caught_up(&self, live: Number, of: &Kept) -> std::result::Result<bool, Trouble> {
        let behind = self.behind(live, of)?;
        Ok(behind.is_some_and(|behind| behind <= CAUGHT_UP))
    }

    /// How many offsets it is behind the live one; none: it is not advanced.
    fn behind(&self, live: Number, of: &Kept) -> std::result::Result<Option<i64>, Trouble> {
        let Some(running) = &of.running else {
            return Ok(None);
        };
        let (live, ours) = (self.live_position(live)?, running.position());
        let behind = live
            .iter()
            .map(|(lane, partition, next)| (next - ours.get(lane, partition).unwrap_or(0)).max(0));
        Ok(Some(behind.sum()))
    }

    fn show(
        &self,
        generation: &Generation,
        live: Number,
        of: &Kept,
    ) -> std::result::Result<(), Trouble> {
        if let (Some(behind), Made::Whole) = (self.behind(live, of)?, &generation.of) {
            crate::metrics::generation_behind(generation.number, behind);
        }
        Ok(())
    }

    /// Holds both at one position and compares them.
    fn compare(
        &self,
        generation: &Generation,
        live: Number,
        of: &mut Kept,
        stop: &CancellationToken,
    ) -> std::result::Result<Gate, Trouble> {
        let Some(running) = of.running.take() else {
            return Err(Trouble::Words("it is not advanced".to_owned()));
        };
        let stands = running.end()?;
        let audit = self.generations.audit(live)?;
        let mut of_live = self.snapshot_beyond(&*audit, &stands, stop)?;
        let position = of_live.at().position.clone();
        let running = self.start(generation, of, Some(position.clone()), stop)?;
        let reached = self.wait_for(&running, &position, stop);
        let ended = running.end();
        reached?;
        ended?;
        crash::point(crash::AT_GATE);
        let audit = self.generations.audit(generation.number)?;
        let mut of_next = audit.begin()?;
        let next = &of_next.at().position;
        // A partition that has nothing yet may be known to one of them alone.
        if !(next.covers(&position) && position.covers(next)) {
            return Err(Trouble::Words(format!(
                "it stands at {next}, and was to stand at {position}"
            )));
        }
        let both = Both {
            live: &mut *of_live,
            next: &mut *of_next,
        };
        let at = (live, position);
        Ok(gate::compare(both, at, &self.topics, (self.clock)())?)
    }

    /// A snapshot of the live one that is nowhere behind.
    fn snapshot_beyond<'a>(
        &self,
        audit: &'a dyn licenseflow_store::Audit,
        stands: &Position,
        stop: &CancellationToken,
    ) -> std::result::Result<Box<dyn licenseflow_store::Audited + 'a>, Trouble> {
        let mut moved = Instant::now();
        let mut last = Position::default();
        loop {
            let snapshot = audit.begin()?;
            let position = &snapshot.at().position;
            if position.covers(stands) {
                return Ok(snapshot);
            }
            if *position != last {
                (last, moved) = (position.clone(), Instant::now());
            }
            if stop.is_cancelled() || moved.elapsed() > STANDSTILL_MAX {
                return Err(Trouble::Words(format!(
                    "the live generation stands at {last}, and is to come as far as {stands}: is its projector running?"
                )));
            }
            drop(snapshot);
            std::thread::sleep(GLANCE);
        }
    }

    fn wait_for(
        &self,
        running: &Running,
        position: &Position,
        stop: &CancellationToken,
    ) -> std::result::Result<(), Trouble> {
        let (mut last, mut moved) = (Position::default(), Instant::now());
        loop {
            let stands = running.position();
            if stands.covers(position) {
                return Ok(());
            }
            if running.handle.is_ended() || stop.is_cancelled() {
                return Err(Trouble::Words("its loop ended".to_owned()));
            }
            if stands != last {
                (last, moved) = (stands, Instant::now());
            }
            if moved.elapsed() > STANDSTILL_MAX {
                return Err(Trouble::Words(format!(
                    "it stands still at {last}, and is to come as far as {position}"
                )));
            }
            std::thread::sleep(SOON);
        }
    }

    fn note_gate(&self, generation: &Generation, gate: Gate) -> std::result::Result<(), Trouble> {
        let number = generation.number;
        tracing::info!(
            generation = number,
            is_equal = gate.is_equal,
            licenses = gate.licenses,
            fates = gate.fates,
            "it was compared with the live generation"
        );
        self.change(&mut |book| {
            let generation = book.beside(number)?;
            generation.wish = match generation.wish {
                Wish::SwitchWhenEqual if gate.is_equal => Wish::Switch,
                Wish::None | Wish::Compare | Wish::SwitchWhenEqual | Wish::Switch => Wish::None,
            };
            (generation.gate, generation.trouble) = (Some(gate.clone()), None);
            Ok(())
        })?;
        Ok(())
    }

    /// Makes a generation the live one.
    fn switch(
        &self,
        generation: &Generation,
        live: Number,
        of: &mut Kept,
    ) -> std::result::Result<(), Trouble> {
        let until = (self.clock)() + HELD_MS;
        self.change(&mut |book| {
            book.held_until = Some(until);
            Ok(())
        })?;
        let switched = self.switch_held(generation, live, of, until);
        if switched.is_err() {
            note(
                "release",
                self.change(&mut |book| {
                    book.held_until = None;
                    Ok(())
                }),
            );
        }
        switched
    }

    fn switch_held(
        &self,
        generation: &Generation,
        live: Number,
        of: &mut Kept,
        until: i64,
    ) -> std::result::Result<(), Trouble> {
        let mut behind = None;
        while (self.clock)() < until {
            let position = self.live_position(live)?;
            let stands = of.running.as_ref().map(Running::position);
            if stands.is_some_and(|stands| stands.covers(&position)) {
                match self.generations.switch(generation.number, (self.clock)()) {
                    Ok(()) => return self.has_switched(generation, live, of),
                    // What was on its way when the live one was held has come in.
                    Err(SwitchError::Behind(position)) => behind = Some(position),
                    Err(SwitchError::Refused(refused)) => return Err(refused.into()),
                    Err(SwitchError::Store(error)) => return Err(error.into()),
                }
            }
            std::thread::sleep(SOON);
        }
        let behind = behind.map_or(String::new(), |it| format!(" (the live one: {it})"));
        Err(Trouble::Words(format!(
            "it did not come as far as the live generation while that was held{behind}; it is tried again"
        )))
    }

    fn has_switched(
        &self,
        generation: &Generation,
        former: Number,
        of: &mut Kept,
    ) -> std::result::Result<(), Trouble> {
        tracing::info!(
            live = generation.number,
            former,
            "the pointer has moved; `licenseflow replay rollback` goes back"
        );
        if let Some(running) = of.running.take() {
            running.end()?;
        }
        let book = self.generations.book()?;
        for number in book.past(self.kept) {
            tracing::info!(
                generation = number,
                "it is dropped: enough later ones are kept"
            );
            self.change(&mut |book| book.strike(number).map(drop))?;
            crash::point(crash::AFTER_STRIKE);
        }
        Ok(())
    }

    fn change(
        &self,
        change: licenseflow_store::generations::Change<'_>,
    ) -> std::result::Result<(), Trouble> {
        self.generations.change(change)??;
        Ok(())
    }
}

/// What is waited for comes within moments.
const SOON: Duration = Duration::from_millis(5);

/// Removes what is stored of generations that are struck out of the book, but for those that somebody still
/// has.
///
/// # Errors
/// From the store.
pub fn sweep(generations: &dyn Generations) -> std::result::Result<(), Error> {
    let book = generations.book()?;
    for number in 1..=book.last {
        if book.get(number).is_none()
            && let Some(_post) = generations.take_post(number)?
        {
            generations.remove(number)?;
        }
    }
    Ok(())
}

/// What failed beside is tried again by itself.
fn note<T, E: std::error::Error>(what: &str, done: std::result::Result<T, E>) {
    if let Err(error) = done {
        tracing::warn!("{what}: {}", licenseflow_avro::causes::chain(&error));
    }
}
