//! The tenant that a request names, until credentials name it: the header
//! `X-Tenant-Id`, checked by the rule for ids. What a tenant may see is decided
//! where data is looked up.

use super::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use std::fmt;

/// The header that names the tenant.
pub const HEADER: HeaderName = HeaderName::from_static("x-tenant-id");

/// The tenant of a request that names none.
pub const DEFAULT: &str = "default";

/// A tenant's id: 1–128 of `A-Za-z0-9._:-`, the first of `A-Za-z0-9`.
/// As an extractor it is the header's, or `default`; a header that breaks the
/// rule is a 400 with the code `invalid_tenant`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantId(String);

impl TenantId {
    /// Takes an id that keeps the rule.
    pub fn parse(text: &str) -> Option<Self> {
        let first = text.bytes().next()?;
        let fits = text.len() <= 128 && first.is_ascii_alphanumeric();
        let allowed = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte));
        (fits && allowed).then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as text that is kept.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Default for TenantId {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The tenant as the header gives it, nothing where there is no such header:
/// the intake must know whether a client said it or left it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenTenant(pub Option<TenantId>);

impl<S: Sync> FromRequestParts<S> for GivenTenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(HEADER).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(Self(None)),
            (Some(value), None) => value
                .to_str()
                .ok()
                .and_then(TenantId::parse)
                .map(|tenant| Self(Some(tenant)))
                .ok_or_else(invalid),
            (Some(_), Some(_)) => Err(invalid()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for TenantId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let given = GivenTenant::from_request_parts(parts, state).await?;
        Ok(given.0.unwrap_or_default())
    }
}

fn invalid() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_tenant").detail(
        "X-Tenant-Id must stand once and be 1 to 128 of A-Z a-z 0-9 . _ : - and begin with a letter or digit",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn extracted(values: &[&[u8]]) -> Result<TenantId, Problem> {
        let mut request = Request::builder();
        for value in values {
            request = request.header(HEADER, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        TenantId::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn without_a_header_the_tenant_is_default() {
        assert_eq!(extracted(&[]).await.unwrap().as_str(), "default");
    }

    #[tokio::test]
    async fn an_id_by_the_rule_is_taken() {
        assert_eq!(
            extracted(&[b"a.B_c:9-"]).await.unwrap().as_str(),
            "a.B_c:9-"
        );
    }

    #[tokio::test]
    async fn an_id_against_the_rule_is_refused() {
        let long = [b'a'; 129];
        for value in [b"".as_slice(), b"-a", b"a/b", b"a b", b"\xc3\xa9", &long] {
            let problem = extracted(&[value]).await.unwrap_err();
            assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{value:?}");
        }
    }

    #[tokio::test]
    async fn two_headers_are_refused() {
        assert!(extracted(&[b"a", b"a"]).await.is_err());
    }
}
