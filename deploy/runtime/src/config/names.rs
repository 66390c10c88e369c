//! Names that a setting has in the environment. Each is `LICENSEFLOW_` and the
//! flag in capitals; two have a second one that Kafka's own tools read, which
//! counts where the first is not set. A variable that is set to nothing counts
//! as not set.

use clap::builder::{OsStr as Name, Resettable};
use clap::{Arg, Command};
use std::collections::BTreeMap;
use std::ffi::OsStr;

/// The flag and the name that Kafka's own tools read.
const ALSO_READ: [(&str, &str); 2] = [
    ("kafka", "KAFKA_BOOTSTRAP_SERVERS"),
    ("schema-registry", "SCHEMA_REGISTRY_URL"),
];

/// The flag that names the settings file is no setting of that file.
pub(super) const CONFIG_FLAG: &str = "config";

/// The one setting that is merged, key by key, over all places where it is said.
pub(super) const LIBRDKAFKA: &str = "librdkafka";

/// The setting whose value may be an address with a password.
pub(super) const STORE: &str = "store";

/// Takes up what is said of [`LIBRDKAFKA`] below the command line; its name is read where that is wrong.
pub(super) const LIBRDKAFKA_BELOW: &str = "librdkafka-of-environment-or-file";

/// Every setting of a command and those below it: its flag, and its first name
/// in the environment. A setting is a flag that has such a name.
pub(super) fn settings(command: &Command) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for arg in command.get_arguments() {
        if let (Some(flag), Some(name)) = (arg.get_long(), arg.get_env())
            && flag != CONFIG_FLAG
        {
            found.insert(flag.to_owned(), name.to_string_lossy().into_owned());
        }
    }
    found.extend(command.get_subcommands().flat_map(settings));
    found
}

/// The command, with each setting bound to the variable that counts.
pub(super) fn bound(command: Command) -> Command {
    command.mut_args(bound_arg).mut_subcommands(bound)
}

fn bound_arg(arg: Arg) -> Arg {
    let Some(first) = arg.get_env() else {
        return arg;
    };
    if is_set(first) {
        return arg;
    }
    let second = ALSO_READ
        .iter()
        .find(|(flag, _)| arg.get_long() == Some(flag));
    match second {
        Some((_, name)) if is_set(OsStr::new(name)) => arg.env(name),
        // clap would take an empty variable for a value.
        Some(_) | None if std::env::var_os(first).is_some() => arg.env(Resettable::<Name>::Reset),
        Some(_) | None => arg,
    }
}

pub(super) fn is_set(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}
