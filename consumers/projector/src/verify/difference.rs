//! One difference between what is stored and what the log says.

use std::fmt;

use licenseflow_avro::LicenseKey;
use serde_json::Value;

/// Which part of the read model differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// A license's own row.
    License,
    /// A device of it.
    Device,
    /// A metric of it.
    Usage,
    /// Its events.
    Timeline,
    /// What was rejected, conflicts among it.
    Rejected,
    /// What waits for another try, or waited.
    Waiting,
    /// A total of licenses, or how many of them start and end on a day.
    Total,
    /// A number of events.
    Counts,
    /// The digest as it is kept.
    Digest,
}

impl Part {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Part::License => "license",
            Part::Device => "device",
            Part::Usage => "usage",
            Part::Timeline => "timeline",
            Part::Rejected => "rejected",
            Part::Waiting => "waiting",
            Part::Total => "total",
            Part::Counts => "counts",
            Part::Digest => "digest",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is stored, and what the log says instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whose it is; none where it is of no tenant.
    pub tenant_id: Option<String>,
    /// Which license's, where it is of one.
    pub license_id: Option<String>,
    /// Which part.
    pub part: Part,
    /// What in it: a member, a device, an event, a record, a number.
    pub name: String,
    /// What the store has; none: nothing.
    pub store: Option<String>,
    /// What the log says; none: nothing.
    pub log: Option<String>,
}

/// The most characters that are shown of a value.
const SHOWN_MAX: usize = 120;

impl Difference {
    /// A difference of a license.
    pub(super) fn of(key: &LicenseKey, part: Part, name: impl Into<String>) -> Self {
        Self {
            tenant_id: Some(key.tenant_id.clone()),
            license_id: Some(key.license_id.clone()),
            ..Self::of_none(part, name)
        }
    }

    /// A difference of a license, where one is known.
    pub(super) fn of_some(key: Option<&LicenseKey>, part: Part, name: impl Into<String>) -> Self {
        match key {
            Some(key) => Self::of(key, part, name),
            None => Self::of_none(part, name),
        }
    }

    /// A difference of a tenant.
    pub(super) fn of_tenant(tenant_id: &str, part: Part, name: impl Into<String>) -> Self {
        Self {
            tenant_id: Some(tenant_id.to_owned()),
            ..Self::of_none(part, name)
        }
    }

    /// A difference of no license.
    pub(super) fn of_none(part: Part, name: impl Into<String>) -> Self {
        Self {
            tenant_id: None,
            license_id: None,
            part,
            name: name.into(),
            store: None,
            log: None,
        }
    }

    pub(super) fn stored(mut self, what: impl fmt::Display) -> Self {
        self.store = Some(shortened(&what.to_string()));
        self
    }

    pub(super) fn logged(mut self, what: impl fmt::Display) -> Self {
        self.log = Some(shortened(&what.to_string()));
        self
    }

    /// What each side has of a member; a member that a side does not have stays none.
    pub(super) fn sides(mut self, store: Option<&Value>, log: Option<&Value>) -> Self {
        self.store = store.map(|value| shortened(&value.to_string()));
        self.log = log.map(|value| shortened(&value.to_string()));
        self
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_shown_by_its_beginning_whatever_its_characters() {
        let shown = shortened(&"é".repeat(SHOWN_MAX + 1));
        assert_eq!(shown.chars().count(), SHOWN_MAX + 1);
        assert!(shown.ends_with('…'));
        assert_eq!(shortened(&"é".repeat(SHOWN_MAX)).chars().count(), SHOWN_MAX);
    }
}
