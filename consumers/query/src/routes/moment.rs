//! Another time of asking, `?as_of=` and `?known_at=`: the license and its devices are folded again from
//! the events that were there then.

use std::sync::Arc;

use licenseflow_core::contract::LicenseKey;
use licenseflow_core::contract::time::format_rfc3339;
use licenseflow_core::{FoldedLicense, Moment};
use licenseflow_runtime::http::Problem;
use licenseflow_store::lookup::{Freshness, Read};

use super::{by_position, found, question};
use crate::answer::Failure;
use crate::params::Params;
use crate::state::QueryState;
use crate::store::Weigh;

/// The parameters' names.
pub(super) const AS_OF: &str = "as_of";
pub(super) const KNOWN_AT: &str = "known_at";

/// A license with more events is not folded again.
const EVENTS_MAX: usize = 100_000;

/// The time that is asked about.
pub(super) fn moment(params: &Params) -> Result<Moment, Failure> {
    Ok(Moment {
        as_of: params.time(AS_OF)?,
        known_at: params.time(KNOWN_AT)?,
    })
}

/// What the store's history comes to.
enum Then {
    TooLong,
    Nothing,
    License(Arc<FoldedLicense>),
}

impl Weigh for Then {
    fn bytes(&self) -> usize {
        match self {
            Then::License(license) => license.bytes(),
            Then::TooLong | Then::Nothing => 0,
        }
    }
}

/// The license at that time.
pub(super) async fn folded(
    state: &QueryState,
    key: &LicenseKey,
    moment: Moment,
) -> Result<(Arc<FoldedLicense>, Freshness), Failure> {
    let of = key.clone();
    let question = question("history", key, moment);
    // Folded where the store is read: a long history takes a moment that no other request should wait.
    let read = state.store.share(question, by_position, move |lookup| {
        let read = lookup.history(&of, EVENTS_MAX)?;
        let then = read.value.map(|history| {
            if !history.is_whole {
                return Then::TooLong;
            }
            match moment.fold(&history.events) {
                Some(license) => Then::License(Arc::new(license)),
                None => Then::Nothing,
            }
        });
        Ok(Read {
            value: then,
            freshness: read.freshness,
        })
    });
    let read = read.await?;
    let then = found(&read, key)?;
    let freshness = read.freshness.clone();
    match then {
        Then::License(license) => Ok((Arc::clone(license), freshness)),
        Then::TooLong => Err(Failure::read(too_long(key), freshness)),
        Then::Nothing => Err(Failure::read(nothing(key, moment), freshness)),
    }
}

fn too_long(key: &LicenseKey) -> Problem {
    let detail = format!(
        "license {} has more than {EVENTS_MAX} events, or they hold too many bytes: what it was at another \
         time is not folded again",
        key.license_id
    );
    Problem::unprocessable("history_too_long", detail)
}

fn nothing(key: &LicenseKey, moment: Moment) -> Problem {
    let part =
        |words: &str, at: Option<i64>| at.map(|at| format!("{words} {}", format_rfc3339(at)));
    let parts = [
        part("occurred by", moment.as_of),
        part("was recorded by", moment.known_at),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let detail = format!(
        "license {} has no event that {}, heartbeats aside",
        key.license_id,
        parts.join(" and ")
    );
    Problem::not_found("no_event_by_then", detail)
}
