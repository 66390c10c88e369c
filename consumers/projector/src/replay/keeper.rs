//! The keeper: one thread that does what the book says of generations beside the live one.
//!
//! | the book says | it |
//! |---|---|
//! | another generation, of our fold | takes its post, where nobody has it, and has it built and advanced |
//! | it is paused, throttled, or waits for the live one | stops it, or slows it |
//! | it is to be compared, and has caught up | holds both at one position, compares them, notes what came out |
//! | it is to be the live one | holds the live one, waits until it is nowhere behind, and moves the pointer |
//! | it is the live one now, or struck out | lets go of it |
//!
//! Each step begins with the book as it stands, so that whoever dies in the middle of one leaves it to the
//! next keeper.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use licenseflow_avro::judgement::Schemas;
use licenseflow_avro::{Position, Topics};
use licenseflow_kafka::{LanePartition, Source};
use licenseflow_store::generations::{Begin, Book, Generation, Made, Number, Refused, Wish};
use licenseflow_store::progress::CAUGHT_UP;
use licenseflow_store::{Error, Generations, Ground, LiveLookup, Lookup};
use tokio_util::sync::CancellationToken;

use super::beside::{Beside, NoLetters, Silent, Throttle};
use super::building::Load;
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
pub(super) const GLANCE: Duration = Duration::from_millis(100);

/// What is waited for comes within moments.
pub(super) const SOON: Duration = Duration::from_millis(5);

/// How often it is looked how far generations are.
const LOOK: Duration = Duration::from_secs(1);

/// How often what was struck out is looked for, since somebody may have had it still.
const SWEEP: Duration = Duration::from_secs(30);

/// How long what went wrong is left alone.
const AGAIN: Duration = Duration::from_secs(2);

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
    /// The live one, from when it is first asked for on.
    pub live: OnceCell<LiveLookup>,
}

/// A generation that is kept here.
pub(super) struct Kept {
    _post: Box<dyn Send>,
    throttle: Arc<Throttle>,
    pub(super) running: Option<Running>,
    /// Where what it has collected is put in its place.
    pub(super) loading: Option<Load>,
    /// Nothing is tried before.
    again: Option<Instant>,
    /// When it was last looked how far it is.
    looked: Option<Instant>,
}

impl Kept {
    /// Leaves the generation where it stands.
    pub(super) fn end(&mut self) -> std::result::Result<(), Trouble> {
        let ended = self.running.take().map(Running::end).transpose();
        self.loading.take().map(Load::end).transpose()?;
        ended?;
        Ok(())
    }
}

/// A loop that runs.
pub(super) struct Running {
    pub(super) handle: Handle,
    stop: CancellationToken,
    stood: Position,
    /// How far it collects, before it loads; none: it is built.
    pub(super) collects: Option<Position>,
}

impl Running {
    /// Where the generation stands.
    pub(super) fn position(&self) -> Position {
        let mut position = self.stood.clone();
        position.raise_to(&self.handle.position().borrow());
        position
    }

    pub(super) fn end(self) -> Result<Position> {
        self.stop.cancel();
        let (mut position, applied) = (self.stood, self.handle.position());
        self.handle.join()?;
        // What was being written when it was told to end is written by now.
        position.raise_to(&applied.borrow());
        Ok(position)
    }
}

/// What keeps a step from being done now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
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
        let mut swept: Option<(usize, Instant)> = None;
        while !stop.is_cancelled() {
            match self.generations.book() {
                Ok(book) => {
                    self.look(&book, &mut kept, stop);
                    let count = book.generations.len();
                    let is_swept = |(of, at): (usize, Instant)| of == count && at.elapsed() < SWEEP;
                    if !swept.is_some_and(is_swept) {
                        swept = Some((count, Instant::now()));
                        note("sweep", sweep(&*self.generations));
                    }
                }
                Err(error) => tracing::warn!(%error, "the book of generations cannot be read now"),
            }
            std::thread::sleep(GLANCE);
        }
        for (number, mut kept) in kept {
            note(&format!("generation {number}"), kept.end());
        }
    }

    fn look(&self, book: &Book, kept: &mut BTreeMap<Number, Kept>, stop: &CancellationToken) {
        let is_ours = |it: &&Generation| {
            it.number != book.live && it.fold == licenseflow_core::fold::version()
        };
        kept.retain(|number, kept| {
            let stays = book.get(*number).filter(is_ours).is_some();
            if !stays {
                note(&format!("generation {number}"), kept.end());
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
                            loading: None,
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
            return of.end();
        }
        if of.looked.is_none_or(|looked| looked.elapsed() > LOOK) {
            of.looked = Some(Instant::now());
            self.throttle(generation, of);
            self.show(generation, of)?;
        }
        if self.is_being_built(generation, of, stop)? {
            return self.goes_on(generation);
        }
        match generation.wish {
            Wish::None => self.goes_on(generation),
            Wish::Compare | Wish::SwitchWhenEqual => {
                if !self.has_caught_up(of)? {
                    return self.goes_on(generation);
                }
                let gate = self.compare(generation, book.live, of, stop)?;
                self.note_gate(generation, gate)
            }
            Wish::Switch => match self.has_caught_up(of)? {
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

    fn throttle(&self, generation: &Generation, of: &Kept) {
        use std::sync::atomic::Ordering::Relaxed;
        let per_second = generation.records_per_second.unwrap_or(0);
        of.throttle.per_second.store(per_second, Relaxed);
        let waits = generation.live_lag_max_ms.is_some_and(|most| {
            let freshness = self.live().and_then(|it| it.freshness());
            let now = (self.clock)();
            freshness.is_ok_and(|it| it.lag_ms(now).is_none_or(|lag| lag > most))
        });
        of.throttle.waits.store(waits, Relaxed);
        if let Some(load) = &of.loading {
            load.wait(waits);
        }
    }

    /// Starts the loop of a generation, to a position or on and on.
    pub(super) fn start(
        &self,
        generation: &Generation,
        of: &Kept,
        until: Option<Position>,
        stop: &CancellationToken,
    ) -> std::result::Result<Running, Trouble> {
        let mut model = Silent(self.generations.open(generation, Begin::Collecting)?);
        let collects = match model.0.is_collecting() {
            true => Some(self.collects_until(generation)?),
            false => None,
        };
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
            source: Beside::new(source, Arc::clone(&of.throttle), until.or(collects.clone())),
            schemas: self.means.schemas(),
            model,
            letters: NoLetters,
            clock: self.clock.clone(),
        };
        let handle = Projector::start_beside(self.settings.clone(), parts, &stopped)?;
        tracing::info!(
            generation = generation.number,
            "it is advanced beside the live one"
        );
        Ok(Running {
            handle,
            stop: stopped,
            stood: stood.collect(),
            collects,
        })
    }

    /// The live generation as readers see it. It is asked often, so it is opened once and then followed.
    fn live(&self) -> std::result::Result<Arc<dyn Lookup>, Error> {
        if self.live.get().is_none() {
            let generations = Arc::clone(&self.generations);
            let live = LiveLookup::of(generations, |all, number| all.lookup(number, 1))?;
            // Nobody else is on this thread.
            let _ = self.live.set(live);
        }
        match self.live.get() {
            Some(live) => live.get(),
            None => Err(Error::broken("the live generation is not open")),
        }
    }

    pub(super) fn live_position(&self) -> std::result::Result<Position, Trouble> {
        Ok(self.live()?.freshness()?.position())
    }

    fn has_caught_up(&self, of: &Kept) -> std::result::Result<bool, Trouble> {
        let behind = self.behind(of)?;
        Ok(behind.is_some_and(|behind| behind <= CAUGHT_UP))
    }

    /// How many offsets it is behind the live one; none: it is not advanced.
    fn behind(&self, of: &Kept) -> std::result::Result<Option<i64>, Trouble> {
        let Some(running) = &of.running else {
            return Ok(None);
        };
        let (live, ours) = (self.live_position()?, running.position());
        let behind = live
            .iter()
            .map(|(lane, partition, next)| (next - ours.get(lane, partition).unwrap_or(0)).max(0));
        Ok(Some(behind.sum()))
    }

    fn show(&self, generation: &Generation, of: &Kept) -> std::result::Result<(), Trouble> {
        if let (Some(behind), Made::Whole) = (self.behind(of)?, &generation.of) {
            crate::metrics::generation_behind(generation.number, behind);
        }
        Ok(())
    }

    pub(super) fn change(
        &self,
        change: licenseflow_store::generations::Change<'_>,
    ) -> std::result::Result<(), Trouble> {
        self.generations.change(change)??;
        Ok(())
    }
}

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
pub(super) fn note<T, E: std::error::Error>(what: &str, done: std::result::Result<T, E>) {
    if let Err(error) = done {
        tracing::warn!("{what}: {}", licenseflow_avro::causes::chain(&error));
    }
}
