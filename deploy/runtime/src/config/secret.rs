//! Which values must not be shown. It errs on the side of hiding.

/// Stands where a secret would.
pub(super) const HIDDEN: &str = "***";

/// Parts of librdkafka's keys whose values are secrets.
const SECRET_PARTS: [&str; 7] = [
    "password",
    "secret",
    "key.pem",
    "jaas",
    "token",
    "oauthbearer.config",
    "credential",
];

/// The value of a setting as it may be shown.
pub(super) fn masked(value: &str) -> String {
    if let Some((key, _)) = value.split_once('=') {
        let key_in_lower_case = key.to_ascii_lowercase();
        if SECRET_PARTS
            .iter()
            .any(|part| key_in_lower_case.contains(part))
        {
            return format!("{key}={HIDDEN}");
        }
    }
    without_user(value)
}

/// An address without the user and password before its host.
fn without_user(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{HIDDEN}@{host}{path}"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_shown() {
        let cases = [
            ("sasl.password=a=b", "sasl.password=***"),
            ("ssl.key.password=x", "ssl.key.password=***"),
            ("ssl.key.pem=x", "ssl.key.pem=***"),
            ("SSL.Keystore.Password=x", "SSL.Keystore.Password=***"),
            (
                "sasl.oauthbearer.client.secret=x",
                "sasl.oauthbearer.client.secret=***",
            ),
            ("sasl.username=me", "sasl.username=me"),
            ("http://me:pass@host:8081/a", "http://***@host:8081/a"),
            ("http://host/a@b", "http://host/a@b"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
        ];
        for (value, shown) in cases {
            assert_eq!(masked(value), shown);
        }
    }
}
