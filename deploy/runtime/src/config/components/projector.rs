//! How the projector reads and how much it may hold.

/// Bounds of the projector.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Projector")]
pub struct ProjectorArgs {
    /// Ceiling of the projector's memory, in MiB
    #[arg(long, env = "LICENSEFLOW_MEMORY_CEILING_MIB", default_value = "512", value_name = "MIB", value_parser = clap::value_parser!(u32).range(96..=1_048_576))]
    pub memory_ceiling_mib: u32,

    /// How many write to PostgreSQL at once, each a member of the group with partitions of its own;
    /// without it as many as this machine has cores, at most 4; fewer where the memory ceiling has no room
    /// for all. A file has one writer
    #[arg(long, env = "LICENSEFLOW_APPLIERS", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=32))]
    pub appliers: Option<u32>,

    /// The most records that one batch writes to the store
    #[arg(long, env = "LICENSEFLOW_BATCH_RECORDS_MAX", default_value = "200000", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub batch_records_max: u32,
}
