//! Three brokers of which nobody is reached but through proxies: by clients, by other brokers and by the
//! controllers of others.
//!
//! A broker is one process and two doors. Which faults there are, and when, is the tests' to say.

use std::fs;
use std::path::PathBuf;

use tokio::runtime::Handle;

use super::kafka::{Brokers, Setup};
use super::process::Signal;
use super::proxy::Proxy;

/// Replication 3, `min.insync.replicas=2`; what brokers advertise is their proxies' addresses.
#[derive(Debug)]
pub struct ProxiedCluster {
    brokers: Brokers,
    /// A broker's, then its controller's, and so on.
    doors: Vec<Proxy>,
}

impl ProxiedCluster {
    /// How many brokers there are; they are counted from 1.
    pub const BROKERS: usize = 3;

    /// Starts them.
    ///
    /// # Errors
    /// Where they do not start.
    pub fn start(runtime: &Handle) -> anyhow::Result<Self> {
        let brokers = Brokers::prepare(Self::BROKERS)?;
        let doors: Vec<Proxy> = brokers
            .numbers()
            .map(|port| Proxy::to(port, runtime))
            .collect::<Result<_, _>>()?;
        let cluster = Self { brokers, doors };
        let settings = cluster.brokers.folder().join("settings");
        let voters: Vec<String> = (1..=Self::BROKERS)
            .map(|number| {
                format!(
                    "{number}@127.0.0.1:{}",
                    cluster.doors_of(number)[1].number()
                )
            })
            .collect();
        let voters = voters.join(",");
        fs::write(&settings, format!("controller.quorum.voters={voters}\n"))?;
        for number in 1..=Self::BROKERS {
            let door = cluster.doors_of(number)[0].number();
            let line = format!("advertised.listeners=PLAINTEXT://127.0.0.1:{door}\n");
            fs::write(settings.with_extension(number.to_string()), line)?;
        }
        let settings = settings.to_string_lossy();
        let options = ["--settings", settings.as_ref()];
        cluster.brokers.up(Setup::ForTests, &options)?;
        Ok(cluster)
    }

    /// Where clients begin: all three, through their proxies.
    pub fn bootstrap(&self) -> String {
        let of_brokers = self.doors.iter().step_by(2);
        let addresses: Vec<String> = of_brokers
            .map(|door| format!("127.0.0.1:{}", door.number()))
            .collect();
        addresses.join(",")
    }

    /// What leads to broker `number`, and to its controller.
    pub fn doors_of(&self, number: usize) -> &[Proxy] {
        &self.doors[(number - 1) * 2..number * 2]
    }

    /// The process of broker `number`.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn process(&self, number: usize) -> anyhow::Result<u32> {
        self.brokers.process(number)
    }

    /// What broker `number` has said.
    pub fn log(&self, number: usize) -> PathBuf {
        self.brokers.node(number).join("log/kafka.log")
    }

    /// Freezes it, or lets it go on.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn signal(&mut self, number: usize, signal: Signal) -> anyhow::Result<()> {
        self.brokers.signal(number, signal)
    }

    /// kill -9.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        self.brokers.run(&["kill", &number.to_string()]).map(drop)
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn stop(&mut self, number: usize) -> anyhow::Result<()> {
        self.brokers.run(&["stop", &number.to_string()]).map(drop)
    }

    /// Starts it again, and waits until it serves.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start_again(&mut self, number: usize) -> anyhow::Result<()> {
        self.brokers.run(&["start", &number.to_string()]).map(drop)
    }
}
