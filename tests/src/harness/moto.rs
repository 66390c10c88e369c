//! An S3-compatible store that this project did not write: moto's server, with its data in memory.
//!
//! Owns how it is started, and the few orders that a test gives it past the platform; the platform speaks to it
//! over S3's own protocol.

use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::platform::finish;
use super::{Platform, Port, Process, python, wait_until};

/// A Python program that imports much, on a busy machine.
const READY: Duration = Duration::from_secs(120);

/// The credentials of whoever asks; it checks none.
const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_REGION", "us-east-1"),
];

/// The store, ended with its owner.
#[derive(Debug)]
pub struct Moto {
    process: Process,
    port: Port,
}

impl Moto {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// Where `make setup` has not run, or it does not answer in time; with its log.
    pub fn start() -> anyhow::Result<Self> {
        let port = Port::free()?;
        let number = port.number().to_string();
        let mut command = Command::new(python()?);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &number]);
        let process = Process::start("moto", &command)?;
        let store = Self { process, port };
        wait_until("moto answers", READY, || {
            store.tried("GET", "", &[]).is_ok()
        })
        .with_context(|| store.process.stderr())?;
        Ok(store)
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// An installation whose commands find the store by the usual variables.
    #[must_use]
    pub fn for_platform(&self, platform: Platform) -> Platform {
        let known = KEYS.iter().fold(platform, |platform, (name, value)| {
            platform.with(name, value)
        });
        known.with("AWS_ENDPOINT_URL", &self.url())
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn make_bucket(&self, bucket: &str) -> anyhow::Result<()> {
        self.tried("PUT", bucket, &[]).map(|_| ())
    }

    /// Puts a file in the place of an object.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn put(&self, object: &str, file: &str) -> anyhow::Result<()> {
        self.tried("PUT", object, &["-T", file]).map(|_| ())
    }

    /// Copies an object to a file.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn get(&self, object: &str, file: &str) -> anyhow::Result<()> {
        self.tried("GET", object, &["-o", file]).map(|_| ())
    }

    /// Takes an object away.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn delete(&self, object: &str) -> anyhow::Result<()> {
        self.tried("DELETE", object, &[]).map(|_| ())
    }

    fn tried(&self, method: &str, path: &str, more: &[&str]) -> anyhow::Result<String> {
        let mut curl = Command::new("curl");
        let keys = format!("{}:{}", KEYS[0].1, KEYS[1].1);
        let signed = format!("aws:amz:{}:s3", KEYS[2].1);
        curl.args(["-sf", "--max-time", "10", "-X", method])
            .args(["--aws-sigv4", &signed, "--user", &keys])
            .args(more)
            .arg(format!("{}/{path}", self.url()));
        finish(curl)
    }
}
