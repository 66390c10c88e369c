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
    if value.starts_with("postgres") && value.contains("://") {
        return database(value);
    }
    pair(value).unwrap_or_else(|| without_user(value))
}

/// `key=value` without the value, where the key says that it is a secret.
fn pair(value: &str) -> Option<String> {
    let (key, _) = value.split_once('=')?;
    let key_in_lower_case = key.to_ascii_lowercase();
    let is_secret = SECRET_PARTS
        .iter()
        .any(|part| key_in_lower_case.contains(part));
    is_secret.then(|| format!("{key}={HIDDEN}"))
}

/// A database's address without user and password, wherever in it they stand. A password that
/// nobody encoded may hold any of `/`, `?` and `@`, so that the last `@` counts.
fn database(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (user, place) = match rest.rsplit_once('@') {
        Some((_, place)) => (format!("{HIDDEN}@"), place),
        None => (String::new(), rest),
    };
    let shown = match place.split_once('?') {
        Some((place, parameters)) => {
            let parameters = parameters.split('&');
            let parameters: Vec<String> = parameters
                .map(|it| pair(it).unwrap_or_else(|| it.to_owned()))
                .collect();
            format!("{place}?{}", parameters.join("&"))
        }
        None => place.to_owned(),
    };
    format!("{scheme}://{user}{shown}")
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
            (
                "postgres://me:a/b?c@d@host:5433/db",
                "postgres://***@host:5433/db",
            ),
            ("postgresql://host/db", "postgresql://host/db"),
            (
                "postgres://host/db?user=me&password=x&sslmode=require",
                "postgres://host/db?user=me&password=***&sslmode=require",
            ),
            ("postgres://host/db?password=x@y", "postgres://***@y"),
            ("/var/lib/licenseflow.db", "/var/lib/licenseflow.db"),
        ];
        for (value, shown) in cases {
            assert_eq!(masked(value), shown);
        }
    }
}
