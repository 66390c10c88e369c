//! Rebuilding one license in the live generation, alone.

use super::{OffThread, OnArgs};
use crate::exit::Exit;
use crate::schemas::CommandSchemas;
use crate::verify::{Going, LanesOverKafka, differences_json, differences_text};
use anyhow::Context;
use clap::Args;
use licenseflow_avro::LicenseKey;
use licenseflow_projector::replay::{NotRebuilt, OneLicense, Rebuilt, rebuild_license};
use licenseflow_projector::wall_clock;
use serde_json::{Value, json};
use std::fmt::Write as _;
use tokio::runtime::Handle;

/// Which license.
#[derive(Debug, Args)]
pub(crate) struct LicenseArgs {
    /// Rebuild this license alone, in the live generation, from all its records in the log
    #[arg(long, value_name = "ID", conflicts_with_all = [
        "from_time", "from_position", "partitions", "records_per_second", "live_lag_max_ms", "switch_when_equal",
        "detach",
    ])]
    license: Option<String>,
    /// The license's tenant
    #[arg(
        long,
        value_name = "ID",
        default_value = "default",
        requires = "license"
    )]
    tenant: String,
}

impl LicenseArgs {
    /// None: a generation is to be built.
    pub(super) fn key(self) -> Option<LicenseKey> {
        Some(LicenseKey {
            license_id: self.license?,
            tenant_id: self.tenant,
        })
    }
}

/// Rebuilds a license, and tells what came of it.
pub(super) async fn run(key: LicenseKey, on: OnArgs) -> anyhow::Result<Exit> {
    let OffThread(generations) = on.generations().await?;
    let lanes = LanesOverKafka {
        settings: on.log.settings("licenseflow-replay")?,
        topics: on.log.topics(),
    };
    let schemas = CommandSchemas::open(&on.log)?;
    let blocking = schemas.client.blocking(Handle::current());
    let of = key.clone();
    let rebuilding = tokio::task::spawn_blocking(move || {
        let live = generations.book().map_err(NotRebuilt::from)?.live;
        let audit = generations.audit(live).map_err(NotRebuilt::from)?;
        let position = audit
            .begin()
            .map_err(NotRebuilt::from)?
            .at()
            .position
            .clone();
        let mut going = Going::of(&None, &position);
        let asked = OneLicense {
            generations: &*generations,
            lanes: &lanes,
            schemas: &blocking,
            key: &of,
            clock: wall_clock(),
        };
        rebuild_license(&asked, &mut |progress| going.on(progress))
    });
    let rebuilt = rebuilding.await.context("the rebuilding did not end")??;
    on.output
        .print(text(&key, &rebuilt), &shown(&key, &rebuilt))?;
    Ok(match rebuilt.left.is_empty() {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

fn text(key: &LicenseKey, rebuilt: &Rebuilt) -> String {
    let Rebuilt {
        generation,
        position,
        records,
        events,
        ..
    } = rebuilt;
    let mut text = format!(
        "license    {} of {}\nposition   {position}\nrecords    {records}\n",
        key.license_id, key.tenant_id
    );
    let what = match (rebuilt.is_there, rebuilt.was_stored) {
        (true, true) => format!("rebuilt in generation {generation}, from {events} events"),
        (true, false) => {
            format!("it was missing: built in generation {generation}, from {events} events")
        }
        (false, true) => {
            format!("the log has nothing of it: what generation {generation} had of it is removed")
        }
        (false, false) => "no record of it counts: there is nothing to rebuild".to_owned(),
    };
    let _ = write!(text, "{what}");
    if rebuilt.letters > 0 {
        let _ = write!(
            text,
            "; {} dead letters of its records put right",
            rebuilt.letters
        );
    }
    if !rebuilt.left.is_empty() {
        text.push_str(
            "\n\nstill wrong, since the store alone knows what became of these records; another generation has \
             them right:\n",
        );
        differences_text(&mut text, &rebuilt.left);
    }
    text.trim_end().to_owned()
}

fn shown(key: &LicenseKey, rebuilt: &Rebuilt) -> Value {
    json!({
        "tenant_id": key.tenant_id,
        "license_id": key.license_id,
        "generation": rebuilt.generation,
        "position": rebuilt.position.to_string(),
        "records": rebuilt.records,
        "events": rebuilt.events,
        "was_stored": rebuilt.was_stored,
        "exists": rebuilt.is_there,
        "letters": rebuilt.letters,
        "differences_left": differences_json(&rebuilt.left),
    })
}
