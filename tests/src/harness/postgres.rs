//! A real PostgreSQL for tests, started through `deploy/local/postgres` as users do, and ended with its
//! owner or with the process, whichever is first.
//!
//! It stands on nothing but the standard library, since the store's own tests stand on it too and may
//! not know this crate.

use std::io::{Error, Result};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, process};

/// Waits for the end of the pipe that only the test holds open, then wipes the folder.
const GUARD: &str = r#"trap "" INT TERM HUP; cat >/dev/null; exec "$0" wipe --dir "$1""#;

/// A server in a folder of its own.
#[derive(Debug)]
pub struct Postgres {
    guard: Child,
    folder: PathBuf,
    url: String,
}

impl Postgres {
    /// The server that all tests of a process share, kept apart by schemas or databases of their own.
    ///
    /// # Panics
    /// Where PostgreSQL does not start: then no test that needs it can say anything.
    #[allow(
        clippy::panic,
        reason = "a test without PostgreSQL must fail, whatever its type"
    )]
    pub fn shared() -> &'static Self {
        static POSTGRES: OnceLock<Postgres> = OnceLock::new();
        POSTGRES.get_or_init(|| Self::own().unwrap_or_else(|error| panic!("{error}")))
    }

    /// A server of this test's own, for a test that kills it.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn own() -> Result<Self> {
        Self::started(&["--for-tests"])
    }

    /// As users run it: what it has committed, a loss of power leaves.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn for_measuring() -> Result<Self> {
        Self::started(&[])
    }

    fn started(setup: &[&str]) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("licenseflow-postgres-{}-{number}", process::id());
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        let guard = Command::new("sh")
            .args(["-c", GUARD])
            .arg(script())
            .arg(&folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut postgres = Self {
            guard,
            folder,
            url: String::new(),
        };
        postgres.run(&[&["up", "--port", "0"], setup].concat())?;
        postgres.url = postgres.run(&["url"])?.trim().to_owned();
        Ok(postgres)
    }

    /// The address of its database: `postgres://…`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it at once, as a crash would; its data stay.
    ///
    /// # Errors
    /// Where the script fails.
    pub fn kill(&mut self) -> Result<()> {
        self.run(&["kill"]).map(|_| ())
    }

    /// Ends it in order, without waiting for its clients; its data stay.
    ///
    /// # Errors
    /// Where the script fails.
    pub fn stop(&mut self) -> Result<()> {
        self.run(&["down"]).map(|_| ())
    }

    /// Sends a signal, such as `STOP`, to all its processes.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn signal_all(&mut self, signal: &str) -> Result<()> {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}"));
        kill.args(self.processes()?.iter().map(u32::to_string));
        // One that serves a client may have ended meanwhile.
        kill.stderr(Stdio::null()).status().map(|_| ())
    }

    /// The first process, and one for each client and each work of its own.
    fn processes(&self) -> Result<Vec<u32>> {
        let file = fs::read_to_string(self.folder.join("postgres/data/postmaster.pid"))?;
        let first = file.lines().next().unwrap_or_default();
        let first: u32 = first.trim().parse().map_err(Error::other)?;
        // A server that listens has no children of its children.
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"))?;
        let children = children.split_whitespace().filter_map(|it| it.parse().ok());
        Ok([first].into_iter().chain(children).collect())
    }

    /// The folder with its data and its log.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Starts it again after [`Postgres::kill`] or [`Postgres::stop`], on the same port.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.run(&["up", "--for-tests"]).map(|_| ())
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(script())
            .args(arguments)
            .arg("--dir")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::other(format!(
                "postgres {}: {}\n{said}",
                arguments.join(" "),
                output.status
            )));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // The guard wipes and ends; where it cannot, there is nobody left to tell.
        let _ = self.guard.wait();
    }
}

/// Found from whichever crate's tests this file is part of.
fn script() -> PathBuf {
    // What cargo told when it built this may be another clone's folder, since clones share what was built.
    let told = env::var_os("CARGO_MANIFEST_DIR");
    let crate_folder = told.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root = crate_folder
        .ancestors()
        .find(|folder| folder.join("deploy/local/postgres").is_file());
    root.unwrap_or(&crate_folder).join("deploy/local/postgres")
}
