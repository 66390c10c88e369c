//! A real Kafka for tests: one shared by all, one of a test's own, a cluster of three.
//!
//! Starts them through `deploy/local/kafka`, as users do. Only a broker that belongs to one
//! test can be killed or stopped: the shared one is given out behind `&`, and ending takes `&mut`.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::{env, fmt, fs};

use anyhow::{Context, bail, ensure};

use super::folder::Folder;
use super::places::project;
use super::ports::Port;
use super::process::Signal;

/// Names the brokers to use as the shared Kafka; `make test` sets it for all test binaries.
const SHARED: &str = "LICENSEFLOW_TEST_KAFKA";

/// Waits for the end of the pipe that only the test holds open, then wipes the folder.
const GUARD: &str = r#"trap "" INT TERM HUP; cat >/dev/null; exec "$0" wipe --dir "$1""#;

/// A prefix of one test's own for topics, groups and transactional ids
/// (`LICENSEFLOW_TOPIC_PREFIX`).
pub fn unique_prefix() -> String {
    let unique = uuid::Uuid::now_v7().simple().to_string();
    // The first digits of a version 7 are the time, the last are random.
    format!("t{}.", &unique[unique.len() - 12..])
}

/// Brokers in a folder, ended with their owner or with the process, whichever is first.
pub(super) struct Brokers {
    guard: Child,
    folder: Folder,
    ports: Vec<Port>,
}

/// How brokers are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    /// Small and quick to start.
    ForTests,
    /// As users run them.
    ForMeasuring,
}

impl Brokers {
    fn start(count: usize, setup: Setup) -> anyhow::Result<Self> {
        let brokers = Self::prepare(count)?;
        brokers.up(setup, &[])?;
        Ok(brokers)
    }

    /// A folder and ports, and someone who ends what will run there.
    pub(super) fn prepare(count: usize) -> anyhow::Result<Self> {
        let folder = Folder::new("kafka")?;
        let ports: Vec<Port> = (0..count * 2)
            .map(|_| Port::free())
            .collect::<Result<_, _>>()?;
        let guard = Command::new("sh")
            .args(["-c", GUARD])
            .arg(script())
            .arg(folder.path())
            .env_remove("KAFKA_BOOTSTRAP_SERVERS")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the guard of a broker")?;
        Ok(Self {
            guard,
            folder,
            ports,
        })
    }

    /// Starts them, with further options of the script.
    pub(super) fn up(&self, setup: Setup, options: &[&str]) -> anyhow::Result<()> {
        let numbers: Vec<String> = self.numbers().map(|port| port.to_string()).collect();
        let (count, numbers) = ((self.ports.len() / 2).to_string(), numbers.join(","));
        let mut arguments = vec!["up", "--brokers", &count, "--ports", &numbers];
        if setup == Setup::ForTests {
            arguments.push("--for-tests");
        }
        arguments.extend(options);
        self.run(&arguments).map(|_| ())
    }

    /// A broker's, then its controller's, and so on.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().map(Port::number)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of broker `number`, with its log.
    pub(super) fn node(&self, number: usize) -> PathBuf {
        self.folder().join(format!("kafka/node-{number}"))
    }

    /// The process of broker `number`.
    pub(super) fn process(&self, number: usize) -> anyhow::Result<u32> {
        let said = fs::read_to_string(self.node(number).join("pid"));
        let said = said.with_context(|| format!("broker {number} does not run"))?;
        Ok(said.trim().parse()?)
    }

    /// Sends a signal to broker `number`.
    pub(super) fn signal(&self, number: usize, signal: Signal) -> anyhow::Result<()> {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{}", signal.name()));
        let done = kill.arg(self.process(number)?.to_string()).status()?;
        ensure!(done.success(), "broker {number} does not run");
        Ok(())
    }

    /// Ports come in pairs: a broker's, then its controller's.
    fn addresses(&self) -> Vec<String> {
        let of_brokers = self.ports.iter().step_by(2);
        of_brokers
            .map(|p| format!("127.0.0.1:{}", p.number()))
            .collect()
    }

    pub(super) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run_script(Some(self.folder.path()), arguments)
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // The guard wipes and ends; where it cannot, there is nobody left to tell.
        let _ = self.guard.wait();
    }
}

impl fmt::Debug for Brokers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "brokers in {}", self.folder.path().display())
    }
}

/// The script that users start Kafka with.
pub fn script() -> PathBuf {
    project().join("deploy/local/kafka")
}

/// Runs the script and gives its output; what it said on standard error is in the error.
///
/// # Errors
/// Where it exits with another code than 0.
pub fn run_script(folder: Option<&Path>, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(script());
    command
        .args(arguments)
        .env_remove("KAFKA_BOOTSTRAP_SERVERS");
    if let Some(folder) = folder {
        command.arg("--dir").arg(folder);
    }
    let output = command
        .stdin(Stdio::null())
        .output()
        .context("cannot run deploy/local/kafka")?;
    if !output.status.success() {
        bail!(
            "kafka {}: {}\n{}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Creates a topic with Kafka's own tool; `settings` are such as `max.message.bytes=2097152`.
///
/// # Errors
/// Where the tool fails.
pub fn create_topic(
    bootstrap: &str,
    topic: &str,
    partitions: u16,
    settings: &[&str],
) -> anyhow::Result<()> {
    let partitions = partitions.to_string();
    let mut arguments = vec![
        "tool",
        "org.apache.kafka.tools.TopicCommand",
        "--bootstrap-server",
        bootstrap,
        "--create",
        "--topic",
        topic,
        "--partitions",
        &partitions,
    ];
    for setting in settings {
        arguments.extend(["--config", setting]);
    }
    run_script(None, &arguments).map(|_| ())
}

/// One broker.
#[derive(Debug)]
pub struct Kafka {
    bootstrap: String,
    /// None where someone else started it.
    brokers: Option<Brokers>,
}

impl Kafka {
    /// The broker that all tests share, kept apart by [`unique_prefix`]. Lives until the
    /// process ends.
    ///
    /// # Panics
    /// Where Kafka does not start: then no test that needs it can say anything.
    #[allow(
        clippy::panic,
        reason = "a test without Kafka must fail, whatever its type"
    )]
    pub fn shared() -> &'static Self {
        static KAFKA: OnceLock<Kafka> = OnceLock::new();
        KAFKA.get_or_init(|| {
            let named = env::var(SHARED).ok().filter(|named| !named.is_empty());
            named.map_or_else(
                || Self::own().unwrap_or_else(|error| panic!("{error:#}")),
                |bootstrap| Self {
                    bootstrap,
                    brokers: None,
                },
            )
        })
    }

    /// A broker of this test's own, for a test that kills it or fills it.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn own() -> anyhow::Result<Self> {
        Self::started(Setup::ForTests)
    }

    /// A broker with the settings that users run it with, for measuring.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn for_measuring() -> anyhow::Result<Self> {
        Self::started(Setup::ForMeasuring)
    }

    fn started(setup: Setup) -> anyhow::Result<Self> {
        let brokers = Brokers::start(1, setup)?;
        Ok(Self {
            bootstrap: brokers.addresses().join(","),
            brokers: Some(brokers),
        })
    }

    /// What clients call `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    fn brokers(&self) -> anyhow::Result<&Brokers> {
        let brokers = self.brokers.as_ref();
        brokers.context("this Kafka was started by someone else, and is not ours to end")
    }

    /// kill -9; its data stay.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.brokers()?.run(&["kill", "1"]).map(|_| ())
    }

    /// Freezes it, or lets it go on.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.brokers()?.signal(1, signal)
    }

    /// Starts it again after [`Kafka::kill`] or [`Kafka::stop`], on the same port.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.brokers()?.run(&["start", "1"]).map(|_| ())
    }

    /// Ends it in order; its data stay.
    ///
    /// # Errors
    /// Where the script fails.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.brokers()?.run(&["down"]).map(|_| ())
    }
}

/// Three brokers: replication 3, `min.insync.replicas=2`.
#[derive(Debug)]
pub struct Cluster(Brokers);

impl Cluster {
    /// Starts three brokers of this test's own.
    ///
    /// # Errors
    /// Where they do not start.
    pub fn three() -> anyhow::Result<Self> {
        Brokers::start(3, Setup::ForTests).map(Self)
    }

    /// All three addresses.
    pub fn bootstrap(&self) -> String {
        self.0.addresses().join(",")
    }

    /// kill -9 of broker `number`, counted from 1.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        self.0.run(&["kill", &number.to_string()]).map(|_| ())
    }

    /// Starts broker `number` again.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start_again(&mut self, number: usize) -> anyhow::Result<()> {
        self.0.run(&["start", &number.to_string()]).map(|_| ())
    }
}
