//! A projector that stands still for longer than its session, and wakes when another has its partitions.

use std::fs;
use std::time::Duration;

use licenseflow_tests::harness::{Platform, Process, Role, Signal, wait_until};
use licenseflow_tests::standing::dealt_with;

use super::one_database::OneDatabase;

/// How long a step may take, the machine being busy with other tests.
const STEP: Duration = Duration::from_secs(120);

/// The shortest session that a broker allows, as it comes.
const SESSION: &str = "session.timeout.ms=6000";

/// Batches that were not written: the store has refused them as another owner's; or it has closed the connection
/// of a process that was silent inside a transaction, which is the other way in which such a one is kept out.
const REFUSED: [&str; 2] = [
    "licenseflow_projector_failures_total{place=\"apply\",kind=\"fenced\"}",
    "licenseflow_projector_failures_total{place=\"apply\",kind=\"away\"}",
];

/// Whether the process is frozen, by the third word of what the system says of it.
pub(crate) fn stands_still(process: &Process) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap_or_default();
    let behind_the_name = stat.rsplit(')').next().unwrap_or_default();
    behind_the_name.trim_start().starts_with('T')
}

fn is_refused(platform: &Platform) -> bool {
    let metrics = platform.text("/metrics").unwrap_or_default();
    let is_refused = |line: &str| REFUSED.iter().any(|it| line.starts_with(it));
    metrics.lines().any(is_refused)
}

#[test]
fn a_projector_that_wakes_after_it_lost_its_partitions_writes_nothing() {
    const RECORDS: i64 = 6_000;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = OneDatabase::new();
    let place = || {
        let flags = ["-X".to_owned(), SESSION.to_owned()];
        let place = database.place().with("LICENSEFLOW_APPLIERS", "1");
        place
            .with("LICENSEFLOW_BATCH_RECORDS_MAX", "200")
            // What nobody can read is a letter at once, as the independent fold has it.
            .with("LICENSEFLOW_RETRY_ATTEMPTS", "1")
            .with_flags(&flags)
    };
    let reads = place();
    let up = reads.start(Role::Up).unwrap();
    reads.generate(RECORDS, 300, 2).unwrap();
    let lookup = database.lookup(runtime.handle());
    wait_until("all is dealt with", STEP, || dealt_with(&lookup) >= RECORDS).unwrap();
    Platform::stop(up).unwrap();

    // It stops itself with a batch at hand that the store has not seen.
    let sleeper = place().with("LICENSEFLOW_STOP_AT", "after_poll:3");
    let mut zombie = sleeper.launch(Role::Project).unwrap();
    let has_joined = || sleeper.text("/readyz").is_ok();
    wait_until("it has its partitions", STEP, has_joined)
        .unwrap_or_else(|error| panic!("{error}\n{}", zombie.stderr()));
    reads.generate(RECORDS, 300, 2).unwrap();
    wait_until("it stands still", STEP, || stands_still(&zombie))
        .unwrap_or_else(|error| panic!("{error}\n{}", zombie.stderr()));

    // Another takes over once the session is over, and writes all that the first had at hand.
    let up = reads.start(Role::Up).unwrap();
    wait_until("the other has taken over", STEP, || {
        dealt_with(&lookup) >= 2 * RECORDS
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", up.stderr()));
    assert!(stands_still(&zombie));
    let before = reads.verify().unwrap();
    assert_eq!(before["equal"], true, "{before}");

    zombie.signal(Signal::Continue).unwrap();
    wait_until("the store has refused what it had at hand", STEP, || {
        is_refused(&sleeper)
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", zombie.stderr()));
    let after = reads.verify().unwrap();
    assert_eq!(after["digest"], before["digest"], "{after}");
    // It lives, has its share again, and both go on.
    reads.generate(RECORDS, 300, 2).unwrap();
    wait_until("both go on", STEP, || dealt_with(&lookup) >= 3 * RECORDS)
        .unwrap_or_else(|error| panic!("{error}\n{}\n{}", zombie.stderr(), up.stderr()));
    wait_until("it is ready again", STEP, || {
        sleeper.text("/readyz").is_ok()
    })
    .unwrap();
    reads.compare().unwrap();
    Platform::stop(zombie).unwrap();
    Platform::stop(up).unwrap();
}
