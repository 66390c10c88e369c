//! The platform as a person runs it: the `licenseflow` binary, on ports and in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{Folder, Port, Process, binary, project, python, wait_until};

/// How long a role may take until it is ready; the machine may be busy with other tests.
const READY: Duration = Duration::from_secs(90);

/// Which roles a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// All of them in one process.
    Up,
    /// The projector alone.
    Project,
    /// The intake alone.
    Ingest,
    /// The query API alone.
    Query,
}

impl Role {
    fn command(self) -> &'static str {
        match self {
            Role::Up => "up",
            Role::Project => "project",
            Role::Ingest => "ingest",
            Role::Query => "query",
        }
    }
}

/// One installation: a prefix on a cluster, a store, and the processes that a test starts on them.
#[derive(Debug)]
pub struct Platform {
    bootstrap: String,
    prefix: String,
    folder: Folder,
    http: Port,
    registry: Port,
    settings: Vec<(String, String)>,
    flags: Vec<String>,
}

impl Platform {
    /// How long a process may take to end by itself.
    pub const END: Duration = Duration::from_secs(20);

    /// An installation of which nothing runs yet.
    ///
    /// # Errors
    /// Where there is no free port or no folder.
    pub fn new(bootstrap: &str, prefix: &str) -> anyhow::Result<Self> {
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            prefix: prefix.to_owned(),
            folder: Folder::new("platform")?,
            http: Port::free()?,
            registry: Port::free()?,
            settings: Vec::new(),
            flags: Vec::new(),
        })
    }

    /// Sets an environment variable for whatever is started from now on.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Ends every command that is started from now on with these flags.
    #[must_use]
    pub fn with_flags(mut self, flags: &[String]) -> Self {
        self.flags.extend_from_slice(flags);
        self
    }

    /// Where the API answers.
    pub fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.http.number())
    }

    /// Where the schema registry answers.
    pub fn registry(&self) -> String {
        format!("http://127.0.0.1:{}", self.registry.number())
    }

    /// The brokers.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The prefix of its topics.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The interactive lane's topic.
    pub fn events_topic(&self) -> String {
        format!("{}license.events.v1", self.prefix)
    }

    /// The bulk lane's topic.
    pub fn bulk_topic(&self) -> String {
        format!("{}license.events.bulk.v1", self.prefix)
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("licenseflow.db")
    }

    /// A `licenseflow` command with this installation's settings in its environment.
    ///
    /// # Errors
    /// Where the binary was not built.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(binary()?);
        command
            .args(arguments)
            .args(&self.flags)
            .env("KAFKA_BOOTSTRAP_SERVERS", &self.bootstrap)
            .env("LICENSEFLOW_TOPIC_PREFIX", &self.prefix)
            .env("LICENSEFLOW_DATA_DIR", self.folder.path())
            .env(
                "LICENSEFLOW_STORE",
                format!("sqlite://{}", self.store().display()),
            )
            .env(
                "LICENSEFLOW_LISTEN",
                format!("127.0.0.1:{}", self.http.number()),
            )
            .env(
                "LICENSEFLOW_REGISTRY_LISTEN",
                format!("127.0.0.1:{}", self.registry.number()),
            )
            .current_dir(self.folder.path());
        for (name, value) in &self.settings {
            command.env(name, value);
        }
        Ok(command)
    }

    /// Starts a process and waits until it is ready.
    ///
    /// # Errors
    /// Where it ends or is not ready in time; with its log.
    pub fn start(&self, role: Role) -> anyhow::Result<Process> {
        let mut process = self.launch(role)?;
        let ready = wait_until("the platform is ready", READY, || {
            self.is_ready() || !process.is_running().unwrap_or(false)
        });
        let running = process.is_running()?;
        ready.with_context(|| process.stderr())?;
        ensure!(
            running,
            "it ended instead of starting:\n{}",
            process.stderr()
        );
        Ok(process)
    }

    /// Starts a process and does not wait.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn launch(&self, role: Role) -> anyhow::Result<Process> {
        Process::start(role.command(), &self.command(&[role.command()])?)
    }

    fn is_ready(&self) -> bool {
        let status = Command::new("curl")
            .args(["-sf", "-o", "/dev/null", "--max-time", "2"])
            .arg(format!("{}/readyz", self.api()))
            .status();
        status.is_ok_and(|status| status.success())
    }

    /// Runs a command to its end; what it wrote to standard output.
    ///
    /// # Errors
    /// Where it exits with another code than 0; with all that it wrote.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        finish(self.command(arguments)?)
    }

    /// What the API answers at a path, by curl.
    ///
    /// # Errors
    /// Where it answers with an error, or not in time.
    pub fn text(&self, path: &str) -> anyhow::Result<String> {
        let mut curl = Command::new("curl");
        curl.args(["-sf", "--max-time", "30"]);
        curl.arg(format!("{}{path}", self.api()));
        finish(curl)
    }

    /// The JSON that the API answers at a path.
    ///
    /// # Errors
    /// As [`Platform::text`], and where it is no JSON.
    pub fn json(&self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.text(path)?)?)
    }

    /// How many offsets the read model has dealt with, as the API says; none where it does not answer.
    pub fn dealt_with(&self) -> i64 {
        let position = self.json("/v1/position").unwrap_or_default();
        let partitions = position["partitions"].as_array();
        let next = |partition: &Value| partition["next_offset"].as_i64().unwrap_or(0);
        partitions.map_or(0, |all| all.iter().map(next).sum())
    }

    /// Sends so many records, some of which are conflicts, poison, or void another.
    ///
    /// # Errors
    /// As [`Platform::run`].
    pub fn generate(&self, records: i64, licenses: u32, tenants: u32) -> anyhow::Result<()> {
        let (records, licenses) = (records.to_string(), licenses.to_string());
        let tenants = tenants.to_string();
        let history = ["--count", &records, "--licenses", &licenses];
        let shares = ["--conflicting", "0.02", "--poison", "0.01"];
        let more = ["--voided", "0.02", "--tenants", &tenants];
        self.run(&[&["events", "generate"], &history[..], &shares, &more].concat())
            .map(|_| ())
    }

    /// Runs one of the clients that this project's Rust did not write.
    ///
    /// # Errors
    /// As [`Platform::run`].
    pub fn python(&self, script: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(python()?);
        let folder = project().join("tests/clients/python");
        command
            .args(["-W", "ignore"])
            .arg(folder.join(script))
            .args(arguments);
        finish(command)
    }

    /// Compares all that the API answers with the fold in Python; what it counted.
    ///
    /// # Errors
    /// Where there is any difference.
    pub fn compare(&self) -> anyhow::Result<Value> {
        self.compare_through(&self.registry())
    }

    /// As [`Platform::compare`], with another schema registry than the embedded one.
    ///
    /// # Errors
    /// As [`Platform::compare`].
    pub fn compare_through(&self, registry: &str) -> anyhow::Result<Value> {
        let api = self.api();
        let arguments = [
            "--bootstrap",
            &self.bootstrap,
            "--prefix",
            &self.prefix,
            "--registry",
            registry,
            "--api",
            &api,
        ];
        Ok(serde_json::from_str(
            &self.python("compare.py", &arguments)?,
        )?)
    }

    /// Folds the log by the naive way and compares digests.
    ///
    /// # Errors
    /// Where they differ.
    pub fn verify(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.run(&["verify", "--json"])?)?)
    }

    /// Asks the process to end, and waits for it.
    ///
    /// # Errors
    /// Where it does not end in time or not with exit code 0.
    pub fn stop(mut process: Process) -> anyhow::Result<()> {
        process.signal(super::Signal::Term)?;
        let code = process.wait(Self::END)?;
        ensure!(code == 0, "it ended with {code}:\n{}", process.stderr());
        Ok(())
    }

    /// A file in the installation's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder that it has for itself.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Runs a command to its end; what it wrote to standard output.
///
/// # Errors
/// Where it exits with another code than 0; with all that it wrote.
pub fn finish(mut command: Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?} ended with {}\n{stdout}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(stdout)
}
