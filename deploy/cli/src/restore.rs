//! `restore`: what was archived becomes a log again, in a cluster whose topics are empty.

use crate::exit::Exit;
use crate::keeping::{self, KeepingArgs};
use clap::Args;
use licenseflow_archive::{Address, Checked, Place, Restored, Shelf, Target, check, restore};
use serde_json::json;
use tokio::runtime::Handle;

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Where from: a folder, or s3://BUCKET/PREFIX by AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and the like
    #[arg(long, value_name = "PLACE", value_parser = keeping::address)]
    from: Address,
    /// Read every file of the archive and compare its checksum; restore nothing, and ask no broker
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    keeping: KeepingArgs,
}

pub(crate) async fn run(arguments: RestoreArgs) -> anyhow::Result<Exit> {
    let RestoreArgs {
        from,
        check,
        keeping,
    } = arguments;
    if check {
        checked(from, &keeping).await?;
    } else {
        restored(from, &keeping).await?;
    }
    Ok(Exit::Done)
}

async fn checked(from: Address, keeping: &KeepingArgs) -> anyhow::Result<()> {
    let runtime = Handle::current();
    let (checked, missing) = keeping::blocking(move |stop| {
        let shelf = Shelf::open(Place::open(&from, runtime)?)?;
        let checked = check(&shelf, stop, &mut keeping::shown("bytes"))?;
        Ok((checked, shelf.manifest().missing()))
    })
    .await?;
    let Checked {
        parts,
        records,
        bytes,
    } = checked;
    let text = format!(
        "{records} records in {parts} parts of {bytes} bytes are whole{}",
        cut_short(missing)
    );
    let json = json!({
        "parts": parts,
        "records": records,
        "bytes": bytes,
        "missing_offsets": missing,
    });
    Ok(keeping.output.print(text, &json)?)
}

async fn restored(from: Address, keeping: &KeepingArgs) -> anyhow::Result<()> {
    let settings = keeping.settings("licenseflow-restore")?;
    let admin = keeping.admin(&settings).await?;
    let (topics, schemas) = (keeping.topics(), keeping.schemas());
    let runtime = Handle::current();
    let (restored, missing) = keeping::blocking(move |stop| {
        let shelf = Shelf::open(Place::open(&from, runtime)?)?;
        let target = Target::new(&settings, admin, &topics, schemas);
        let restored = restore(&shelf, &target, stop, &mut keeping::shown("records"))?;
        Ok((restored, shelf.manifest().missing()))
    })
    .await?;
    let Restored {
        records,
        known,
        mapping,
    } = restored;
    let text = format!(
        "{records} records restored, {known} were there already{}{}",
        cut_short(missing),
        keeping::mapping_text(&mapping)
    );
    let json = json!({
        "records": records,
        "known": known,
        "missing_offsets": missing,
        "partitions": keeping::mapping_json(&mapping),
    });
    Ok(keeping.output.print(text, &json)?)
}

/// A run of archiving that was ended before its end leaves less than the log had then.
fn cut_short(missing: i64) -> String {
    match missing {
        0 => String::new(),
        _ => format!(
            "; the last run of archive did not come to its end: {missing} offsets are not in it"
        ),
    }
}
