//! One license rebuilt in the live generation, alone, from all its records in the log, while writes go on.
//!
//! ```text
//! scan ─▶ what the kept sums have of it ─▶ writers wait ─▶ the rest of the log ─▶ one transaction, where the
//!                                              ▲                                generation stands just there
//!                                              └──────── it moved meanwhile ◀───────────┘
//! ```
//!
//! Reading all of the log and of the rows takes as long as it takes, and nobody waits for that. Writers wait for
//! what came since, some hundredths of a second, and ten seconds at the most: the book's word ends by itself. One
//! license is rebuilt at a time, since what the sums have of one is found beside the others' rows.

use std::time::{Duration, Instant};

use licenseflow_avro::judgement::Schemas;
use licenseflow_avro::{LicenseKey, Position};
use licenseflow_core::crash;
use licenseflow_core::digest::bucket_of;
use licenseflow_store::generations::{FIRST, Generation, Number, Refused, fold_version};
use licenseflow_store::rewrite::{LettersAsTheyAre, Rewrite, Rewritten};
use licenseflow_store::{Error as StoreError, Generations, Kind};

use super::keeper::{SOON, note};
use crate::config::Clock;
use crate::verify::{Anew, Difference, Folded, Lanes, Progress, Share};

/// How long writers are asked to wait.
const HELD_MS: i64 = 10_000;

/// How long another that rebuilds a license is waited for, or a keeper that lets go of a generation.
const POST_WITHIN: Duration = Duration::from_secs(5);

/// What is needed to rebuild a license.
pub struct OneLicense<'a> {
    /// Where the live generation is.
    pub generations: &'a dyn Generations,
    /// The log.
    pub lanes: &'a dyn Lanes,
    /// The schemas of what is in the log.
    pub schemas: &'a dyn Schemas,
    /// Which license.
    pub key: &'a LicenseKey,
    /// The time.
    pub clock: Clock,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The generation.
    pub generation: Number,
    /// Where it stood.
    pub position: Position,
    /// Records that were read.
    pub records: u64,
    /// Events of its timeline.
    pub events: u64,
    /// Whether anything of the license was stored before.
    pub was_stored: bool,
    /// Whether the log has anything of it; if not, nothing of it is stored now.
    pub is_there: bool,
    /// How many letters of its records were another, missing or too many, and are right now.
    pub letters: usize,
    /// What is wrong still: records that wait, and letters of what the store alone knows.
    pub left: Vec<Difference>,
}

/// Why a license was not rebuilt: in the live generation it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum NotRebuilt {
    /// Nobody has heard of it.
    #[error(
        "there is no license {} of tenant {}, neither in the read model nor in the log", .0.license_id, .0.tenant_id
    )]
    Unknown(LicenseKey),
    /// Another release has to do it.
    #[error(
        "generation {0} is built by another version of the fold than this release has: let the release that built it do this"
    )]
    OfAnotherFold(Number),
    /// One at a time.
    #[error("another license of generation {0} is being rebuilt; try again when that is done")]
    Busy(Number),
    /// The generation did not stand still.
    #[error(
        "generation {0} was written on while its writers were asked to wait; nothing is changed: try again"
    )]
    Unsteady(Number),
    /// The pointer has moved.
    #[error("generation {0} is not the live one any more; try again")]
    Switched(Number),
    /// By the book.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// From the log, the schemas or the store.
    #[error(transparent)]
    Failed(#[from] crate::Error),
}

impl From<StoreError> for NotRebuilt {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Rebuilds a license.
///
/// # Errors
/// [`NotRebuilt`].
pub fn rebuild_license(
    asked: &OneLicense<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Rebuilt, NotRebuilt> {
    let book = asked.generations.book()?;
    let live = book.live;
    // A store that never had another generation has no book to say it: that says it itself, when it is written.
    let of_another_fold = |it: &Generation| it.number != FIRST && it.fold != fold_version();
    if book.get(live).is_some_and(of_another_fold) {
        return Err(NotRebuilt::OfAnotherFold(live));
    }
    let _post = post(asked.generations, live)?;
    let mut work = Work {
        asked,
        live,
        anew: Anew::of(asked.schemas, asked.key),
    };
    let ready = work.prepare(progress)?;
    let of = &ready.folded;
    let is_known = of.change.is_some() || of.is_stored || of.letters != LettersAsTheyAre::default();
    if !is_known && of.differences.is_empty() {
        return Err(NotRebuilt::Unknown(asked.key.clone()));
    }
    let held = Held::begin(asked)?;
    crash::point(crash::WHILE_HELD);
    let ready = work.rewrite(ready, held.until, progress)?;
    drop(held);
    let Ready { at, folded, .. } = ready;
    let change = folded.change.as_ref();
    Ok(Rebuilt {
        generation: live,
        position: at,
        records: work.anew.records(),
        events: change.map_or(0, |it| it.timeline.len() as u64),
        was_stored: folded.is_stored,
        is_there: change.is_some(),
        letters: folded.letters.put.len() + folded.letters.gone.len(),
        left: folded.differences,
    })
}

/// The post of the live generation, which no keeper has: of those who rebuild licenses one has it at a time.
fn post(generations: &dyn Generations, live: Number) -> Result<Box<dyn Send>, NotRebuilt> {
    let until = Instant::now() + POST_WITHIN;
    loop {
        if let Some(post) = generations.take_post(live)? {
            return Ok(post);
        }
        if Instant::now() > until {
            return Err(NotRebuilt::Busy(live));
        }
        std::thread::sleep(SOON);
    }
}

/// What is known of the license where the generation stood.
struct Ready {
    at: Position,
    folded: Folded,
    share: Share,
}

struct Work<'a> {
    asked: &'a OneLicense<'a>,
    live: Number,
    anew: Anew<'a>,
}

impl Work<'_> {
    /// Scans the log up to where the generation stands, and finds what the sums have of the license.
    fn prepare(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Ready, NotRebuilt> {
        let audit = self.asked.generations.audit(self.live)?;
        // The first snapshot is let go of before the log is read, which may take long.
        let position = {
            let mut audited = audit.begin()?;
            self.anew.note(&mut *audited)?;
            audited.at().position.clone()
        };
        self.anew.read_to(self.asked.lanes, &position, progress)?;
        let mut audited = audit.begin()?;
        self.anew.note(&mut *audited)?;
        let position = audited.at().position.clone();
        self.anew.read_to(self.asked.lanes, &position, progress)?;
        let folded = self.anew.fold(&mut *audited)?;
        let share = self.anew.share(&mut *audited, progress)?;
        Ok(Ready {
            at: position,
            folded,
            share,
        })
    }

    /// Reads on to where the generation stands now. What the sums have of the license is found again where a record
    /// of it came, or nobody knows whether it was written.
    fn read_on(
        &mut self,
        ready: &mut Ready,
        is_in_doubt: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), NotRebuilt> {
        let audit = self.asked.generations.audit(self.live)?;
        let mut audited = audit.begin()?;
        let position = audited.at().position.clone();
        if position == ready.at && !is_in_doubt {
            return Ok(());
        }
        self.anew.note(&mut *audited)?;
        let is_touched = self.anew.read_to(self.asked.lanes, &position, progress)?;
        ready.folded = self.anew.fold(&mut *audited)?;
        if is_touched || is_in_doubt {
            ready.share = self.anew.share(&mut *audited, progress)?;
        }
        ready.at = position;
        Ok(())
    }

    /// Reads on to where the generation stands and writes, as often as it moves in between.
    fn rewrite(
        &mut self,
        mut ready: Ready,
        until: i64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Ready, NotRebuilt> {
        let mut is_in_doubt = false;
        while (self.asked.clock)() < until {
            self.read_on(&mut ready, is_in_doubt, progress)?;
            match self.write(&ready) {
                Ok(Rewritten::Done) => {
                    let is_live = self.asked.generations.book()?.live == self.live;
                    return match is_live {
                        true => Ok(ready),
                        false => Err(NotRebuilt::Switched(self.live)),
                    };
                }
                Ok(Rewritten::Moved) => is_in_doubt = false,
                // A batch holds what is to be locked, and is done with it in a moment; or the answer was lost.
                Err(error) if error.kind() == Kind::Away => {
                    tracing::warn!(%error, "the license cannot be written now; trying again");
                    is_in_doubt = true;
                }
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(SOON);
        }
        Err(NotRebuilt::Unsteady(self.live))
    }

    fn write(&self, ready: &Ready) -> Result<Rewritten, StoreError> {
        let change = ready.folded.change.as_ref();
        let digest = change.map(|it| it.digest).unwrap_or_default();
        let (digest, numbers) = ready.share.correction(digest, &ready.folded.numbers);
        let rewrite = Rewrite {
            key: self.asked.key,
            at: &ready.at,
            license: change,
            digest: (bucket_of(self.asked.key), digest),
            numbers: &numbers,
            letters: &ready.folded.letters,
        };
        let now = (self.asked.clock)();
        self.asked.generations.rewrite(self.live, &rewrite, now)
    }
}

/// Writers of the live generation wait, until this is dropped or the time is over.
struct Held<'a> {
    generations: &'a dyn Generations,
    until: i64,
}

impl<'a> Held<'a> {
    fn begin(asked: &OneLicense<'a>) -> Result<Self, NotRebuilt> {
        let until = (asked.clock)() + HELD_MS;
        asked.generations.change(&mut |book| {
            book.held_until = Some(until);
            Ok(())
        })??;
        Ok(Self {
            generations: asked.generations,
            until,
        })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let until = Some(self.until);
        let released = self.generations.change(&mut |book| {
            // Another may have asked for longer since.
            book.held_until = book.held_until.filter(|it| Some(*it) != until);
            Ok(())
        });
        note("release", released);
    }
}
