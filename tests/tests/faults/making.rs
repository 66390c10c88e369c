//! How a process of ours is made ready to be hurt: with a clock that can be moved, a disk that can be full, and
//! addresses that are those of proxies.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use licenseflow_tests::harness::platform::finish;
use licenseflow_tests::harness::{Platform, Proxy, Role, project};

use crate::stage::Place;

/// What all processes of ours have in common.
pub(crate) struct Making {
    pub(crate) bootstrap: String,
    pub(crate) prefix: String,
    pub(crate) store: String,
    pub(crate) libraries: String,
    pub(crate) disk: PathBuf,
}

impl Making {
    pub(crate) fn place(&self, role: Role) -> anyhow::Result<Place> {
        let platform = Platform::new(&self.bootstrap, &self.prefix)?;
        let clock = platform.file("clock");
        fs::write(&clock, [0; 16])?;
        let platform = platform
            .with("LICENSEFLOW_STORE", &self.store)
            .with("LD_PRELOAD", &self.libraries)
            .with("MOVED_CLOCK", &clock.display().to_string())
            .with("FULL_DISK", &self.disk.display().to_string());
        Ok(Place {
            role,
            platform,
            process: None,
            before: Vec::new(),
            clock: File::options().write(true).open(clock)?,
        })
    }
}

/// What moves clocks and fills disks, built anew.
pub(crate) fn libraries(folder: &Path) -> anyhow::Result<String> {
    let mut built = Vec::new();
    for source in ["clock/moved_clock.c", "disk/full_disk.c"] {
        let source = project().join("tests/clients").join(source);
        let name = source.file_stem().context("a source has a name")?;
        let library = folder.join(name).with_extension("so");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source);
        finish(cc)?;
        built.push(library.display().to_string());
    }
    Ok(built.join(":"))
}

/// The port of an address; what stands behind it ends with `/` or with the address.
pub(crate) fn port_of(address: &str) -> anyhow::Result<u16> {
    let (_, behind) = address.rsplit_once(':').context("it names no port")?;
    let port = behind.split('/').next().unwrap_or_default();
    port.parse().with_context(|| address.to_owned())
}

pub(crate) fn through(url: &str, door: &Proxy) -> anyhow::Result<String> {
    let (its, doors) = (port_of(url)?, door.number());
    Ok(url.replace(&format!(":{its}/"), &format!(":{doors}/")))
}
