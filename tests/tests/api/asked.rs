//! Questions to a process by curl.

use std::process::Command;
use std::time::Duration;

use licenseflow_tests::harness::platform::finish;
use licenseflow_tests::harness::{Port, Process, wait_until};
use serde_json::Value;

/// How long a process may take until it is ready, the machine being busy with other tests.
const READY: Duration = Duration::from_secs(90);

/// The head and the body of an answer, whatever its status. Names of headers are in lower case.
pub(crate) fn whole(api: &str, path: &str, arguments: &[&str]) -> (String, String) {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-i", "--max-time", "20"]).args(arguments);
    let answer = finish({
        curl.arg(format!("{api}{path}"));
        curl
    });
    let answer = answer.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

/// The JSON of an answer.
pub(crate) fn json(api: &str, path: &str, arguments: &[&str]) -> Value {
    let (head, body) = whole(api, path, arguments);
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {head}\n{body}"))
}

/// Waits until the process that serves this port is ready.
pub(crate) fn ready(process: &mut Process, port: &Port) -> String {
    let api = format!("http://127.0.0.1:{}", port.number());
    let told = wait_until("it is ready", READY, || {
        let mut curl = Command::new("curl");
        curl.args(["-sf", "--max-time", "2", &format!("{api}/readyz")]);
        finish(curl).is_ok() || !process.is_running().unwrap()
    });
    assert!(
        told.is_ok() && process.is_running().unwrap(),
        "{}",
        process.stderr()
    );
    api
}
