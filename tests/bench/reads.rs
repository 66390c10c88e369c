//! How fast the query API answers, beside a bare handler of the same framework that returns the same bytes:
//! single licenses with keys spread over all of them, and lists. Nothing is cached.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use licenseflow_tests::harness::{Folder, Platform, Port, Process, Role, wait_until};
use serde::Serialize;

use crate::Options;
use crate::stores::Place;

/// How many connections ask at once.
const CONNECTIONS: &str = "64";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// One license.
    License,
    /// Fifty licenses from some time on, in the order in which they expire.
    List,
}

impl What {
    pub(crate) const ALL: [What; 2] = [What::License, What::List];

    pub(crate) fn name(self) -> &'static str {
        match self {
            What::License => "one license",
            What::List => "a list of 50",
        }
    }

    /// An address of its kind, and the body of a function in Lua that gives any of them.
    fn addresses(self, licenses: u64) -> (String, String) {
        let last = licenses.saturating_sub(1);
        match self {
            What::License => (
                format!("/v1/licenses/LIC-{:08}", last / 2),
                format!("string.format('/v1/licenses/LIC-%08d', math.random(0, {last}))"),
            ),
            What::List => {
                let list = "/v1/licenses?limit=50&sort=expires_at&expires_after=2027-01-01T00:";
                (
                    format!("{list}00:30Z"),
                    format!(
                        "string.format('{list}%02d:%02dZ', math.random(0, 9), math.random(0, 59))"
                    ),
                )
            }
        }
    }
}

/// Answers in a second and how long they took, the API's and the bare handler's.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Reads {
    pub(crate) what: What,
    pub(crate) query: Load,
    pub(crate) bare: Load,
}

impl Reads {
    pub(crate) fn ratio(&self) -> f64 {
        self.query.per_second / self.bare.per_second
    }
}

/// What was measured under load.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Measures both over a store that was filled.
pub(crate) fn run(options: &Options, place: &Place) -> anyhow::Result<Vec<Reads>> {
    let folder = Folder::new("bench-reads")?;
    let query = place.platform.start(Role::Query)?;
    let api = place.platform.api();
    let mut all = Vec::new();
    for what in What::ALL {
        let (one, any) = what.addresses(options.licenses);
        let answer = folder.path().join("answer.json");
        let got = Command::new("curl")
            .args(["-sf", "-o"])
            .arg(&answer)
            .arg(format!("{api}{one}"))
            .status()?;
        ensure!(got.success(), "{one} is not answered");
        let script = folder.path().join("addresses.lua");
        let lua = format!(
            "math.randomseed(7)\nrequest = function() return wrk.format('GET', {any}) end\n"
        );
        std::fs::write(&script, lua)?;
        let bare = Bare::start(&answer)?;
        let seconds = options.read_seconds;
        all.push(Reads {
            what,
            query: load(&api, &script, seconds)?,
            bare: load(&bare.address, &script, seconds)?,
        });
    }
    Platform::stop(query)?;
    Ok(all)
}

fn load(address: &str, script: &std::path::Path, seconds: u32) -> anyhow::Result<Load> {
    let duration = format!("{seconds}s");
    let output = Command::new("wrk")
        .args(["-t1", "-c", CONNECTIONS, "-d", &duration, "--latency", "-s"])
        .arg(script)
        .arg(address)
        .output()
        .context("wrk does not run; make setup installs it")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "wrk failed: {said}");
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        bail!("not everything was answered:\n{said}");
    }
    let of = |name: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name));
        line.map(str::trim)
            .with_context(|| format!("no {name} in {said}"))
    };
    Ok(Load {
        per_second: of("Requests/sec:")?.parse()?,
        p50_ms: milliseconds(of("50%")?)?,
        p99_ms: milliseconds(of("99%")?)?,
    })
}

/// A time as wrk says it.
fn milliseconds(text: &str) -> anyhow::Result<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.trim().parse::<f64>()? * factor);
        }
    }
    bail!("{text} is no time")
}

/// The bare handler, in a process of its own as the API is.
struct Bare {
    _process: Process,
    _port: Port,
    address: String,
}

impl Bare {
    fn start(answer: &std::path::Path) -> anyhow::Result<Self> {
        let port = Port::free()?;
        let number = port.number();
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--part", "bare-http", "--port", &number.to_string()])
            .arg("--answer")
            .arg(answer);
        let process = Process::start("bare-http", &command)?;
        wait_until("the bare handler listens", Duration::from_secs(10), || {
            std::net::TcpStream::connect(("127.0.0.1", number)).is_ok()
        })
        .with_context(|| process.stderr())?;
        Ok(Self {
            _process: process,
            _port: port,
            address: format!("http://127.0.0.1:{number}"),
        })
    }
}

/// Answers whatever is asked with the bytes of a file.
pub(crate) fn serve(options: &Options) -> anyhow::Result<()> {
    let answer = Bytes::from(std::fs::read(&options.answer)?);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let handler = move || {
            let answer = answer.clone();
            async move { ([(header::CONTENT_TYPE, "application/json")], answer) }
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", options.port)).await?;
        Ok(axum::serve(listener, Router::new().fallback(handler)).await?)
    })
}
