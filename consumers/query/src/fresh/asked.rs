//! How fresh a request wants its answer, as its headers say it.
//!
//! | header | means | without it |
//! |---|---|---|
//! | `X-Min-Position`, or `?min_position=` | everything below it was dealt with | nothing is asked |
//! | `X-Max-Staleness-Ms` | the interactive lane's lag is no more | nothing is asked |
//! | `X-On-Stale` | `wait`, `fail` or `serve` | `wait` |
//! | `X-Wait-Ms` | how long at most | 1000 |

use std::time::Duration;

use axum::http::{HeaderMap, Uri};
use licenseflow_core::contract::Position;
use licenseflow_runtime::http::Problem;
use licenseflow_store::lookup::Freshness;

use crate::answer::Failure;
use crate::params::{MIN_POSITION, pairs};

const WAIT_DEFAULT: Duration = Duration::from_millis(1000);
const WAIT_MS_MAX: u64 = 15_000;

/// What happens where the model is not as fresh as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnStale {
    /// Wait for it, then 504.
    Wait,
    /// 412 at once.
    Fail,
    /// 200, marked as stale.
    Serve,
}

/// How fresh a request wants its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AskedFreshness {
    pub(crate) position: Position,
    pub(crate) staleness_ms_max: Option<i64>,
    pub(crate) on_stale: OnStale,
    pub(crate) wait_max: Duration,
    /// The license that is asked for: a record of it that waits makes it stale.
    pub(crate) license_id: Option<String>,
}

impl AskedFreshness {
    pub(crate) fn of(headers: &HeaderMap, uri: &Uri) -> Result<Self, Failure> {
        let mut position = Position::default();
        if let Some(text) = one(headers, "X-Min-Position")? {
            raise(&mut position, "X-Min-Position", text)?;
        }
        for (name, text) in pairs(uri)? {
            if name == MIN_POSITION {
                raise(&mut position, MIN_POSITION, &text)?;
            }
        }
        let staleness = one(headers, "X-Max-Staleness-Ms")?
            .map(|text| number("X-Max-Staleness-Ms", text, u64::MAX))
            .transpose()?;
        let wait_ms = one(headers, "X-Wait-Ms")?
            .map(|text| number("X-Wait-Ms", text, WAIT_MS_MAX))
            .transpose()?;
        let on_stale = one(headers, "X-On-Stale")?.map(on_stale).transpose()?;
        Ok(Self {
            position,
            staleness_ms_max: staleness.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            on_stale: on_stale.unwrap_or(OnStale::Wait),
            wait_max: wait_ms.map_or(WAIT_DEFAULT, Duration::from_millis),
            license_id: license_id(uri.path()),
        })
    }

    /// The same, and this position too, which staleness is never served for.
    pub(crate) fn reaching(mut self, position: &Position) -> Self {
        self.position.raise_to(position);
        if self.on_stale == OnStale::Serve {
            self.on_stale = OnStale::Fail;
        }
        self
    }

    /// Whether anything is asked at all.
    pub(crate) fn asks(&self) -> bool {
        !self.position.is_empty() || self.staleness_ms_max.is_some()
    }

    /// Whether the model is as fresh as asked, at this time in milliseconds UTC. It is not as long as a record
    /// of the license that is asked for, below the position, waits for another try.
    pub(crate) fn met_by(&self, freshness: &Freshness, now: i64) -> bool {
        let fresh = |max: i64| freshness.lag_ms(now).is_some_and(|lag| lag <= max);
        let waits = || {
            let license_id = self.license_id.as_deref();
            license_id.is_some_and(|it| freshness.waits_for(it, &self.position))
        };
        freshness.position().covers(&self.position)
            && self.staleness_ms_max.is_none_or(fresh)
            && !waits()
    }
}

/// The license that a path names.
fn license_id(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/v1/licenses/")?;
    let id = rest.split('/').next()?;
    let id = percent_encoding::percent_decode_str(id)
        .decode_utf8()
        .ok()?;
    Some(id.into_owned())
}

fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Failure> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| bad(name, "is not ASCII text"))?;
            Ok(Some(text.trim()))
        }
        (Some(_), Some(_)) => Err(bad(name, "stands more than once")),
    }
}

fn raise(position: &mut Position, name: &str, text: &str) -> Result<(), Failure> {
    let asked: Position = text
        .parse()
        .map_err(|error| bad(name, &format!("{error}")))?;
    position.raise_to(&asked);
    Ok(())
}

fn number(name: &str, text: &str, most: u64) -> Result<u64, Failure> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number <= most);
    number.ok_or_else(|| match most {
        u64::MAX => bad(name, "expected a whole number of milliseconds"),
        most => bad(
            name,
            &format!("expected a whole number of milliseconds, at most {most}"),
        ),
    })
}

fn on_stale(text: &str) -> Result<OnStale, Failure> {
    match text.to_ascii_lowercase().as_str() {
        "wait" => Ok(OnStale::Wait),
        "fail" => Ok(OnStale::Fail),
        "serve" => Ok(OnStale::Serve),
        _ => Err(bad("X-On-Stale", "expected wait, fail or serve")),
    }
}

fn bad(name: &str, error: &str) -> Failure {
    let code = match name {
        MIN_POSITION => "invalid_parameter",
        _ => "invalid_header",
    };
    Failure::from(Problem::bad_request(code, format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use licenseflow_core::contract::Lane;
    use licenseflow_store::lookup::{PartitionFreshness, WaitingKey};

    use super::*;

    fn asked(
        headers: &[(&'static str, &'static str)],
        query: &str,
    ) -> Result<AskedFreshness, Failure> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        AskedFreshness::of(&map, &format!("/v1/position{query}").parse().unwrap())
    }

    fn at(next_offset: i64, caught_up_at: Option<i64>) -> Freshness {
        Freshness {
            generation: 1,
            partitions: vec![PartitionFreshness {
                lane: Lane::Interactive,
                partition: 0,
                next_offset,
                end_offset: None,
                caught_up_at,
                last_timestamp: None,
            }],
            ..Freshness::default()
        }
    }

    #[test]
    fn header_and_parameter_ask_for_both_positions() {
        let asked = asked(
            &[("x-min-position", "e:0:5")],
            "?min_position=e%3A0%3A3,b:1:2",
        )
        .unwrap();
        assert_eq!(asked.position.to_string(), "e:0:5,b:1:2");
    }

    #[test]
    fn without_headers_nothing_is_asked_and_waiting_is_the_way() {
        let asked = asked(&[], "").unwrap();
        assert!(!asked.asks());
        assert_eq!(asked.on_stale, OnStale::Wait);
        assert_eq!(asked.wait_max, Duration::from_millis(1000));
    }

    #[test]
    fn bad_values_are_refused_with_the_headers_name() {
        for (name, value) in [
            ("x-min-position", "e:0"),
            ("x-on-stale", "maybe"),
            ("x-wait-ms", "15001"),
            ("x-wait-ms", "-1"),
            ("x-wait-ms", "+1"),
            ("x-max-staleness-ms", "1.5"),
            ("x-max-staleness-ms", ""),
        ] {
            let problem = asked(&[(name, value)], "").unwrap_err();
            let detail = problem.detail().to_ascii_lowercase();
            assert!(detail.starts_with(name), "{detail}");
        }
        assert!(asked(&[], "?min_position=x:0:1").is_err());
        assert!(asked(&[("x-wait-ms", "1"), ("x-wait-ms", "2")], "").is_err());
    }

    #[test]
    fn a_position_is_met_from_its_offset_on() {
        let asked = asked(&[("x-min-position", "e:0:5")], "").unwrap();
        assert!(!asked.met_by(&at(4, None), 0));
        assert!(asked.met_by(&at(5, None), 0));
    }

    #[test]
    fn a_record_of_the_license_that_waits_below_the_position_makes_it_stale() {
        let waits_at = |offset| Freshness {
            waiting: [WaitingKey {
                place: (Lane::Interactive, 0, offset),
                key: b"L:1".to_vec().into(),
            }]
            .into(),
            ..at(9, None)
        };
        let meets = |path: &str, freshness: &Freshness| {
            let mut map = HeaderMap::new();
            map.append("x-min-position", HeaderValue::from_static("e:0:5"));
            let asked = AskedFreshness::of(&map, &path.parse().unwrap()).unwrap();
            asked.met_by(freshness, 0)
        };
        for path in ["/v1/licenses/L:1", "/v1/licenses/L%3A1/devices"] {
            assert!(!meets(path, &waits_at(4)), "{path}");
            assert!(meets(path, &waits_at(5)), "above the position");
        }
        for path in ["/v1/licenses/L:2", "/v1/position", "/v1/licenses"] {
            assert!(meets(path, &waits_at(4)), "{path}");
        }
    }

    #[test]
    fn staleness_is_the_lag_and_unknown_lag_is_stale() {
        let asked = asked(&[("x-max-staleness-ms", "100")], "").unwrap();
        assert!(asked.met_by(&at(0, Some(900)), 1000));
        assert!(!asked.met_by(&at(0, Some(899)), 1000));
        assert!(!asked.met_by(&at(0, None), 1000));
        assert!(!asked.met_by(&Freshness::default(), 1000));
    }
}
