//! CloudEvents' binary mode: the attributes are headers `ce-…`, percent-encoded, and the body is the data.

use axum::http::{HeaderMap, HeaderValue};
use licenseflow_avro::json::CloudEvent;
use licenseflow_runtime::http::Problem;

/// The attributes, where the request is a CloudEvent in binary mode at all.
pub(super) fn attributes(headers: &HeaderMap) -> Result<Option<CloudEvent>, Problem> {
    let is_binary = ["ce-specversion", "ce-type", "ce-id"]
        .iter()
        .any(|name| headers.contains_key(*name));
    if !is_binary {
        return Ok(None);
    }
    Ok(Some(CloudEvent {
        specversion: attribute(headers, "ce-specversion")?,
        id: attribute(headers, "ce-id")?,
        source: attribute(headers, "ce-source")?,
        event_type: attribute(headers, "ce-type")?,
        subject: attribute(headers, "ce-subject")?,
        time: attribute(headers, "ce-time")?,
        tenantid: attribute(headers, "ce-tenantid")?,
        actor: attribute(headers, "ce-actor")?,
        // It is the request's own, which was judged before.
        datacontenttype: None,
    }))
}

fn attribute(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => decoded(value).map(Some).ok_or_else(|| {
            let detail = format!("the header {name} is not percent-encoded UTF-8");
            Problem::bad_request("invalid_header", detail)
        }),
        (Some(_), Some(_)) => {
            let detail = format!("the header {name} stands more than once");
            Err(Problem::bad_request("invalid_header", detail))
        }
    }
}

fn decoded(value: &HeaderValue) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        if *byte == b'%' {
            let (digits, behind) = after.split_at_checked(2)?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_and_broken_encoding_refused() {
        let decode = |text: &'static str| decoded(&HeaderValue::from_static(text));
        assert_eq!(decode("a%20%C3%A9b").as_deref(), Some("a éb"));
        for broken in ["%", "%4", "%zz", "%+1", "%C3"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }
}
