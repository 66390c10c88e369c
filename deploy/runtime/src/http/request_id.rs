//! The request id: which of the client's own are taken, and how one is made.
//! It is the thread that leads from an HTTP answer through log lines and record
//! headers to the journey of the request.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// The header in which a request id comes and is echoed.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken from a client, in bytes.
pub const LENGTH_MAX: usize = 128;

/// The id of one HTTP request, 1–128 visible ASCII characters. It is found in
/// the extensions of every request that passed `harden`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Takes an id that keeps the rule (1–128 characters from U+0021 to U+007E).
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=LENGTH_MAX).contains(&text.len());
        let visible = text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        (fits && visible).then(|| Self(text.into()))
    }

    /// Makes a new id, a UUIDv7, so that ids sort by the time they were made.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }

    /// The client's id where it keeps the rule and stands once, else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(HEADER).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value
                .to_str()
                .ok()
                .and_then(Self::parse)
                .unwrap_or_else(Self::generate),
            (None, _) | (Some(_), Some(_)) => Self::generate(),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header value. Visible ASCII always is one.
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("invalid"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_ascii_up_to_128_characters_is_taken() {
        let longest = "~".repeat(128);
        for text in ["a", "!", "order-42/β".split('β').next().unwrap(), &longest] {
            assert_eq!(RequestId::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn blanks_controls_other_scripts_and_too_long_ones_are_not_taken() {
        for text in ["", " ", "a b", "a\n", "\u{7f}", "é", &"a".repeat(129)] {
            assert_eq!(RequestId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_id_that_stands_twice_is_replaced_by_a_new_one() {
        let mut headers = HeaderMap::new();
        headers.append(HEADER, HeaderValue::from_static("one"));
        assert_eq!(RequestId::of(&headers).as_str(), "one");
        headers.append(HEADER, HeaderValue::from_static("two"));
        let made = RequestId::of(&headers);
        assert_eq!(made.as_str().len(), 36);
    }

    #[test]
    fn made_ids_sort_by_time() {
        let made: Vec<_> = (0..100)
            .map(|_| RequestId::generate().as_str().to_owned())
            .collect();
        assert!(made.is_sorted());
    }
}
