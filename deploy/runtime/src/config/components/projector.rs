//! How the projector reads and how much it may hold.

use crate::log::GroupProtocol;

/// Bounds of the projector.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Projector")]
pub struct ProjectorArgs {
    /// Ceiling of the projector's memory, in MiB
    #[arg(long, env = "LICENSEFLOW_MEMORY_CEILING_MIB", default_value = "512", value_name = "MIB", value_parser = clap::value_parser!(u32).range(96..=1_048_576))]
    pub memory_ceiling_mib: u32,

    /// Memory of each generation that is built or advanced beside the live one, in MiB: it comes on top of
    /// the ceiling
    #[arg(long, env = "LICENSEFLOW_REPLAY_MEMORY_MIB", default_value = "256", value_name = "MIB", value_parser = clap::value_parser!(u32).range(96..=1_048_576))]
    pub replay_memory_mib: u32,

    /// So many generations that were live before are kept and advanced, to go back to
    #[arg(
        long,
        env = "LICENSEFLOW_GENERATIONS_KEPT",
        default_value = "1",
        value_name = "COUNT"
    )]
    pub generations_kept: u32,

    /// How many write to PostgreSQL at once, each a member of the group with partitions of its own;
    /// without it as many as this machine has cores, at most 4; fewer where the memory ceiling has no room
    /// for all. A file has one writer
    #[arg(long, env = "LICENSEFLOW_APPLIERS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=32))]
    pub appliers: Option<u32>,

    /// How projectors share partitions out: classic with every broker; consumer, by which the broker decides, from
    /// Kafka 4.0 on: session timeouts are then the broker's
    #[arg(
        long,
        env = "LICENSEFLOW_GROUP_PROTOCOL",
        default_value = "classic",
        value_name = "PROTOCOL"
    )]
    pub group_protocol: GroupProtocol,

    /// A name of this projector's own that it keeps over restarts, such as its host's in a stateful set: its
    /// partitions then wait for it until its session is over. A file's projector has one beside the file
    #[arg(long, env = "LICENSEFLOW_GROUP_INSTANCE", value_name = "NAME", value_parser = instance)]
    pub group_instance: Option<String>,

    /// The most records that one batch writes to the store
    #[arg(long, env = "LICENSEFLOW_BATCH_RECORDS_MAX", default_value = "200000", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub batch_records_max: u32,

    /// Where so much waits for the store, in percent of what two full batches hold, nothing more is read
    #[arg(long, env = "LICENSEFLOW_WAITING_HIGH_PERCENT", default_value = "100", value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub waiting_high_percent: u32,

    /// Where no more than this waits, partitions that were left for that are read again; at most the high one
    #[arg(long, env = "LICENSEFLOW_WAITING_LOW_PERCENT", default_value = "60", value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub waiting_low_percent: u32,

    /// Tell an operator once a partition of the interactive lane was behind for longer, in seconds; 0: never
    #[arg(
        long,
        env = "LICENSEFLOW_ALERT_LAG_SECONDS",
        default_value = "60",
        value_name = "SECONDS"
    )]
    pub alert_lag_seconds: u32,

    /// Tell an operator once what was read has waited for the store for longer, in seconds; 0: never
    #[arg(
        long,
        env = "LICENSEFLOW_ALERT_WAITING_SECONDS",
        default_value = "30",
        value_name = "SECONDS"
    )]
    pub alert_waiting_seconds: u32,

    /// The bulk lane has a twentieth of the records while the interactive lane has more events than this to be
    /// applied; below, what its records add to a batch is bounded by milliseconds
    #[arg(long, env = "LICENSEFLOW_BULK_YIELDS_ABOVE", default_value = "1000", value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(0..=1_000_000_000))]
    pub bulk_yields_above: u32,

    /// A partition is left alone once so many of its records in a row were to be rejected for what may be a
    /// fault of this release, such as a type of event that stands in a registered schema; 0: never
    #[arg(long, env = "LICENSEFLOW_SUSPECTS_RUN_MAX", default_value = "20", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub suspects_run_max: u32,

    /// The same for a share of its last 100 records, 0.01 to 1; more than 1: never
    #[arg(long, env = "LICENSEFLOW_SUSPECTS_SHARE_MAX", default_value = "0.5", value_name = "SHARE", value_parser = share)]
    pub suspects_share_max: f64,

    /// So many dead letters of a partition are sent as they come; those beyond at 50 a second, and nothing else
    /// waits for them; 0: all are sent as they come
    #[arg(
        long,
        env = "LICENSEFLOW_LETTERS_AT_ONCE",
        default_value = "1000",
        value_name = "COUNT"
    )]
    pub letters_at_once: u32,

    /// How often a record is tried whose schema id the registry does not know yet, 1 s, 2 s, 4 s … later, before
    /// it goes to the dead-letter topic; 1: it goes there at once
    #[arg(long, env = "LICENSEFLOW_RETRY_ATTEMPTS", default_value = "6", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub retry_attempts: u32,

    /// The most records that wait for another try; those beyond go to the dead-letter topic at once
    #[arg(long, env = "LICENSEFLOW_RETRIES_WAITING_MAX", default_value = "1000", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub retries_waiting_max: u32,
}

/// Kafka takes what a topic's name may have; room is left for a number behind it.
fn instance(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=200).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("1 to 200 of A-Z a-z 0-9 . _ -".to_owned())
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| *share >= 0.01);
    share.ok_or_else(|| "expected a share such as 0.5; 2 is never reached".to_owned())
}
