//! Nothing that a test starts outlives it, not even where it aborts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use licenseflow_tests::harness::{Folder, Kafka, Process, wait_until};

/// Set for the second process of this test, and names where to write what it started.
const ABORT: &str = "LICENSEFLOW_HOUSE_ABORT";

#[test]
fn nothing_outlives_a_test_process_that_aborts() {
    if let Some(notes) = env::var_os(ABORT) {
        start_and_abort(&PathBuf::from(notes));
    }
    let folder = Folder::new("abort").unwrap();
    let notes = folder.path().join("started");
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "outlived::nothing_outlives_a_test_process_that_aborts",
        ])
        .env(ABORT, &notes)
        .output()
        .unwrap();
    assert!(!output.status.success(), "it did not abort");
    let noted = fs::read_to_string(&notes).unwrap();
    let (process, address) = noted.split_once(' ').unwrap();
    wait_until("the process's end", Duration::from_secs(10), || {
        !Path::new("/proc").join(process).exists()
    })
    .unwrap();
    wait_until("the broker's end", Duration::from_secs(30), || {
        std::net::TcpStream::connect(address).is_err()
    })
    .unwrap();
}

fn start_and_abort(notes: &Path) -> ! {
    let mut sleep = Command::new("sleep");
    sleep.arg("1000");
    let process = Process::start("sleep", &sleep).unwrap();
    let kafka = Kafka::own().unwrap();
    std::net::TcpStream::connect(kafka.bootstrap()).unwrap();
    fs::write(notes, format!("{} {}", process.id(), kafka.bootstrap())).unwrap();
    std::process::abort()
}
