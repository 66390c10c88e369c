//! The generations of a store: complete builds of its read models beside one another, one of them live.
//!
//! Owns the book in which they stand and the rules by which it changes. The book is small, is written whole,
//! and is what everybody goes by: who reads asks it which generation is live, who builds asks it what is
//! wanted. How a generation is opened is its store's; how it is built is not known here.

use std::sync::Arc;

use licenseflow_avro::Position;
use serde::{Deserialize, Serialize};

use crate::loading::{Loaded, Loading, Reins};
use crate::rewrite::{Rewrite, Rewritten};
use crate::{Audit, DeadLetters, Error, Lookup, Outbox, ReadModel};

/// The number of a generation; the first is 1.
pub type Number = i64;

/// The generation that a store begins with.
pub const FIRST: Number = 1;

/// The version of the fold in this process, by which it builds generations.
#[must_use]
pub fn fold_version() -> i64 {
    licenseflow_core::fold::version()
}

/// Whether a generation of this fold may be gone on with by ours.
pub(crate) fn check_fold(kept: i64) -> Result<(), ChangedFold> {
    match licenseflow_core::fold::version() {
        ours if ours == kept => Ok(()),
        ours => Err(ChangedFold { kept, ours }),
    }
}

/// The fold is another than that which the generation is built by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its read model is built by version {kept} of the fold, and this release has version {ours}: build a new \
     generation beside it with `licenseflow replay`, and switch to that; the release that built this one goes \
     on serving until then"
)]
pub struct ChangedFold {
    kept: i64,
    ours: i64,
}

/// A generation as the book has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Its number.
    pub number: Number,
    /// The version of the fold that builds it.
    pub fold: i64,
    /// When it was begun, in milliseconds UTC.
    pub begun_at: i64,
    /// Which records it is made of.
    pub of: Made,
    /// Whether it is to be advanced.
    pub is_paused: bool,
    /// So many records a second are read for it at most, where that is bounded.
    pub records_per_second: Option<u32>,
    /// It waits while the live model is further behind than so many milliseconds, where that is bounded.
    pub live_lag_max_ms: Option<i64>,
    /// What is to be done about it beside.
    pub wish: Wish,
    /// The last comparison with the live one.
    pub gate: Option<Gate>,
    /// Why it does not go on.
    pub trouble: Option<String>,
    /// When it stopped being the live one, in milliseconds UTC, if it was.
    pub was_live_until: Option<i64>,
}

/// Which records a generation is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Made {
    /// All of both lanes.
    Whole,
    /// What lies from there on in these partitions, and nothing of any other.
    Part {
        /// The offset at which each partition begins.
        begin: Position,
    },
}

/// What somebody wants to be done about a generation, by whoever advances it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Nothing but to be advanced.
    #[default]
    None,
    /// To be compared with the live one, once it has caught up.
    Compare,
    /// To be compared with the live one, and to be the live one if it is equal.
    SwitchWhenEqual,
    /// To be the live one, whatever a comparison says.
    Switch,
}

/// What a comparison of a generation with the live one gave, both at one position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// With which.
    pub with: Number,
    /// When, in milliseconds UTC.
    pub at: i64,
    /// Where both stood.
    pub position: Position,
    /// Whether all rows are the same.
    pub is_equal: bool,
    /// How many licenses differ.
    pub licenses: u64,
    /// The first of them.
    pub differences: Vec<Different>,
    /// How many records have another fate: rejected or waiting in one, and accepted in the other.
    pub fates: u64,
    /// The first of them, in words.
    pub fates_that_differ: Vec<String>,
}

/// A license that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Different {
    /// Its tenant.
    pub tenant_id: String,
    /// Its id.
    pub license_id: String,
    /// Its rows in the live generation, as canonical JSON, that the other has not.
    pub live: Vec<String>,
    /// Its rows in the other, that the live one has not.
    pub next: Vec<String>,
    /// Where the events of it lie, as far as either knows them, the first of them.
    pub events: Vec<String>,
}

/// All generations of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// The one that readers see, and that sends what is to be sent.
    pub live: Number,
    /// In the order of their numbers.
    pub generations: Vec<Generation>,
    /// Until then, in milliseconds UTC, nothing is written to the live generation: another is about to take
    /// its place.
    pub held_until: Option<i64>,
    /// The greatest number that was ever given.
    pub last: Number,
}

impl Default for Book {
    /// That of a store that never had another generation than its first.
    fn default() -> Self {
        Self {
            live: FIRST,
            generations: vec![Generation::new(FIRST, 1, 0, Made::Whole)],
            held_until: None,
            last: FIRST,
        }
    }
}

impl Generation {
    /// One that is begun now.
    #[must_use]
    pub fn new(number: Number, fold: i64, begun_at: i64, of: Made) -> Self {
        Self {
            number,
            fold,
            begun_at,
            of,
            is_paused: false,
            records_per_second: None,
            live_lag_max_ms: None,
            wish: Wish::None,
            gate: None,
            trouble: None,
            was_live_until: None,
        }
    }
}

/// Why a change of the book is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is none of this number.
    #[error("there is no generation {0}; `licenseflow replay status` shows those that there are")]
    Unknown(Number),
    /// It is the live one.
    #[error("generation {0} is the live one, and goes on serving; switch to another first")]
    IsLive(Number),
    /// It is made of a part of the log.
    #[error(
        "generation {0} is made of a part of the log, so it can be looked at, and never be the live one, nor be compared with that"
    )]
    IsPart(Number),
    /// Another is being built already.
    #[error(
        "generation {0} is being built; wait for it, or end it with `licenseflow replay cancel {0}`"
    )]
    IsBuilding(Number),
    /// Another release builds it.
    #[error(
        "generation {0} is built by another version of the fold than this release has: let the release that built it do this"
    )]
    IsOfAnotherFold(Number),
    /// It was live.
    #[error("generation {0} was the live one: it is dropped, not cancelled")]
    WasLive(Number),
    /// It was never live.
    #[error(
        "generation {0} was never the live one: it is cancelled, not dropped, and switched to, not gone back to"
    )]
    NeverLive(Number),
}

impl Book {
    /// A generation.
    #[must_use]
    pub fn get(&self, number: Number) -> Option<&Generation> {
        self.generations.iter().find(|it| it.number == number)
    }

    /// A generation that is not the live one, to be changed.
    ///
    /// # Errors
    /// [`Refused::Unknown`] and [`Refused::IsLive`].
    pub fn beside(&mut self, number: Number) -> Result<&mut Generation, Refused> {
        if number == self.live {
            return Err(Refused::IsLive(number));
        }
        let mut each = self.generations.iter_mut();
        let found = each.find(|it| it.number == number);
        found.ok_or(Refused::Unknown(number))
    }

    /// Begins a generation.
    ///
    /// # Errors
    /// [`Refused::IsBuilding`] where one is being built that was never live: one at a time.
    pub fn begin(&mut self, of: Made, fold: i64, now: i64) -> Result<&mut Generation, Refused> {
        let live = self.live;
        let mut each = self.generations.iter();
        let building = |it: &&Generation| it.number != live && it.was_live_until.is_none();
        if let Some(other) = each.find(building) {
            return Err(Refused::IsBuilding(other.number));
        }
        self.last += 1;
        self.generations
            .push(Generation::new(self.last, fold, now, of));
        let last = self.generations.last_mut();
        last.ok_or(Refused::Unknown(self.last))
    }

    /// Has a generation be the live one, once whoever advances it sees that it can.
    ///
    /// # Errors
    /// As [`Book::beside`], and [`Refused::IsPart`].
    pub fn wish(&mut self, number: Number, wish: Wish) -> Result<(), Refused> {
        let generation = self.beside(number)?;
        if wish != Wish::None && generation.fold != fold_version() {
            return Err(Refused::IsOfAnotherFold(number));
        }
        match wish {
            Wish::Compare | Wish::Switch | Wish::SwitchWhenEqual
                if generation.of != Made::Whole =>
            {
                return Err(Refused::IsPart(number));
            }
            Wish::None | Wish::Compare | Wish::Switch | Wish::SwitchWhenEqual => {}
        }
        (generation.wish, generation.trouble) = (wish, None);
        Ok(())
    }

    /// Leaves a generation where it stands.
    ///
    /// # Errors
    /// As [`Book::beside`].
    pub fn pause(&mut self, number: Number) -> Result<(), Refused> {
        self.beside(number)?.is_paused = true;
        Ok(())
    }

    /// Goes on with a generation from where it stands; what was wanted of it is wanted still.
    ///
    /// # Errors
    /// As [`Book::beside`].
    pub fn resume(&mut self, number: Number) -> Result<(), Refused> {
        let generation = self.beside(number)?;
        (generation.is_paused, generation.trouble) = (false, None);
        Ok(())
    }

    /// Somebody asks for this: the generation is not paused then, and what an earlier comparison gave is not
    /// taken for a new one's.
    ///
    /// # Errors
    /// As [`Book::wish`].
    pub fn ask(&mut self, number: Number, wish: Wish) -> Result<(), Refused> {
        self.wish(number, wish)?;
        let generation = self.beside(number)?;
        generation.is_paused = false;
        if wish == Wish::Compare {
            generation.gate = None;
        }
        Ok(())
    }

    /// The one that was live last, to go back to.
    #[must_use]
    pub fn former(&self) -> Option<Number> {
        self.past(0).last().copied()
    }

    /// Strikes a generation out that was never live.
    ///
    /// # Errors
    /// As [`Book::beside`], and [`Refused::WasLive`].
    pub fn cancel(&mut self, number: Number) -> Result<(), Refused> {
        match self.beside(number)?.was_live_until {
            Some(_) => Err(Refused::WasLive(number)),
            None => self.strike(number).map(drop),
        }
    }

    /// Strikes a generation out that was live before.
    ///
    /// # Errors
    /// As [`Book::beside`], and [`Refused::NeverLive`].
    pub fn drop_former(&mut self, number: Number) -> Result<(), Refused> {
        match self.beside(number)?.was_live_until {
            Some(_) => self.strike(number).map(drop),
            None => Err(Refused::NeverLive(number)),
        }
    }

    /// The pointer moves.
    ///
    /// # Errors
    /// As [`Book::wish`].
    pub fn switch(&mut self, number: Number, now: i64) -> Result<(), Refused> {
        self.wish(number, Wish::Switch)?;
        self.wish(number, Wish::None)?;
        let before = std::mem::replace(&mut self.live, number);
        for generation in &mut self.generations {
            if generation.number == before {
                generation.was_live_until = Some(now);
            }
        }
        self.held_until = None;
        Ok(())
    }

    /// Strikes a generation out.
    ///
    /// # Errors
    /// As [`Book::beside`].
    pub fn strike(&mut self, number: Number) -> Result<Generation, Refused> {
        let struck = self.beside(number)?.clone();
        self.generations.retain(|it| it.number != number);
        Ok(struck)
    }

    /// Former live ones beyond the `kept` last.
    #[must_use]
    pub fn past(&self, kept: usize) -> Vec<Number> {
        let each = self.generations.iter().filter(|it| it.number != self.live);
        let mut former: Vec<(i64, Number)> = each
            .filter_map(|it| Some((it.was_live_until?, it.number)))
            .collect();
        former.sort_unstable();
        let beyond = former.len().saturating_sub(kept);
        former[..beyond].iter().map(|(_, number)| *number).collect()
    }
}

/// What changes a book: it is read, changed and written with nobody in between.
pub type Change<'c> = &'c mut dyn FnMut(&mut Book) -> Result<(), Refused>;

/// A model that is written.
pub trait Model: ReadModel + Outbox {
    /// Whether what it is given is put aside until [`Model::load`].
    fn is_collecting(&self) -> bool;

    /// Folds all that was put aside and puts it in its place; `now` is in milliseconds UTC. It takes as long as
    /// it takes, or until it is to stop, and then goes on from there the next time. It does nothing to one that
    /// does not collect.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`]: what is in its place by then stays there.
    fn load(&mut self, now: i64, reins: &Reins) -> Result<Loaded, Error>;
}

/// How a generation begins, where it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Each batch is folded as it comes.
    Folding,
    /// What comes is put aside and loaded later: a long log is built faster so.
    Collecting,
}

/// Why a generation cannot be the live one now.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// By the book.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The live one is further.
    #[error("it is behind the live generation: {0}")]
    Behind(Position),
    /// The store.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The generations of one store, whichever it is.
pub trait Generations: Send + Sync {
    /// The book. It is cheap to ask often.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`], as of every method here.
    fn book(&self) -> Result<Arc<Book>, Error>;

    /// Changes the book, with nobody in between; gives what it says then. Where the change is refused,
    /// nothing is changed.
    ///
    /// # Errors
    /// As above.
    fn change(&self, change: Change<'_>) -> Result<Result<Arc<Book>, Refused>, Error>;

    /// Opens a generation for writing, and makes it where there is none. [`Error::Held`] where another
    /// process writes it, in a store that takes one writer.
    ///
    /// # Errors
    /// As above, and [`Error::Unusable`].
    fn open(&self, generation: &Generation, begin: Begin) -> Result<Box<dyn Model>, Error>;

    /// How far a generation is that is being built; none: it is built.
    ///
    /// # Errors
    /// As above.
    fn loading(&self, number: Number) -> Result<Option<Loading>, Error>;

    /// Takes the place of the one that advances a generation beside the live one; none: another has it.
    ///
    /// # Errors
    /// As above.
    fn take_post(&self, number: Number) -> Result<Option<Box<dyn Send>>, Error>;

    /// Opens a generation for reading, for so many readers at once.
    ///
    /// # Errors
    /// As above.
    fn lookup(&self, number: Number, readers: usize) -> Result<Arc<dyn Lookup>, Error>;

    /// Opens a generation to be read whole.
    ///
    /// # Errors
    /// As above.
    fn audit(&self, number: Number) -> Result<Box<dyn Audit>, Error>;

    /// Opens the letters of a generation.
    ///
    /// # Errors
    /// As above.
    fn letters(&self, number: Number) -> Result<Arc<dyn DeadLetters>, Error>;

    /// Rewrites one license of a generation as the log gives it, in one step, whoever writes the generation
    /// otherwise; `now` is in milliseconds UTC.
    ///
    /// # Errors
    /// As above, and [`Error::Unusable`] where the generation is of another fold.
    fn rewrite(&self, number: Number, of: &Rewrite<'_>, now: i64) -> Result<Rewritten, Error>;

    /// Moves the pointer, in one step: readers see the one or the other. What was sent, resolved, redriven
    /// or done by the live generation is taken over by the coordinates of the originals before, so that only
    /// what has no mark is sent. Nothing is written to the live generation meanwhile.
    ///
    /// # Errors
    /// [`SwitchError`]; nothing has changed then.
    fn switch(&self, to: Number, now: i64) -> Result<(), SwitchError>;

    /// Removes what a generation has stored; it is struck out of the book already.
    ///
    /// # Errors
    /// As above.
    fn remove(&self, number: Number) -> Result<(), Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(book: &mut Book, of: Made) -> Number {
        book.begin(of, 1, 5).unwrap().number
    }

    #[test]
    fn one_is_built_at_a_time_and_numbers_are_never_given_again() {
        let mut book = Book::default();
        assert_eq!(begun(&mut book, Made::Whole), 2);
        let again = book.begin(Made::Whole, 1, 5).map(|it| it.number);
        assert_eq!(again, Err(Refused::IsBuilding(2)));
        book.strike(2).unwrap();
        assert_eq!(begun(&mut book, Made::Whole), 3);
    }

    #[test]
    fn a_part_of_the_log_is_never_switched_to_and_the_live_one_is_left_alone() {
        let mut book = Book::default();
        let begin = Position::default();
        let part = begun(&mut book, Made::Part { begin });
        assert_eq!(book.switch(part, 9), Err(Refused::IsPart(part)));
        assert_eq!(
            book.wish(part, Wish::SwitchWhenEqual),
            Err(Refused::IsPart(part))
        );
        assert_eq!(book.wish(part, Wish::Compare), Err(Refused::IsPart(part)));
        assert_eq!(book.strike(1), Err(Refused::IsLive(1)));
        assert_eq!(book.strike(7), Err(Refused::Unknown(7)));
        assert_eq!(book.live, FIRST);
    }

    #[test]
    fn switching_there_and_back_keeps_the_former_ones_and_names_those_beyond_the_last() {
        let mut book = Book::default();
        let second = begun(&mut book, Made::Whole);
        book.switch(second, 10).unwrap();
        assert_eq!((book.live, book.past(1)), (second, vec![]));
        assert_eq!(book.past(0), [1]);
        let third = begun(&mut book, Made::Whole);
        book.switch(third, 20).unwrap();
        assert_eq!(book.past(1), [1]);
        book.switch(1, 30).unwrap();
        assert_eq!(book.live, 1);
        assert_eq!(book.past(1), [second], "the last live one is kept");
    }

    #[test]
    fn what_was_wanted_of_a_generation_outlasts_a_pause() {
        let mut book = Book::default();
        let number = begun(&mut book, Made::Whole);
        book.ask(number, Wish::SwitchWhenEqual).unwrap();
        book.pause(number).unwrap();
        book.resume(number).unwrap();
        let generation = book.get(number).unwrap();
        assert_eq!(generation.wish, Wish::SwitchWhenEqual);
        assert!(!generation.is_paused);
        assert_eq!(book.resume(FIRST), Err(Refused::IsLive(FIRST)));
    }

    #[test]
    fn a_book_reads_back_what_it_wrote() {
        let mut book = Book::default();
        let begin = "e:1:5,b:0:7".parse().unwrap();
        book.begin(Made::Part { begin }, 1, 5).unwrap();
        let text = serde_json::to_string(&book).unwrap();
        assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), book);
    }
}
