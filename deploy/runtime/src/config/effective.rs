//! The settings as they came out, each with where it came from, for whoever asks
//! "which value does it run with, and why". Secrets are hidden here, so that no
//! caller can show one.

use super::file::{FileValue, Place};
use super::names::{LIBRDKAFKA, LIBRDKAFKA_BELOW, is_set};
use super::secret;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Where the value of a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment variable of this name.
    Environment(String),
    /// The settings file.
    File(Place),
    /// Several places, the one that wins first: their values are merged key by key.
    Merged(Vec<Origin>),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => formatter.write_str("flag"),
            Self::Environment(name) => write!(formatter, "env {name}"),
            Self::File(place) => write!(formatter, "file {place}"),
            Self::Merged(origins) => {
                let each: Vec<String> = origins.iter().map(Self::to_string).collect();
                formatter.write_str(&each.join(", "))
            }
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// One setting as it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The flag without its dashes, which is the key in the file as well.
    pub name: String,
    /// Its name in the environment.
    pub environment: String,
    /// Its values, secrets hidden; none where it is not set.
    pub values: Vec<String>,
    /// Where they came from.
    pub origin: Origin,
}

/// All settings of a command as they came out, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective(Vec<Setting>);

impl Effective {
    pub(super) fn of(
        command: &Command,
        matches: &ArgMatches,
        names: &BTreeMap<String, String>,
        file: &BTreeMap<String, FileValue>,
    ) -> Self {
        let mut settings = Vec::new();
        for arg in command.get_arguments() {
            let Some(flag) = arg.get_long() else { continue };
            let Some(environment) = names.get(flag) else {
                continue;
            };
            let values = match flag {
                LIBRDKAFKA => merged(
                    raw_of(command, matches, LIBRDKAFKA_BELOW),
                    raw(arg, matches),
                ),
                _ => raw(arg, matches),
            };
            settings.push(Setting {
                name: flag.to_owned(),
                environment: environment.clone(),
                values: values.iter().map(|value| secret::masked(value)).collect(),
                origin: origin(arg, matches, file.get(flag)),
            });
        }
        settings.sort_by(|one, other| one.name.cmp(&other.name));
        Self(settings)
    }

    /// The settings, by name.
    pub fn settings(&self) -> &[Setting] {
        &self.0
    }

    /// An object with a member for each setting: `{"value", "origin", "environment"}`.
    /// A setting that may stand several times has a list as its value.
    pub fn to_json(&self) -> Value {
        let members = self.0.iter().map(|setting| {
            let value = match setting.values.as_slice() {
                [] => Value::Null,
                [one] if setting.name != LIBRDKAFKA => json!(one),
                several => json!(several),
            };
            let origin = setting.origin.to_string();
            let member =
                json!({ "value": value, "origin": origin, "environment": setting.environment });
            (setting.name.clone(), member)
        });
        Value::Object(members.collect())
    }
}

/// A table for people: name, value, where it came from.
impl fmt::Display for Effective {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self
            .0
            .iter()
            .map(|setting| setting.values.join(" "))
            .collect();
        let name_width = self
            .0
            .iter()
            .map(|setting| setting.name.len())
            .max()
            .unwrap_or(0);
        let value_width = shown
            .iter()
            .map(|value| value.chars().count())
            .max()
            .unwrap_or(0);
        for (setting, value) in self.0.iter().zip(&shown) {
            let Setting { name, origin, .. } = setting;
            writeln!(
                formatter,
                "{name:name_width$}  {value:value_width$}  {origin}"
            )?;
        }
        Ok(())
    }
}

fn raw(arg: &Arg, matches: &ArgMatches) -> Vec<String> {
    let raw = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
    raw.map(|value| value.to_string_lossy().into_owned())
        .collect()
}

fn raw_of(command: &Command, matches: &ArgMatches, flag: &str) -> Vec<String> {
    let mut arguments = command.get_arguments();
    let arg = arguments.find(|arg| arg.get_long() == Some(flag));
    arg.map_or_else(Vec::new, |arg| raw(arg, matches))
}

/// Lines of `key=value`, by key, of which the last counts.
fn merged(below: Vec<String>, above: Vec<String>) -> Vec<String> {
    let lines = below.into_iter().chain(above);
    let by_key = lines.map(|line| {
        let key = line.split_once('=').map_or(line.as_str(), |(key, _)| key);
        (key.trim().to_owned(), line)
    });
    let by_key: BTreeMap<String, String> = by_key.collect();
    by_key.into_values().collect()
}

fn origin(arg: &Arg, matches: &ArgMatches, file: Option<&FileValue>) -> Origin {
    let environment = || {
        let name = arg.get_env().unwrap_or_default();
        Origin::Environment(name.to_string_lossy().into_owned())
    };
    let source = matches.value_source(arg.get_id().as_str());
    if arg.get_long() == Some(LIBRDKAFKA) {
        let flag = (source == Some(ValueSource::CommandLine)).then_some(Origin::Flag);
        let environment = arg.get_env().is_some_and(is_set).then(environment);
        let file = file.map(|value| Origin::File(value.place.clone()));
        let said: Vec<Origin> = [flag, environment, file].into_iter().flatten().collect();
        if said.len() > 1 {
            return Origin::Merged(said);
        }
    }
    match (source, file) {
        (Some(ValueSource::CommandLine), _) => Origin::Flag,
        (Some(ValueSource::EnvVariable), _) => environment(),
        (_, Some(value)) => Origin::File(value.place.clone()),
        (_, None) => Origin::Default,
    }
}
