//! What all lists have alike: the page that is asked for, and the form of its answer.

use axum::http::Uri;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::Failure;
use crate::cursor::Cursor;
use crate::links::{self, Links};
use crate::params::Params;

/// A page of a list as it is answered.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    _links: Links,
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// A page of a list that is asked for: `of` names the list, `asked` its filters and sort.
#[derive(Debug)]
pub(crate) struct Asked<A, K> {
    pub(crate) of: String,
    pub(crate) asked: A,
    pub(crate) at: i64,
    pub(crate) after: Option<K>,
    pub(crate) limit: usize,
    /// Parameters of the form of the answer, as they go on in the next page's address.
    pub(crate) kept: String,
}

impl<A, K> Asked<A, K>
where
    A: Clone + Default + PartialEq + Serialize + DeserializeOwned,
    K: Serialize + DeserializeOwned,
{
    /// The page of these parameters. Together with a cursor the filters are left out, or are those
    /// of its list.
    pub(crate) fn of(of: String, asked: A, params: &Params, now: i64) -> Result<Self, Failure> {
        let limit = params.limit()?;
        let Some(text) = params.text("cursor") else {
            return Ok(Self {
                of,
                asked,
                at: now,
                after: None,
                limit,
                kept: String::new(),
            });
        };
        let cursor = Cursor::<A, K>::decode(text, &of)?;
        if asked != A::default() && asked != cursor.asked {
            return Err(crate::params::invalid(
                "cursor",
                "it belongs to other filters or another sort; begin again without it",
            ));
        }
        Ok(Self {
            of,
            asked: cursor.asked,
            at: cursor.at,
            after: Some(cursor.after),
            limit,
            kept: String::new(),
        })
    }

    /// The first page of a list that stands inside another answer.
    pub(crate) fn first(of: String, asked: A, at: i64, limit: usize) -> Self {
        Self {
            of,
            asked,
            at,
            after: None,
            limit,
            kept: String::new(),
        }
    }

    /// The same page, whose next one is asked for with these parameters too.
    #[must_use]
    pub(crate) fn keeping(self, kept: String) -> Self {
        Self { kept, ..self }
    }

    /// The answer: items, the cursor of the next page, links. `path` is the list's own.
    pub(crate) fn answer<T: Serialize>(
        &self,
        uri: &Uri,
        items: Vec<T>,
        next: Option<K>,
    ) -> Result<List<T>, Failure> {
        self.answer_at(&links::asked(uri), uri.path(), items, next)
    }

    /// As [`Asked::answer`], for a list that stands inside another answer.
    pub(crate) fn answer_at<T: Serialize>(
        &self,
        itself: &str,
        path: &str,
        items: Vec<T>,
        next: Option<K>,
    ) -> Result<List<T>, Failure> {
        let mut links = Links::itself(itself);
        let mut next_cursor = None;
        if let Some(after) = next {
            let cursor = Cursor {
                of: self.of.clone(),
                asked: self.asked.clone(),
                at: self.at,
                after,
            };
            let text = cursor.encode()?;
            let (limit, kept) = (self.limit, &self.kept);
            links = links.and("next", format!("{path}?limit={limit}{kept}&cursor={text}"));
            next_cursor = Some(text);
        }
        Ok(List {
            _links: links,
            items,
            next_cursor,
        })
    }
}
