//! The letters that something is to be done with, and where the next ones of a filter begin.

use axum::http::Uri;
use licenseflow_store::lookup::RecordPlace;
use licenseflow_store::{LetterQuery, LetterRow};

use super::AdminState;
use super::asked::{Filter, Which, invalid};
use super::shapes::{LetterDealtWith, LettersDealtWith};
use crate::answer::Failure;
use crate::cursor::Cursor;
use crate::links::{self, Links};
use crate::store::problem_of;

/// A letter that was asked for.
#[derive(Debug)]
pub(super) enum Chosen {
    There(Box<LetterRow>),
    Missing(RecordPlace),
}

/// What was asked for, and where the last request with this filter ended.
#[derive(Debug)]
pub(super) struct Choice {
    which: Which,
    after: Option<i64>,
    limit: usize,
}

impl Choice {
    /// Reads the cursor of an answer before.
    pub(super) fn of(which: Which, cursor: Option<&str>, limit: usize) -> Result<Self, Failure> {
        let after = match (&which, cursor) {
            (_, None) => None,
            (Which::Filter(filter), Some(text)) => {
                let cursor = Cursor::<Filter, i64>::decode(text, LIST)
                    .ok()
                    .filter(|cursor| cursor.asked == filter.0);
                let error = "it is not one that an answer with this filter gave";
                let cursor = cursor.ok_or_else(|| invalid("/cursor", error))?;
                Some(cursor.after)
            }
            (Which::Places(_), Some(_)) => {
                let error = "there is none of letters that are named one by one";
                return Err(invalid("/cursor", error));
            }
        };
        Ok(Self {
            which,
            after,
            limit,
        })
    }

    /// The letters, and the row behind which the next ones begin. Blocks.
    pub(super) fn chosen(&self, state: &AdminState) -> Result<(Vec<Chosen>, Option<i64>), Failure> {
        let letters = &state.options().letters;
        match &self.which {
            Which::Filter(filter) => {
                let page = letters.letters(&LetterQuery {
                    after: self.after,
                    limit: self.limit,
                    ..filter.1.clone()
                });
                let page = page.map_err(|error| problem_of(&error))?;
                let there = page.items.into_iter().map(Box::new).map(Chosen::There);
                Ok((there.collect(), page.next))
            }
            Which::Places(places) => {
                let each = places.iter().map(|place| {
                    let found = letters.letter(*place);
                    let found = found.map_err(|error| problem_of(&error))?;
                    Ok(match found {
                        Some((row, _)) => Chosen::There(Box::new(row)),
                        None => Chosen::Missing(*place),
                    })
                });
                Ok((each.collect::<Result<_, Failure>>()?, None))
            }
        }
    }

    /// Whether the letters are those of a filter, of which a cursor leads to the next ones.
    pub(super) fn is_filter(&self) -> bool {
        matches!(self.which, Which::Filter(_))
    }

    /// What became of the letters, so many of them done, and the cursor of the next request.
    pub(super) fn answer(
        &self,
        uri: &Uri,
        dry_run: bool,
        (items, done): (Vec<LetterDealtWith>, usize),
        next: Option<i64>,
    ) -> Result<LettersDealtWith, Failure> {
        Ok(LettersDealtWith {
            items,
            done,
            dry_run,
            next_cursor: self.cursor(next)?,
            _links: Links::itself(links::asked(uri)),
        })
    }

    fn cursor(&self, next: Option<i64>) -> Result<Option<String>, Failure> {
        let (Which::Filter(filter), Some(after)) = (&self.which, next) else {
            return Ok(None);
        };
        let cursor = Cursor {
            of: LIST.to_owned(),
            asked: filter.0.clone(),
            at: 0,
            after,
        };
        cursor.encode().map(Some)
    }
}

/// Both deeds pick letters in the same order.
const LIST: &str = "admin/dlq:";
