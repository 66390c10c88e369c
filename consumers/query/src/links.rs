//! Addresses of this API, relative to its host.

use std::collections::BTreeMap;

use axum::http::Uri;
use serde::Serialize;

/// Links by their relation, as HAL has them.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Links(BTreeMap<&'static str, Link>);

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Link {
    Address {
        href: String,
    },
    /// Followed by posting there.
    Deed {
        href: String,
        method: &'static str,
    },
    /// Followed by sending an event.
    Event {
        event: &'static str,
        href: String,
        method: &'static str,
        optional: &'static [&'static str],
        required: &'static [&'static str],
    },
}

impl Links {
    /// Begins with the address of the thing itself.
    pub(crate) fn itself(address: impl Into<String>) -> Self {
        Self::default().and("self", address)
    }

    #[must_use]
    pub(crate) fn and(mut self, relation: &'static str, address: impl Into<String>) -> Self {
        let href = address.into();
        self.0.insert(relation, Link::Address { href });
        self
    }

    /// A link that is followed by posting there, with no more than what stands at the address's description.
    #[must_use]
    pub(crate) fn and_post(mut self, relation: &'static str, address: impl Into<String>) -> Self {
        let link = Link::Deed {
            href: address.into(),
            method: "POST",
        };
        self.0.insert(relation, link);
        self
    }

    /// A link that is followed by sending an event of this type, with data that must have the first of
    /// these members and may have the second.
    #[must_use]
    pub(crate) fn and_event(
        mut self,
        relation: &'static str,
        address: &str,
        event: &'static str,
        (required, optional): (&'static [&'static str], &'static [&'static str]),
    ) -> Self {
        let link = Link::Event {
            event,
            href: address.to_owned(),
            method: "POST",
            optional,
            required,
        };
        self.0.insert(relation, link);
        self
    }
}

/// The address that was asked.
pub(crate) fn asked(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or_else(|| uri.path().to_owned(), |it| it.as_str().to_owned())
}

/// The address of a license. Ids need no escape in a path.
pub(crate) fn license(license_id: &str) -> String {
    format!("/v1/licenses/{license_id}")
}

/// The address of a customer.
pub(crate) fn customer(customer_id: &str) -> String {
    format!("/v1/customers/{customer_id}")
}

/// The address of a request's journey; request ids may hold any visible character.
pub(crate) fn request(request_id: &str) -> String {
    format!("/v1/requests/{}", escape(request_id))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_cannot_hold_is_escaped() {
        assert_eq!(request("a/b?c%d"), "/v1/requests/a%2Fb%3Fc%25d");
        assert_eq!(
            request("license.events.v1:0:5"),
            "/v1/requests/license.events.v1:0:5"
        );
    }
}
