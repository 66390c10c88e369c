//! One license rewritten where it lies, as the log gives it, beside whoever writes the generation.
//!
//! Owns what is handed over for that, and what of it is the same in every store: which numbers a row is kept
//! under. What the log gives, and what the kept sums have of the license now, is not known here.

use licenseflow_avro::{EventKind, LicenseKey, Position};
use licenseflow_core::event_set::ConflictChange;
use licenseflow_core::status::Lifecycle;
use licenseflow_core::totals::Dimension;
use licenseflow_core::{LicenseChange, LicensePast, LicenseState, Rejected, RowDigest};
use uuid::Uuid;

use crate::audit::{Numbers, What, dimension_name};
use crate::columns::{body_of, lifecycle_number};
use crate::lookup::RecordPlace;

/// A license as it is to be.
#[derive(Debug, Clone, Copy)]
pub struct Rewrite<'r> {
    /// Which license.
    pub key: &'r LicenseKey,
    /// Where the generation must stand: what is to be written is what the log gives up to there.
    pub at: &'r Position,
    /// The license, folded from nothing; none: the log has nothing of it, and nothing stays of it.
    pub license: Option<&'r LicenseChange>,
    /// What is to be added to the kept digest of its bucket.
    pub digest: (u8, RowDigest),
    /// What is to be added to kept numbers.
    pub numbers: &'r Numbers,
    /// Letters of its records that are at fault by themselves.
    pub letters: &'r LettersAsTheyAre,
}

/// Letters of records that are at fault by themselves, as they are to be; others are left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LettersAsTheyAre {
    /// Those that are to be like this; where there is one, what was done about it stays.
    pub put: Vec<Rejected>,
    /// Where the records lie of which there is to be none.
    pub gone: Vec<RecordPlace>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewritten {
    /// It is as it was to be.
    Done,
    /// The generation stands elsewhere by now: nothing is written.
    Moved,
}

/// What of a letter is taken over from the one that was written beside it: all but what was done about it.
pub(crate) const LETTER_IS_AS: &str = "timestamp_ms = n.timestamp_ms, reason = n.reason, error = n.error,
     key = n.key, value = n.value, headers = n.headers, request_id = n.request_id, tenant_id = n.tenant_id,
     license_id = n.license_id, license = null, body = null";

/// Whether two positions are the same place. A partition that was never read may be named or not.
pub(crate) fn is_same_place(one: &Position, other: &Position) -> bool {
    one.covers(other) && other.covers(one)
}

/// What a row says that was just made for a license, before its state is written.
pub(crate) fn nothing_yet() -> LicensePast {
    LicensePast {
        state: Some(LicenseState::default()),
        ..LicensePast::default()
    }
}

/// A conflict that has a row.
pub(crate) struct KnownConflict {
    pub(crate) id: i64,
    pub(crate) event_id: Uuid,
    pub(crate) body: Vec<u8>,
}

/// Keeps the rows of conflicts that there are, with what was done about them, and names those that are to go.
pub(crate) fn keep_conflicts(change: &mut LicenseChange, known: Vec<KnownConflict>) -> Conflicts {
    let mut rows = Conflicts::default();
    for row in known {
        let mut each = change.conflicts.iter_mut();
        let same = each.find_map(|conflict| match conflict {
            ConflictChange::Opened(said)
                if said.event.event_id == row.event_id && body_of(&said.event) == row.body =>
            {
                let said = said.clone();
                *conflict = ConflictChange::Moved(said);
                Some(())
            }
            ConflictChange::Opened(_) | ConflictChange::Moved(_) | ConflictChange::Closed(_) => {
                None
            }
        });
        match same {
            Some(()) => rows.kept.push(row.id),
            None => rows.gone.push(row.id),
        }
    }
    rows
}

/// Rows of conflicts, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Conflicts {
    pub(crate) kept: Vec<i64>,
    pub(crate) gone: Vec<i64>,
}

/// Which row a number is kept in, as columns have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberRow<'w> {
    Total {
        dimension: i64,
        name: &'w str,
        lifecycle: i64,
    },
    TotalDay {
        dimension: i64,
        name: &'w str,
        day: i64,
    },
    Minute {
        minute: i64,
        kind: i64,
    },
    Day {
        day: i64,
        kind: i64,
    },
}

impl<'w> NumberRow<'w> {
    /// None: no row of ours has such a name.
    pub(crate) fn of(what: &'w What) -> Option<Self> {
        Some(match what {
            What::Total {
                dimension,
                name,
                lifecycle,
                ..
            } => Self::Total {
                dimension: dimension_number(dimension)?,
                name,
                lifecycle: {
                    let mut all = Lifecycle::ALL.into_iter();
                    lifecycle_number(all.find(|it| it.name() == lifecycle)?)
                },
            },
            What::TotalDay {
                dimension,
                name,
                day,
                ..
            } => Self::TotalDay {
                dimension: dimension_number(dimension)?,
                name,
                day: *day,
            },
            What::EventMinute { minute, kind, .. } => Self::Minute {
                minute: *minute,
                kind: kind_number(kind)?,
            },
            What::EventDay { day, kind, .. } => Self::Day {
                day: *day,
                kind: kind_number(kind)?,
            },
        })
    }

    /// Whether it is of a minute that is not kept any more.
    pub(crate) fn is_past(&self, kept_from: i64) -> bool {
        matches!(self, Self::Minute { minute, .. } if *minute < kept_from)
    }
}

fn dimension_number(name: &str) -> Option<i64> {
    let mut all = Dimension::ALL.into_iter();
    all.find(|it| dimension_name(*it) == name)
        .map(|it| it as i64)
}

fn kind_number(name: &str) -> Option<i64> {
    let mut all = EventKind::ALL.iter();
    all.find(|it| it.name() == name).map(|it| *it as i64)
}
