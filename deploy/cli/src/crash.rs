//! Dying at a named point, for tests that show what a death there leaves behind.
//!
//! `LICENSEFLOW_CRASH_AT=POINT` or `POINT:N` ends the process by abort when the point is passed, or
//! passed for the Nth time. Unset, nothing is hooked.

use anyhow::bail;
use licenseflow_core::crash;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

const VARIABLE: &str = "LICENSEFLOW_CRASH_AT";

static POINT: OnceLock<String> = OnceLock::new();
static PASSES_LEFT: AtomicU64 = AtomicU64::new(1);

/// Hooks the point that the environment names, if it names one.
pub(crate) fn hook() -> anyhow::Result<()> {
    let Ok(setting) = std::env::var(VARIABLE) else {
        return Ok(());
    };
    let (point, passes) = setting.split_once(':').unwrap_or((&setting, "1"));
    if !crash::ALL.contains(&point) {
        bail!(
            "{VARIABLE}: there is no point {point}; there are {}",
            crash::ALL.join(", ")
        );
    }
    PASSES_LEFT.store(passes.parse()?, Ordering::Relaxed);
    if POINT.set(point.to_owned()).is_ok() {
        tracing::warn!(
            point,
            passes,
            "the process will abort at this point: {VARIABLE} is set"
        );
        crash::set_hook(pass);
    }
    Ok(())
}

fn pass(point: &'static str) {
    if POINT.get().is_some_and(|deadly| deadly == point)
        && PASSES_LEFT.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}
