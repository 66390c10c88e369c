//! The parameters of a query string, strictly: each at most once, none that the route does not know.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::Uri;
use licenseflow_core::contract::limits::valid_id;
use licenseflow_core::contract::time::parse_rfc3339;
use licenseflow_runtime::http::Problem;

use crate::answer::Failure;

/// Taken on every GET; see [`crate::fresh`].
pub(crate) const MIN_POSITION: &str = "min_position";

/// As many items as a page has where nothing is said.
const LIMIT_DEFAULT: usize = 50;

/// As many items as a page may have.
pub(crate) const LIMIT_MAX: usize = 1000;

/// What stands behind the question mark.
#[derive(Debug)]
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads the parameters, of which the route knows these and `min_position`.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Failure> {
        let mut all = known.to_vec();
        all.push(MIN_POSITION);
        Self::alone(uri, &all)
    }

    /// Reads the parameters, of which the route knows these and no other.
    pub(crate) fn alone(uri: &Uri, known: &[&str]) -> Result<Self, Failure> {
        let pairs = pairs(uri)?;
        let is_known = |name: &str| known.contains(&name);
        let unknown: Vec<&str> = pairs
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !is_known(name))
            .collect();
        if !unknown.is_empty() {
            let knows = match known {
                [] => "none".to_owned(),
                known => known.join(", "),
            };
            let unknown = unknown.join("`, `");
            return Err(Problem::bad_request(
                "unknown_parameter",
                format!("there is no parameter `{unknown}` here; this route knows {knows}"),
            )
            .into());
        }
        let mut params = BTreeMap::new();
        for (name, value) in pairs {
            if params.contains_key(&name) {
                return Err(invalid(&name, "stands more than once"));
            }
            params.insert(name, value);
        }
        Ok(Self(params))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// An identifier by the contract's rule.
    pub(crate) fn id(&self, name: &str) -> Result<Option<String>, Failure> {
        self.parsed(name, |text| {
            let taken = valid_id(text).then(|| text.to_owned());
            taken.ok_or_else(|| NOT_AN_ID.to_owned())
        })
    }

    /// A time, in microseconds UTC.
    pub(crate) fn time(&self, name: &str) -> Result<Option<i64>, Failure> {
        self.parsed(name, |text| {
            let hint = if text.contains(' ') {
                "; a + is written %2B in a query string"
            } else {
                ""
            };
            parse_rfc3339(text).map_err(|error| format!("{error}{hint}"))
        })
    }

    /// A word that stands for something; `words` says which there are.
    pub(crate) fn word<T>(
        &self,
        name: &str,
        words: &str,
        of_name: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        self.parsed(name, |text| {
            of_name(text).ok_or_else(|| format!("expected {words}"))
        })
    }

    /// How many items the page has.
    pub(crate) fn limit(&self) -> Result<usize, Failure> {
        let limit = self.parsed("limit", |text| {
            let number = text
                .parse()
                .ok()
                .filter(|number| (1..=LIMIT_MAX).contains(number));
            number.ok_or_else(|| format!("expected a number from 1 to {LIMIT_MAX}"))
        })?;
        Ok(limit.unwrap_or(LIMIT_DEFAULT))
    }

    fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        let parsed = self.text(name).map(parse).transpose();
        parsed.map_err(|error| invalid(name, &error))
    }
}

/// What an id must be, in the words of an answer.
pub(crate) const NOT_AN_ID: &str =
    "expected 1 to 128 of A-Z a-z 0-9 . _ : - beginning with a letter or a digit";

/// Every name and value, decoded, as they stand.
pub(crate) fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Failure> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let Query(pairs) = pairs
        .map_err(|_| Problem::bad_request("invalid_query", "the query string cannot be read"))?;
    Ok(pairs)
}

/// A parameter whose value cannot be taken.
pub(crate) fn invalid(name: &str, error: &str) -> Failure {
    let detail = format!("{name}: {error}");
    Failure::from(Problem::bad_request("invalid_parameter", detail).member("parameter", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Result<Params, Failure> {
        let uri: Uri = format!("/v1/licenses?{query}").parse().unwrap();
        Params::of(&uri, &["limit", "from", "plan"])
    }

    #[test]
    fn an_unknown_parameter_is_named_with_those_that_are_known() {
        let problem = params("limit=1&limits=2").unwrap_err();
        let detail = problem.detail();
        assert!(
            detail.contains("`limits`") && detail.contains("plan"),
            "{detail}"
        );
    }

    #[test]
    fn a_parameter_stands_once() {
        assert!(params("limit=1&limit=1").is_err());
    }

    #[test]
    fn the_limit_is_bounded() {
        assert_eq!(params("").unwrap().limit().unwrap(), 50);
        assert_eq!(params("limit=1000").unwrap().limit().unwrap(), 1000);
        for query in ["limit=0", "limit=1001", "limit=-1", "limit=", "limit=ten"] {
            assert!(params(query).unwrap().limit().is_err(), "{query}");
        }
    }

    #[test]
    fn a_plus_that_was_not_written_as_such_is_explained() {
        let problem = params("from=2026-01-31T10:00:00+01:00")
            .unwrap()
            .time("from")
            .unwrap_err();
        assert!(problem.detail().contains("%2B"));
        let encoded = params("from=2026-01-31T10:00:00%2B01:00").unwrap();
        assert_eq!(encoded.time("from").unwrap(), Some(1_769_850_000_000_000));
    }

    #[test]
    fn an_id_keeps_the_rule() {
        assert_eq!(
            params("plan=a.b").unwrap().id("plan").unwrap().as_deref(),
            Some("a.b")
        );
        assert!(params("plan=a%20b").unwrap().id("plan").is_err());
    }
}
