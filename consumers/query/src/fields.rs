//! Sparse answers: of a license only the members that are asked for, and its links.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::answer::Failure;
use crate::params::{Params, invalid};
use crate::shapes::{LICENSE_MEMBERS, License, value};

/// The parameter's name.
pub(crate) const FIELDS: &str = "fields";

/// The members that are asked for; none: all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Option<BTreeSet<&'static str>>);

/// A license as it is answered.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Shown<'l> {
    Whole(Box<License<'l>>),
    Part(Value),
}

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

    /// What is asked for of a license.
    pub(crate) fn of_license<'l>(&self, license: License<'l>) -> Shown<'l> {
        let Some(names) = &self.0 else {
            return Shown::Whole(Box::new(license));
        };
        let mut shown = value(license);
        if let Value::Object(members) = &mut shown {
            members.retain(|name, _| name == "_links" || names.contains(name.as_str()));
        }
        Shown::Part(shown)
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
