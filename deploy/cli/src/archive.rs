//! `archive`: what is new in the log is copied to a folder or a bucket.

use crate::exit::Exit;
use crate::keeping::{self, KeepingArgs};
use clap::Args;
use licenseflow_archive::{Address, Archived, Holds, Job, LogSource, Place, Shelf, archive};
use licenseflow_avro::Lane;
use licenseflow_runtime::log::Admin;
use serde_json::json;
use tokio::runtime::Handle;

#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    /// Where to: a folder, or s3://BUCKET/PREFIX by AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and the like
    #[arg(long, value_name = "PLACE", value_parser = keeping::address)]
    to: Address,
    /// A file holds records of so many MiB, uncompressed; memory grows with it, and not with the log
    #[arg(long, value_name = "MIB", default_value = "32", value_parser = clap::value_parser!(u16).range(1..=1024))]
    part_mib: u16,
    #[command(flatten)]
    keeping: KeepingArgs,
}

pub(crate) async fn run(arguments: ArchiveArgs) -> anyhow::Result<Exit> {
    let ArchiveArgs {
        to,
        part_mib,
        keeping,
    } = arguments;
    let settings = keeping.settings("licenseflow-archive")?;
    let admin = keeping.admin(&settings).await?;
    let cluster_id = admin.off_thread(Admin::cluster_id).await?;
    let topics = keeping.topics();
    let lanes = [
        (Holds::Interactive, topics.lane(Lane::Interactive)),
        (Holds::Bulk, topics.lane(Lane::Bulk)),
    ];
    let schemas = keeping.schemas().map(|name| (Holds::Schemas, name));
    let job = Job {
        topics: lanes.into_iter().chain(schemas).collect(),
        part_bytes: usize::from(part_mib) << 20,
    };
    let runtime = Handle::current();
    let (archived, missing) = keeping::blocking(move |stop| {
        let place = Place::make(&to, runtime)?;
        let mut shelf = Shelf::begin(place, &cluster_id, topics.prefix())?;
        let source = LogSource::new(&settings, admin);
        let mut shown = keeping::shown("offsets");
        let archived = archive(&mut shelf, &source, &job, stop, &mut shown)?;
        Ok((archived, shelf.manifest().missing()))
    })
    .await?;
    show(&archived, missing, &keeping)?;
    Ok(Exit::Done)
}

fn show(archived: &Archived, missing: i64, keeping: &KeepingArgs) -> anyhow::Result<()> {
    let Archived {
        parts,
        records,
        bytes,
        unreadable_headers,
    } = archived;
    if *unreadable_headers > 0 {
        tracing::warn!(
            records = unreadable_headers,
            "some headers have a name that is no UTF-8: they are kept as \u{FFFD}, without a value"
        );
    }
    let text = format!("{records} records archived in {parts} parts of {bytes} bytes");
    let json = json!({
        "parts": parts,
        "records": records,
        "bytes": bytes,
        "unreadable_headers": unreadable_headers,
        "missing_offsets": missing,
    });
    Ok(keeping.output.print(text, &json)?)
}
