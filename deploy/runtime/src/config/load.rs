//! Reads a command and its settings from flags, environment, file and defaults,
//! in this order of precedence.

use super::effective::Effective;
use super::file::{self, FileError, FileValue};
use super::names::{self, LIBRDKAFKA, LIBRDKAFKA_BELOW, STORE};
use super::secret;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// The file that is read where it is there and none is named.
const USUAL_FILE: &str = "licenseflow.toml";

/// Why there is no configuration: always a wrong use, except that asking for
/// help or the version comes out as one of clap's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings file is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// The command line is wrong, or help was asked for.
    #[error("{0}")]
    CommandLine(Box<clap::Error>),
    /// A value of the settings file is wrong.
    #[error("{place}: {error}")]
    FileValue {
        /// The file and the line.
        place: file::Place,
        /// What clap says about it.
        error: Box<clap::Error>,
    },
}

/// A command with its settings.
#[derive(Debug)]
pub struct Loaded<C> {
    /// The command, as clap's derive describes it.
    pub command: C,
    /// Every setting of the command, with its value and where that came from.
    pub effective: Effective,
}

/// Reads a command line with its settings.
pub fn load<C: CommandFactory + FromArgMatches>(
    arguments: Vec<OsString>,
) -> Result<Loaded<C>, Error> {
    let command = C::command();
    let settings = names::settings(&command);
    let file = match settings_file(&arguments) {
        Some(path) => file::read(&path, settings.keys())?,
        None => BTreeMap::new(),
    };
    let mut command = with_defaults(names::bound(command), &file);
    command.build();
    let explained = |error: clap::Error| explain(error, &file);
    let matches = command
        .try_get_matches_from_mut(arguments)
        .map_err(explained)?;
    let parsed = C::from_arg_matches(&matches).map_err(explained)?;
    let (chosen, chosen_matches) = innermost(&command, &matches);
    let effective = Effective::of(chosen, chosen_matches, &settings, &file);
    Ok(Loaded {
        command: parsed,
        effective,
    })
}

/// The file that is named by flag or environment, else the usual one if it is there.
fn settings_file(arguments: &[OsString]) -> Option<PathBuf> {
    named_by_flag(arguments)
        .or_else(|| std::env::var_os("LICENSEFLOW_CONFIG").filter(|name| !name.is_empty()))
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(USUAL_FILE)).filter(|path| path.exists()))
}

/// The file's values must be known before clap reads the command line, so this
/// one flag is looked for by hand; clap checks its form afterwards.
fn named_by_flag(arguments: &[OsString]) -> Option<OsString> {
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if text == "--" {
            return None;
        }
        if text == "--config" {
            return arguments.next().cloned();
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(path.into());
        }
    }
    None
}

/// The command, recursively, with the file's values in the place of its defaults.
fn with_defaults(command: Command, file: &BTreeMap<String, FileValue>) -> Command {
    let librdkafka = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(LIBRDKAFKA));
    let below = librdkafka.map_or_else(Vec::new, |arg| librdkafka_below(arg, file));
    command
        .mut_args(|arg| match arg.get_long() {
            Some(LIBRDKAFKA_BELOW) => arg.default_values(below.clone()),
            Some(flag) => match file.get(flag) {
                Some(value) => arg.default_values(value.values.clone()),
                None => arg,
            },
            None => arg,
        })
        .mut_subcommands(|subcommand| with_defaults(subcommand, file))
}

/// What the file, and then the environment, say of librdkafka's settings.
fn librdkafka_below(arg: &Arg, file: &BTreeMap<String, FileValue>) -> Vec<String> {
    let of_file = file.get(LIBRDKAFKA).map(|value| value.values.clone());
    let mut below = of_file.unwrap_or_default();
    let variable = arg.get_env().and_then(std::env::var_os);
    let of_environment = variable.filter(|text| !text.is_empty());
    below.extend(of_environment.map(|text| text.to_string_lossy().into_owned()));
    below
}

fn innermost<'a>(command: &'a Command, matches: &'a ArgMatches) -> (&'a Command, &'a ArgMatches) {
    match matches.subcommand() {
        Some((name, below)) => match command.find_subcommand(name) {
            Some(subcommand) => innermost(subcommand, below),
            None => (command, matches),
        },
        None => (command, matches),
    }
}

/// clap speaks of a flag; where the value came from the file, so does the error.
fn explain(mut error: clap::Error, file: &BTreeMap<String, FileValue>) -> Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(_) | None => None,
    };
    let flag = text(ContextKind::InvalidArg)
        .and_then(|usage| usage.strip_prefix("--"))
        .and_then(|usage| usage.split([' ', '=']).next())
        .map(|flag| {
            if flag == LIBRDKAFKA_BELOW {
                LIBRDKAFKA
            } else {
                flag
            }
        });
    let may_be_secret = flag == Some(LIBRDKAFKA) || flag == Some(STORE);
    let from_file = flag.and_then(|flag| file.get(flag)).filter(|value| {
        let wrong = text(ContextKind::InvalidValue);
        wrong.is_some_and(|wrong| value.values.iter().any(|value| value == wrong))
    });
    let place = from_file.map(|value| value.place.clone());
    if may_be_secret {
        // A password whose key or scheme was left out must not be told to whoever reads the log.
        let hidden = ContextValue::String(secret::HIDDEN.to_owned());
        error.insert(ContextKind::InvalidValue, hidden);
    }
    match place {
        Some(place) => Error::FileValue {
            place,
            error: Box::new(error),
        },
        None => Error::CommandLine(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFileArgs, JudgementArgs, StoreArgs, TelemetryArgs, TopicsArgs};
    use crate::config::{HttpArgs, IntakeArgs, KafkaArgs, Origin, ProjectorArgs, RegistryArgs};
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Everything {
        #[command(flatten)]
        file: ConfigFileArgs,
        #[command(flatten)]
        telemetry: TelemetryArgs,
        #[command(flatten)]
        http: HttpArgs,
        #[command(flatten)]
        intake: IntakeArgs,
        #[command(flatten)]
        kafka: KafkaArgs,
        #[command(flatten)]
        registry: RegistryArgs,
        #[command(flatten)]
        topics: TopicsArgs,
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        projector: ProjectorArgs,
        #[command(flatten)]
        judgement: JudgementArgs,
    }

    /// Loads with a file of this text; the environment is the test's own.
    fn loaded(text: &str, flags: &[&str]) -> Result<Loaded<Everything>, Error> {
        let name = format!("licenseflow-load-test-{}.toml", uuid::Uuid::now_v7());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, text).unwrap();
        let mut arguments: Vec<OsString> = vec!["licenseflow".into(), "--config".into()];
        arguments.push(file.clone().into());
        arguments.extend(flags.iter().map(OsString::from));
        let outcome = load(arguments);
        std::fs::remove_file(&file).unwrap();
        outcome
    }

    fn origin_of(effective: &Effective, name: &str) -> Origin {
        let mut settings = effective.settings().iter();
        settings
            .find(|setting| setting.name == name)
            .unwrap()
            .origin
            .clone()
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let text = "http-timeout = \"7s\"\nhttp-body-timeout = \"3s\"\n";
        let loaded = loaded(text, &["--http-timeout", "9s"]).unwrap();
        let http = &loaded.command.http;
        assert_eq!(http.http_timeout.as_secs(), 9);
        assert_eq!(http.http_body_timeout.as_secs(), 3);
        assert_eq!(http.http_idle_timeout.as_secs(), 75);
        assert_eq!(origin_of(&loaded.effective, "http-timeout"), Origin::Flag);
        let Origin::File(place) = origin_of(&loaded.effective, "http-body-timeout") else {
            panic!("not from the file");
        };
        assert_eq!(place.line, 2);
        assert_eq!(
            origin_of(&loaded.effective, "http-idle-timeout"),
            Origin::Default
        );
    }

    #[test]
    fn librdkafkas_settings_keep_their_names_and_secrets_are_not_shown() {
        let text =
            "[librdkafka]\n\"sasl.password\" = \"geheim\"\n\"security.protocol\" = \"SASL_SSL\"\n";
        let loaded = loaded(text, &[]).unwrap();
        let settings = loaded.command.kafka.settings("test");
        assert_eq!(settings.overrides["sasl.password"], "geheim");
        assert_eq!(settings.overrides["security.protocol"], "SASL_SSL");
        let shown = format!("{}{}", loaded.effective, loaded.effective.to_json());
        assert!(shown.contains("sasl.password=***"), "{shown}");
        assert!(!shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn a_flag_for_one_key_of_librdkafka_leaves_the_files_other_keys() {
        let text = "[librdkafka]\n\"sasl.password\" = \"geheim\"\n\"linger.ms\" = 5\n\"debug\" = \"broker\"\n";
        let flags = [
            "-X",
            "linger.ms=50",
            "-X",
            "retries=3",
            "-X",
            "linger.ms=60",
        ];
        let loaded = loaded(text, &flags).unwrap();
        let overrides = loaded.command.kafka.settings("test").overrides;
        let lines: Vec<_> = overrides
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let expected = [
            "debug=broker",
            "linger.ms=60",
            "retries=3",
            "sasl.password=geheim",
        ];
        assert_eq!(lines, expected);

        let mut settings = loaded.effective.settings().iter();
        let shown = settings.find(|it| it.name == "librdkafka").unwrap();
        let expected = [
            "debug=broker",
            "linger.ms=60",
            "retries=3",
            "sasl.password=***",
        ];
        assert_eq!(shown.values, expected, "what is shown is what it runs with");
        let origin = shown.origin.to_string();
        assert!(
            origin.starts_with("flag, file ") && origin.ends_with(".toml:1"),
            "{origin}"
        );
        assert!(settings.all(|it| !it.name.starts_with("librdkafka")));
    }

    #[test]
    fn a_setting_of_librdkafka_without_its_key_is_refused_and_not_repeated() {
        let text = "librdkafka = [\"geheim\"]\n";
        for (text, flags) in [
            ("", &["-X", "geheim"][..]),
            (text, &[]),
            (text, &["-X", "a=b"]),
        ] {
            let said = loaded(text, flags).unwrap_err().to_string();
            assert!(!said.contains("geheim"), "{said}");
            assert!(said.contains("expected key=value"), "{said}");
            let in_file = said.contains(".toml:1: ");
            assert_eq!(in_file, !text.is_empty(), "{said}");
        }
    }

    #[test]
    fn a_password_in_the_stores_address_is_shown_nowhere() {
        let url = "postgres://me:geheim@host:5433/db?application_name=a&password=geheim";
        let in_file = format!("store = \"{url}\"\n");
        for (text, flags) in [("", &["--store", url][..]), (&in_file, &[])] {
            let loaded = loaded(text, flags).unwrap();
            let shown = format!(
                "{}{}{:?}",
                loaded.effective,
                loaded.effective.to_json(),
                loaded.command.store
            );
            assert!(!shown.contains("geheim"), "{shown}");
            assert!(
                shown.contains("postgres://***@host:5433/db?application_name=a&password=***"),
                "{shown}"
            );
        }
        let wrong = "postgre://me:geheim@host/db";
        let in_file = format!("store = \"{wrong}\"\n");
        for (text, flags) in [("", &["--store", wrong][..]), (&in_file, &[])] {
            let said = loaded(text, flags).unwrap_err().to_string();
            assert!(!said.contains("geheim"), "{said}");
            assert!(said.contains("--store"), "{said}");
        }
        let help = loaded(&in_file, &["--help"]).unwrap_err().to_string();
        assert!(help.contains("--store"), "{help}");
        assert!(!help.contains("geheim"), "{help}");
    }

    #[test]
    fn a_wrong_value_in_the_file_is_refused_with_its_line() {
        let text = loaded("\nhttp-timeout = \"soon\"\n", &[])
            .unwrap_err()
            .to_string();
        assert!(text.contains(".toml:2: "), "{text}");
        assert!(text.contains("--http-timeout"), "{text}");
    }

    #[test]
    fn a_wrong_value_of_a_flag_is_not_blamed_on_the_file() {
        let error = loaded("http-timeout = \"1s\"\n", &["--http-timeout", "soon"]).unwrap_err();
        assert!(matches!(error, Error::CommandLine(_)), "{error}");
    }

    #[test]
    fn the_file_cannot_name_another_file() {
        let text = loaded("config = \"a\"\n", &[]).unwrap_err().to_string();
        assert!(text.contains("unknown key \"config\""), "{text}");
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let arguments = ["licenseflow", "--config=/nowhere/at-all.toml"].map(OsString::from);
        let error = load::<Everything>(arguments.to_vec()).unwrap_err();
        assert!(
            matches!(error, Error::File(FileError::Unreadable { .. })),
            "{error}"
        );
    }

    #[test]
    fn every_setting_is_named_in_the_environment_as_its_flag() {
        for (flag, name) in names::settings(&Everything::command()) {
            let expected = format!("LICENSEFLOW_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(name, expected);
        }
    }

    #[test]
    fn the_defaults_are_valid() {
        let loaded = loaded("", &[]).unwrap();
        assert_eq!(loaded.command.http.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(loaded.command.intake.event_bytes_max.bytes(), 1 << 20);
        assert_eq!(loaded.command.judgement.max_future_skew.as_secs(), 300);
        Everything::command().debug_assert();
    }
}
