//! The live generation as it is written, whichever that is.
//!
//! Before anything is written the book is asked. Where another generation is live, that is opened and the
//! former one left to its keeper; a batch that was read for the former is taken by the new one only where it
//! follows on what that has. What was given out of the former's outbox says nothing of the new one's.

use std::sync::Arc;
use std::time::Duration;

use licenseflow_avro::{Lane, PartitionId};
use licenseflow_core::Batch;
use licenseflow_store::generations::{Begin, Generation, Model, Number};
use licenseflow_store::{
    Applied, Done, Due, Error, Generations, Ground, Letter, Outbox, PartitionEnd, PartitionState,
    ReadModel,
};

use crate::config::Clock;

/// How often a book is read again that says to wait.
const GLANCE: Duration = Duration::from_millis(5);

/// One of the writers of the live generation.
pub struct LiveModel {
    generations: Arc<dyn Generations>,
    ground: Ground,
    clock: Clock,
    opened: Option<(Number, Box<dyn Model>)>,
    /// Out of whose outbox letters were given last, and records that wait.
    letters_of: Option<Number>,
    retries_of: Option<Number>,
}

impl LiveModel {
    /// Opens the generation that is live now, over this log.
    ///
    /// # Errors
    /// As the generation is opened.
    pub fn open(
        generations: Arc<dyn Generations>,
        ground: Ground,
        clock: Clock,
    ) -> Result<Self, Error> {
        let mut model = Self {
            generations,
            ground,
            clock,
            opened: None,
            letters_of: None,
            retries_of: None,
        };
        model.live()?;
        Ok(model)
    }

    /// The live generation, and its number. Waits while another is about to take its place.
    fn live(&mut self) -> Result<(Number, &mut dyn Model), Error> {
        let book = loop {
            let book = match self.generations.book() {
                Ok(book) => book,
                Err(error) => match &mut self.opened {
                    // The generation itself says whether it is away.
                    Some((number, model)) => return Ok((*number, &mut **model)),
                    None => return Err(error),
                },
            };
            match book.held_until {
                Some(until) if until > (self.clock)() => std::thread::sleep(GLANCE),
                Some(_) | None => break book,
            }
        };
        let is_another = self
            .opened
            .as_ref()
            .is_none_or(|(number, _)| *number != book.live);
        if is_another {
            let mut patience = match self.opened {
                Some(_) => HELD_TRIES,
                None => 0,
            };
            // Its keeper can have it from here on.
            if let Some((former, mut model)) = self.opened.take() {
                tracing::info!(former, live = book.live, "another generation is live");
                if let Err(error) = model.leave() {
                    tracing::warn!(%error, "others that send letters wait until our turn is over");
                }
            }
            let generation = book.get(book.live);
            let generation = generation.ok_or_else(|| Error::broken("the book has no live one"))?;
            let mut model = opened(&*self.generations, generation, &mut patience)?;
            model.begin_on(&self.ground)?;
            self.opened = Some((book.live, model));
        }
        match &mut self.opened {
            Some((number, model)) => Ok((*number, &mut **model)),
            None => Err(Error::broken("no generation is open")),
        }
    }
}

/// Opens a generation. Whoever kept it until now may take a moment to let go of it.
fn opened(
    generations: &dyn Generations,
    generation: &Generation,
    patience: &mut u32,
) -> Result<Box<dyn Model>, Error> {
    loop {
        match generations.open(generation, Begin::Folding) {
            Err(Error::Held { .. }) if *patience > 0 => {
                *patience -= 1;
                std::thread::sleep(GLANCE);
            }
            opened => return opened,
        }
    }
}

/// Some seconds.
const HELD_TRIES: u32 = 2000;

impl ReadModel for LiveModel {
    fn begin_on(&mut self, ground: &Ground) -> Result<(), Error> {
        self.live()?.1.begin_on(ground)
    }

    fn positions(&mut self) -> Result<Vec<PartitionState>, Error> {
        self.live()?.1.positions()
    }

    fn apply(&mut self, batch: Batch, now: i64) -> Result<Applied, Error> {
        self.live()?.1.apply(batch, now)
    }

    fn note_ends(&mut self, ends: &[PartitionEnd], now: i64) -> Result<(), Error> {
        self.live()?.1.note_ends(ends, now)
    }
}

impl Outbox for LiveModel {
    fn unsent(
        &mut self,
        after: i64,
        limit: usize,
        except: &[(Lane, PartitionId)],
    ) -> Result<Vec<Letter>, Error> {
        let (number, model) = self.live()?;
        let letters = model.unsent(after, limit, except)?;
        self.letters_of = Some(number);
        Ok(letters)
    }

    fn mark_sent(&mut self, ids: &[i64], now: i64) -> Result<(), Error> {
        let of = self.letters_of;
        match self.live()? {
            (number, model) if of == Some(number) => model.mark_sent(ids, now),
            // Rows of another generation have these ids; what is sent twice counts once.
            (_, _) => Ok(()),
        }
    }

    fn due(&mut self, now: i64, limit: usize) -> Result<Due, Error> {
        let (number, model) = self.live()?;
        let due = model.due(now, limit)?;
        self.retries_of = Some(number);
        Ok(due)
    }

    fn mark_done(&mut self, done: &[Done], now: i64) -> Result<(), Error> {
        let of = self.retries_of;
        match self.live()? {
            (number, model) if of == Some(number) => model.mark_done(done, now),
            (_, _) => Ok(()),
        }
    }

    fn leave(&mut self) -> Result<(), Error> {
        match &mut self.opened {
            Some((_, model)) => model.leave(),
            None => Ok(()),
        }
    }
}
