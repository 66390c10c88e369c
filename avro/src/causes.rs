//! An error in one line, for logs and answers: libraries say little in their own words and keep the rest
//! as a cause.

use std::error::Error;

/// An error and what caused it, each behind the one that it caused.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the disk")]
    struct Disk;

    #[derive(Debug, thiserror::Error)]
    #[error("the store is away")]
    struct Away(#[source] Disk);

    #[test]
    fn each_cause_stands_behind_what_it_caused() {
        assert_eq!(chain(&Disk), "the disk");
        assert_eq!(chain(&Away(Disk)), "the store is away: the disk");
    }
}
