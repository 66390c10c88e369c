//! What depends on the time of asking: computed when it is asked, never stored.

use std::fmt;

/// What events alone say of a license.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lifecycle {
    /// No event has said.
    Unknown,
    /// It counts.
    Active,
    /// It does not count until reinstated.
    Suspended,
    /// It never counts again.
    Revoked,
}

impl Lifecycle {
    /// Every lifecycle.
    pub const ALL: [Lifecycle; 4] = [
        Lifecycle::Unknown,
        Lifecycle::Active,
        Lifecycle::Suspended,
        Lifecycle::Revoked,
    ];

    /// The name that rows and answers give it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Lifecycle::Unknown => "unknown",
            Lifecycle::Active => "active",
            Lifecycle::Suspended => "suspended",
            Lifecycle::Revoked => "revoked",
        }
    }

    /// The lifecycle of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// Whether a license counts at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// No event has said.
    Unknown,
    /// It counts.
    Active,
    /// It will count from `valid_from` on.
    Pending,
    /// Its end has passed.
    Expired,
    /// It does not count until reinstated.
    Suspended,
    /// It never counts again.
    Revoked,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 6] = [
        Status::Unknown,
        Status::Active,
        Status::Pending,
        Status::Expired,
        Status::Suspended,
        Status::Revoked,
    ];

    /// The status at time `at` (microseconds UTC).
    #[must_use]
    pub fn at(
        lifecycle: Lifecycle,
        valid_from: Option<i64>,
        expires_at: Option<i64>,
        at: i64,
    ) -> Self {
        match lifecycle {
            Lifecycle::Unknown => Status::Unknown,
            Lifecycle::Revoked => Status::Revoked,
            Lifecycle::Suspended => Status::Suspended,
            Lifecycle::Active => {
                if expires_at.is_some_and(|end| end <= at) {
                    Status::Expired
                } else if valid_from.is_some_and(|start| start > at) {
                    Status::Pending
                } else {
                    Status::Active
                }
            }
        }
    }

    /// The name that answers give it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Active => "active",
            Status::Pending => "pending",
            Status::Expired => "expired",
            Status::Suspended => "suspended",
            Status::Revoked => "revoked",
        }
    }

    /// The status of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_has_come_weighs_more_than_a_start_that_has_not() {
        assert_eq!(
            Status::at(Lifecycle::Active, Some(9), Some(5), 5),
            Status::Expired
        );
        assert_eq!(
            Status::at(Lifecycle::Active, Some(9), Some(6), 5),
            Status::Pending
        );
        assert_eq!(
            Status::at(Lifecycle::Active, Some(5), None, 5),
            Status::Active
        );
        assert_eq!(
            Status::at(Lifecycle::Suspended, Some(9), Some(1), 5),
            Status::Suspended
        );
    }
}
