//! kcat, the plainest foreign client: lines in, lines out.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Sends each line of `lines` as a record; `extra` are further arguments of kcat.
///
/// # Errors
/// Where kcat fails, so where a record was not acknowledged.
pub fn produce(bootstrap: &str, topic: &str, extra: &[&str], lines: &str) -> anyhow::Result<()> {
    run(
        &[&["-P", "-b", bootstrap, "-t", topic], extra].concat(),
        lines,
    )
    .map(|_| ())
}

/// Reads a topic from its beginning to its end.
///
/// # Errors
/// Where kcat fails.
pub fn consume(bootstrap: &str, topic: &str, extra: &[&str]) -> anyhow::Result<String> {
    let from_all = [
        "-C",
        "-q",
        "-e",
        "-o",
        "beginning",
        "-b",
        bootstrap,
        "-t",
        topic,
    ];
    run(&[&from_all, extra].concat(), "")
}

/// What the brokers say about a topic, as kcat's JSON.
///
/// # Errors
/// Where kcat fails or says no JSON.
pub fn metadata(bootstrap: &str, topic: &str) -> anyhow::Result<serde_json::Value> {
    let said = run(&["-L", "-J", "-b", bootstrap, "-t", topic], "")?;
    serde_json::from_str(&said).with_context(|| format!("kcat said no JSON: {said}"))
}

fn run(arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let mut kcat = Command::new("kcat")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run kcat; run: make setup")?;
    // kcat answers nothing before its input ends when it produces, so this cannot lock up.
    kcat.stdin
        .take()
        .context("kcat has no input")?
        .write_all(input.as_bytes())
        .context("kcat ended before it had read all")?;
    let output = kcat.wait_with_output()?;
    ensure!(
        output.status.success(),
        "kcat {}: {}\n{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    // Headers may be bytes.
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
