//! Dead letters as an operator has them: what was given up on, and what was done about it since.
//!
//! They are read and marked beside the writer that applies batches. A mark is no part of the read models'
//! rows, and so of no digest: whatever is read of the log again leaves it as it is. Knows no Kafka; whoever
//! redrives a letter sends it first and marks it then.

use licenseflow_avro::headers::RequestId;
use licenseflow_avro::{Coordinates, LicenseKey, Reason};
use uuid::Uuid;

use crate::Error;
use crate::columns::{Columns, coordinates, headers_of_blob, needed};
use crate::lookup::{Page, RecordPlace};
use crate::read_model::{Letter, LetterContent};

/// A letter that is open, in the words of both stores: nobody has resolved it, and it was not redriven.
pub(crate) const OPEN: &str = "resolved_at_ms is null and redriven_at_ms is null";

/// So many rows are looked at for a page; reached, the page is short and goes on.
pub(crate) const VISIT_AT_MOST: usize = 10_000;

/// The letters of one generation. Calls block.
pub trait DeadLetters: Send + Sync {
    /// A page of letters, the oldest first; its key is the row where it ended.
    ///
    /// # Errors
    /// [`Error::Away`] and [`Error::Broken`], as of every method here.
    fn letters(&self, query: &LetterQuery) -> Result<Page<LetterRow, i64>, Error>;

    /// The letter of a record, with the record as far as the store has it; none: it was not rejected.
    ///
    /// # Errors
    /// As above.
    fn letter(&self, place: RecordPlace) -> Result<Option<(LetterRow, LetterContent)>, Error>;

    /// Closes letters for this reason. Only open ones count, and how many these were is the answer; `now`
    /// in milliseconds UTC.
    ///
    /// # Errors
    /// As above.
    fn mark_resolved(&self, ids: &[i64], reason: &str, now: i64) -> Result<usize, Error>;

    /// Notes that the brokers have these letters' records in their lanes again. A conflict stays open: its
    /// record would be the same conflict again.
    ///
    /// # Errors
    /// As above.
    fn mark_redriven(&self, ids: &[i64], now: i64) -> Result<(), Error>;
}

/// What was done about a letter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LetterState {
    /// Nothing yet.
    #[default]
    Open,
    /// Somebody closed it.
    Resolved,
    /// Its record is in its lane again, and it was not closed.
    Redriven,
}

impl LetterState {
    /// Every state.
    pub const ALL: [LetterState; 3] = [Self::Open, Self::Resolved, Self::Redriven];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Redriven => "redriven",
        }
    }
}

/// Which letters are asked for. All filters must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterQuery {
    /// What was done about them; none: whatever it was.
    pub state: Option<LetterState>,
    /// Why they were given up on.
    pub reason: Option<Reason>,
    /// The tenant that they name.
    pub tenant_id: Option<String>,
    /// The license that they name.
    pub license_id: Option<String>,
    /// The request that sent them.
    pub request_id: Option<RequestId>,
    /// Rejected at this or later, in milliseconds UTC.
    pub from: Option<i64>,
    /// Rejected before this, in milliseconds UTC.
    pub to: Option<i64>,
    /// The row where the last page ended.
    pub after: Option<i64>,
    /// The most that a page has.
    pub limit: usize,
}

impl LetterQuery {
    /// The license that is asked for, where both halves of its name are.
    pub(crate) fn license(&self) -> Option<(&str, &str)> {
        Some((self.tenant_id.as_deref()?, self.license_id.as_deref()?))
    }

    fn takes(&self, row: &LetterRow) -> bool {
        let names = row.license.as_ref();
        let names_tenant =
            |tenant: &String| names.is_some_and(|license| license.tenant_id == *tenant);
        let names_license =
            |license_id: &String| names.is_some_and(|license| license.license_id == *license_id);
        self.state.is_none_or(|state| state == row.state())
            && self.reason.is_none_or(|reason| reason == row.reason)
            && self.tenant_id.as_ref().is_none_or(names_tenant)
            && self.license_id.as_ref().is_none_or(names_license)
            && (self.request_id.is_none() || self.request_id == row.request_id)
            && self.from.is_none_or(|from| row.rejected_at >= from)
            && self.to.is_none_or(|to| row.rejected_at < to)
    }
}

/// A letter without its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterRow {
    /// The row.
    pub id: i64,
    /// Where the record lies.
    pub at: Coordinates,
    /// Why it was given up on.
    pub reason: Reason,
    /// In words.
    pub error: String,
    /// The license, where the record decodes far enough to name it and its tenant.
    pub license: Option<LicenseKey>,
    /// The event that a conflict is about.
    pub event_id: Option<Uuid>,
    /// The request that sent it; none: it is known by its coordinates.
    pub request_id: Option<RequestId>,
    /// When it was rejected, in milliseconds UTC.
    pub rejected_at: i64,
    /// When the dead-letter topic had it, in milliseconds UTC.
    pub sent_at: Option<i64>,
    /// When it was closed, in milliseconds UTC, and why.
    pub resolved: Option<(i64, String)>,
    /// When it was redriven last, in milliseconds UTC.
    pub redriven_at: Option<i64>,
    /// How often it was redriven.
    pub redrives: i64,
}

impl LetterRow {
    /// What was done about it.
    #[must_use]
    pub fn state(&self) -> LetterState {
        if self.resolved.is_some() {
            LetterState::Resolved
        } else if self.redriven_at.is_some() {
            LetterState::Redriven
        } else {
            LetterState::Open
        }
    }
}

/// An open letter, as the license that it names shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenLetter {
    /// Where the record lies.
    pub at: Coordinates,
    /// Why it was given up on.
    pub reason: Reason,
    /// Since when, in milliseconds UTC.
    pub since: i64,
}

/// As many open letters as a license shows.
pub const OPEN_LETTERS_MAX: usize = 10;

/// The columns that [`letter_row`] reads; `{offset}` is the offset's own in each store.
pub(crate) fn letter_columns(offset: &str) -> String {
    format!(
        "id, timestamp_ms, lane, partition, {offset}, reason, error, tenant_id, license_id, event_id, request_id, \
         rejected_at_ms, sent_at_ms, resolved_at_ms, resolved_reason, redriven_at_ms, redrives"
    )
}

/// How many columns [`letter_columns`] names.
pub(crate) const LETTER_COLUMN_COUNT: usize = 17;

/// Reads [`letter_columns`].
pub(crate) fn letter_row(row: &impl Columns) -> Result<LetterRow, Error> {
    let reason = reason(row, 5)?;
    let resolved = match (row.integer(13)?, row.text(14)?) {
        (Some(at), why) => Some((at, why.unwrap_or_default().to_owned())),
        (None, _) => None,
    };
    let event_id = row.bytes(9)?.map(Uuid::from_slice).transpose();
    Ok(LetterRow {
        id: needed(row.integer(0)?)?,
        at: coordinates(row, 1)?,
        reason,
        error: needed(row.text(6)?)?.to_owned(),
        license: match (row.text(7)?, row.text(8)?) {
            (Some(tenant_id), Some(license_id)) => Some(LicenseKey {
                tenant_id: tenant_id.to_owned(),
                license_id: license_id.to_owned(),
            }),
            (None | Some(_), None) | (None, Some(_)) => None,
        },
        event_id: event_id.map_err(|error| Error::Broken(Box::new(error)))?,
        request_id: row.text(10)?.and_then(RequestId::parse),
        rejected_at: needed(row.integer(11)?)?,
        sent_at: row.integer(12)?,
        resolved,
        redriven_at: row.integer(15)?,
        redrives: needed(row.integer(16)?)?,
    })
}

/// Reads [`letter_columns`] and behind them key, value and headers.
pub(crate) fn whole_letter(row: &impl Columns) -> Result<(LetterRow, LetterContent), Error> {
    let letter = letter_row(row)?;
    let content = content(row, letter.event_id.is_some(), LETTER_COLUMN_COUNT)?;
    Ok((letter, content))
}

/// The columns that [`open_letter`] reads.
pub(crate) fn open_letter_columns(offset: &str) -> String {
    format!("timestamp_ms, lane, partition, {offset}, reason, rejected_at_ms")
}

/// How many columns [`open_letter_columns`] names.
pub(crate) const OPEN_LETTER_COLUMN_COUNT: usize = 6;

/// Reads [`open_letter_columns`].
pub(crate) fn open_letter(row: &impl Columns) -> Result<OpenLetter, Error> {
    Ok(OpenLetter {
        at: coordinates(row, 0)?,
        reason: reason(row, 4)?,
        since: needed(row.integer(5)?)?,
    })
}

/// Reads why a record was given up on.
pub(crate) fn reason(row: &impl Columns, column: usize) -> Result<Reason, Error> {
    let name = needed(row.text(column)?)?;
    Reason::from_name(name).ok_or_else(|| Error::broken(format!("a letter with reason {name}")))
}

/// Reads a letter as it is sent: id, coordinates, reason, error, whether its record is to be read from the
/// lane, and the record.
pub(crate) fn letter(row: &impl Columns) -> Result<Letter, Error> {
    Ok(Letter {
        id: needed(row.integer(0)?)?,
        at: coordinates(row, 1)?,
        reason: reason(row, 5)?,
        error: needed(row.text(6)?)?.to_owned(),
        content: content(row, needed(row.boolean(7)?)?, 8)?,
    })
}

/// Reads key, value and headers, beginning at column `first`, where they are not to be read from the lane.
fn content(row: &impl Columns, is_in_the_lane: bool, first: usize) -> Result<LetterContent, Error> {
    if is_in_the_lane {
        return Ok(LetterContent::InTheLane);
    }
    Ok(LetterContent::Kept {
        key: row.bytes(first)?.map(<[u8]>::to_vec),
        value: row.bytes(first + 1)?.map(<[u8]>::to_vec),
        headers: headers_of_blob(row.bytes(first + 2)?.unwrap_or_default())?,
    })
}

/// A page that is being filled with what is asked for, of rows that come in their order.
pub(crate) struct Filling<'q> {
    query: &'q LetterQuery,
    items: Vec<LetterRow>,
    visited: usize,
    last: Option<i64>,
}

impl<'q> Filling<'q> {
    pub(crate) fn of(query: &'q LetterQuery) -> Self {
        Self {
            query,
            items: Vec::new(),
            visited: 0,
            last: query.after,
        }
    }

    /// The row after which the next ones are read.
    pub(crate) fn after(&self) -> i64 {
        self.last.unwrap_or(0)
    }

    /// Looks at a row; true: no other is to be looked at for this page.
    pub(crate) fn look_at(&mut self, row: LetterRow) -> bool {
        self.visited += 1;
        self.last = Some(row.id);
        if self.query.takes(&row) {
            self.items.push(row);
        }
        self.items.len() >= self.query.limit.max(1) || self.visited >= VISIT_AT_MOST
    }

    /// The page; where rows may be left, the next one begins behind the last that was looked at.
    pub(crate) fn page(self, is_over: bool) -> Page<LetterRow, i64> {
        Page {
            items: self.items,
            next: self.last.filter(|_| !is_over),
        }
    }
}
