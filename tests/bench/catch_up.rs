//! The projector as users run it, on an empty store, until it stands at the end of the log.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use licenseflow_projector::wall_clock;
use licenseflow_tests::harness::{Platform, Process, Role};
use rusqlite::{Connection, OpenFlags};

use crate::Options;
use crate::fill::Log;
use crate::meter::Measured;

/// A projector that takes longer than this is not worth measuring.
const PATIENCE: Duration = Duration::from_secs(1_800);
const GLANCE: Duration = Duration::from_millis(10);

/// One catch-up, timed from the first batch, which is given to the store as soon as the first records are there, to
/// the position at the end; and a generation that is built beside what it made.
pub(crate) fn run(
    options: &Options,
    bootstrap: &str,
    prefix: &str,
    log: &Log,
) -> anyhow::Result<(Measured, Measured)> {
    let platform = Platform::new(bootstrap, prefix)?.with(
        "LICENSEFLOW_MEMORY_CEILING_MIB",
        &options.ceiling_mib.to_string(),
    );
    // The same member each time: the group need not wait until it has forgotten the last one.
    std::fs::write(platform.store().with_extension("db.instance"), "bench")?;
    let clock = wall_clock();
    let mut project = platform.launch(Role::Project)?;
    let mut ended = 0;
    until_applied(&mut project, log.offsets, || {
        ended = clock();
        applied(&platform.store())
    })?;
    let seconds = (ended - first_batch_ms(&platform.store())?) as f64 / 1000.0;
    let measured = Measured::of(&project, options.events, seconds)?;
    Platform::stop(project)?;
    Ok((measured, build(options, &platform)?))
}

/// A replay from the beginning, with the memory of the projector's ceiling, until all that it has read is in its
/// place; the comparison with the live one comes behind that.
fn build(options: &Options, platform: &Platform) -> anyhow::Result<Measured> {
    let mut command = platform.command(&["replay", "--json"])?;
    let ceiling = options.ceiling_mib.to_string();
    command.env("LICENSEFLOW_REPLAY_MEMORY_MIB", ceiling);
    let clock = wall_clock();
    let mut replay = Process::start("replay", &command)?;
    let mut built = platform.store().into_os_string();
    built.push(".g2");
    let built = Path::new(&built);
    let mut measured = None;
    while replay.is_running()? {
        if measured.is_none() && is_built(built) {
            let seconds = (clock() - first_batch_ms(built)?) as f64 / 1000.0;
            measured = Some(Measured::of(&replay, options.events, seconds)?);
        }
        std::thread::sleep(GLANCE);
    }
    let code = replay.wait(PATIENCE)?;
    ensure!(
        code == 0,
        "the replay ended with {code}:\n{}",
        replay.stderr()
    );
    measured.context("nobody saw that it was built")
}

/// Whether a generation has put in its place what it has read.
fn is_built(store: &Path) -> bool {
    let sql =
        "select next_offset > 0 and not exists (select 1 from sqlite_schema where name = 'loading')
         from position order by next_offset desc limit 1";
    // The file or its tables may not be there yet.
    let asked = open(store).and_then(|store| Ok(store.query_row(sql, [], |row| row.get(0))?));
    asked.unwrap_or(false)
}

/// Waits until what a projector has applied comes to so many offsets.
pub(crate) fn until_applied(
    project: &mut Process,
    offsets: i64,
    mut applied: impl FnMut() -> anyhow::Result<i64>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    while applied()? < offsets {
        ensure!(project.is_running()?, "it ended:\n{}", project.stderr());
        if begun.elapsed() > PATIENCE {
            bail!("no end after {PATIENCE:?}:\n{}", project.stderr());
        }
        std::thread::sleep(GLANCE);
    }
    Ok(())
}

fn open(store: &Path) -> anyhow::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(store, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// The sum of the interactive lane's next offsets; 0 as long as there is no store.
fn applied(store: &Path) -> anyhow::Result<i64> {
    if !store.exists() {
        return Ok(0);
    }
    let sql = "select ifnull(sum(next_offset), 0) from position where lane = 1";
    // The tables may not be there yet.
    Ok(open(store)?
        .query_row(sql, [], |row| row.get(0))
        .unwrap_or(0))
}

fn first_batch_ms(store: &Path) -> anyhow::Result<i64> {
    let sql = "select min(applied_at_ms) from batch where records > 0";
    let first: Option<i64> = open(store)?.query_row(sql, [], |row| row.get(0))?;
    first.context("no batch was written")
}
