//! Dying at a named point, or standing still there, for tests that show what that leaves behind.
//!
//! `LICENSEFLOW_CRASH_AT=POINT` or `POINT:N` ends the process by abort when the point is passed, or
//! passed for the Nth time; `LICENSEFLOW_STOP_AT` stops it there, as SIGSTOP does, until it is told to go on.
//! `LICENSEFLOW_CHANGED_FOLD` makes the fold that of a later release. Unset, nothing is hooked.

use anyhow::bail;
use licenseflow_core::crash;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens at the point, by the variable that names it.
const DEEDS: [(&str, fn()); 2] = [
    ("LICENSEFLOW_CRASH_AT", || std::process::abort()),
    ("LICENSEFLOW_STOP_AT", stop),
];

static POINT: OnceLock<(String, fn())> = OnceLock::new();
static PASSES_LEFT: AtomicU64 = AtomicU64::new(1);

/// Hooks the point that the environment names, if it names one.
pub(crate) fn hook() -> anyhow::Result<()> {
    if std::env::var_os("LICENSEFLOW_CHANGED_FOLD").is_some() {
        tracing::warn!("the fold is another one, for a test: LICENSEFLOW_CHANGED_FOLD is set");
        licenseflow_core::fold_version::change();
    }
    for (variable, deed) in DEEDS {
        if let Ok(setting) = std::env::var(variable) {
            hook_at(variable, &setting, deed)?;
        }
    }
    Ok(())
}

fn hook_at(variable: &str, setting: &str, deed: fn()) -> anyhow::Result<()> {
    let (point, passes) = setting.split_once(':').unwrap_or((setting, "1"));
    let points = [
        &crash::ALL[..],
        &crash::OF_ARCHIVE,
        &crash::OF_REPLAY,
        &crash::OF_LICENSE,
    ]
    .concat();
    if !points.contains(&point) {
        bail!(
            "{variable}: there is no point {point}; there are {}",
            points.join(", ")
        );
    }
    PASSES_LEFT.store(passes.parse()?, Ordering::Relaxed);
    if POINT.set((point.to_owned(), deed)).is_ok() {
        tracing::warn!(
            point,
            passes,
            "the process will not get past this point: {variable} is set"
        );
        crash::set_hook(pass);
    }
    Ok(())
}

fn pass(point: &'static str) {
    if let Some((chosen, deed)) = POINT.get()
        && chosen == point
        && PASSES_LEFT.fetch_sub(1, Ordering::Relaxed) == 1
    {
        deed();
    }
}

/// Sends this process the signal that freezes it.
fn stop() {
    let id = std::process::id().to_string();
    // Where there is no `kill`, the test that waits for the standstill says so.
    let _ = std::process::Command::new("kill")
        .args(["-STOP", &id])
        .status();
}
