//! Sparse answers: of a license only the members that are asked for, and its links.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::answer::Failure;
use crate::params::{Params, invalid};
use crate::shapes::LICENSE_MEMBERS;

/// The parameter's name.
pub(crate) const FIELDS: &str = "fields";

/// The members that are asked for; none: all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Option<BTreeSet<&'static str>>);

impl Fields {
    /// Reads `?fields=`, names separated by commas.
    pub(crate) fn of(params: &Params) -> Result<Self, Failure> {
        let Some(text) = params.text(FIELDS) else {
            return Ok(Self::default());
        };
        let mut names = BTreeSet::new();
        for asked in text.split(',') {
            let known = LICENSE_MEMBERS.into_iter().find(|name| *name == asked);
            let Some(name) = known else {
                let members = LICENSE_MEMBERS.join(", ");
                let error = format!("a license has no member `{asked}`: expected {members}");
                return Err(invalid(FIELDS, &error));
            };
            names.insert(name);
        }
        Ok(Self(Some(names)))
    }

    /// Leaves of a license what is asked for.
    pub(crate) fn keep(&self, license: &mut Value) {
        if let (Some(names), Value::Object(members)) = (&self.0, license) {
            members.retain(|name, _| name == "_links" || names.contains(name.as_str()));
        }
    }

    /// The parameter as it stands in an address, after others; nothing where all are asked for. Names
    /// need no escape.
    pub(crate) fn in_address(&self) -> String {
        let Some(names) = &self.0 else {
            return String::new();
        };
        let names: Vec<&str> = names.iter().copied().collect();
        format!("&{FIELDS}={}", names.join(","))
    }
}
