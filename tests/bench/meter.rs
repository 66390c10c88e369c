//! What is measured of a process: time, processor time, peak memory.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context;
use licenseflow_tests::harness::Process;
use serde::{Deserialize, Serialize};

/// One measurement.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// Processor time of all threads, start and end of the process included where it is one of its own.
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_bytes: u64,
}

impl Measured {
    /// What a process of its own took for so many events, from its beginning on but for the time.
    pub(crate) fn of(process: &Process, events: u64, seconds: f64) -> anyhow::Result<Self> {
        Ok(Self {
            events,
            bytes: 0,
            seconds,
            cpu_seconds: cpu_seconds(&process.id().to_string())?,
            peak_bytes: process.peak_memory_bytes()?,
        })
    }

    pub(crate) fn events_per_second(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    pub(crate) fn cpu_micros_per_event(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.events as f64
    }
}

/// Adds up the pieces of time that count.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    counted: Duration,
    cpu_seconds: f64,
}

impl Meter {
    pub(crate) fn count<T>(&mut self, work: impl FnOnce() -> T) -> T {
        // Where the system does not say, the measurement shows a zero.
        let cpu = || cpu_seconds("thread-self").unwrap_or(0.0);
        let (begun, cpu_before) = (Instant::now(), cpu());
        let done = work();
        self.counted += begun.elapsed();
        self.cpu_seconds += cpu() - cpu_before;
        done
    }

    pub(crate) fn and(self, other: Meter) -> Meter {
        Meter {
            counted: self.counted + other.counted,
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
        }
    }

    /// The measurement of work on one thread.
    pub(crate) fn measured(self, events: u64, bytes: u64) -> anyhow::Result<Measured> {
        Ok(Measured {
            events,
            bytes,
            seconds: self.counted.as_secs_f64(),
            cpu_seconds: self.cpu_seconds,
            peak_bytes: peak_bytes("self")?,
        })
    }
}

/// The most memory that a process ever held; `process` is its id, or `self`.
pub(crate) fn peak_bytes(process: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let text = line.context("no VmHWM")?.trim().trim_end_matches(" kB");
    Ok(text.parse::<u64>()? * 1024)
}

/// The processor time that a process has used; `process` is its id, `self`, or
/// `thread-self` for the calling thread alone.
pub(crate) fn cpu_seconds(process: &str) -> anyhow::Result<f64> {
    /// `sysconf(_SC_CLK_TCK)` of Linux, which its user space has for ever.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name before may hold anything; the fields after it count from the state on, the third.
    let (_, fields) = stat.rsplit_once(") ").context("no name in stat")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |place: usize| -> anyhow::Result<f64> {
        Ok(fields.get(place - 3).context("stat is short")?.parse()?)
    };
    Ok((ticks(14)? + ticks(15)?) / TICKS_PER_SECOND)
}
