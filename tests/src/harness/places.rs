//! Where things lie: the project, the built binary, the Python with the clients.
//!
//! Owns paths only; starts nothing.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, fs};

use anyhow::{Context, ensure};

/// The project's top folder.
pub fn project() -> &'static Path {
    static PROJECT: LazyLock<PathBuf> = LazyLock::new(|| {
        // Cargo tells it when it runs tests. What it told when it built them may be another clone's,
        // since clones share what was built.
        let told = env::var_os("CARGO_MANIFEST_DIR");
        let tests = told.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        tests.parent().unwrap_or(&tests).to_owned()
    });
    &PROJECT
}

/// Names another binary than the one that was built, such as a copy that nobody builds anew meanwhile.
const BINARY: &str = "LICENSEFLOW_TEST_BINARY";

/// The `licenseflow` binary that was built together with the running test.
///
/// # Errors
/// Where it is not built: `cargo test --workspace --all-targets` builds it, `-p` alone does not.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(named) = env::var_os(BINARY).filter(|named| !named.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let test = env::current_exe().context("the running test has no path")?;
    let folder = test.parent().context("the running test has no folder")?;
    let built = match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().unwrap_or(folder),
        Some(_) | None => folder,
    };
    let binary = built.join("licenseflow");
    ensure!(
        binary.is_file(),
        "{} is not built; run: cargo build -p licenseflow-cli",
        binary.display()
    );
    Ok(binary)
}

/// The folder that `make setup` keeps what it fetched in.
fn cache() -> anyhow::Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    Ok(cache.join("licenseflow"))
}

/// The Python that `make setup` gave the test clients.
///
/// # Errors
/// Where `make setup` has not run.
pub fn python() -> anyhow::Result<PathBuf> {
    fetched(cache()?.join("venv/bin/python"))
}

/// The archive of the schema registry of another hand, unpacked.
///
/// # Errors
/// Where `make setup` has not run.
pub fn foreign_registry() -> anyhow::Result<PathBuf> {
    let pom = fs::read_to_string(project().join("deploy/local/pom-registry.xml"))?;
    let version = pom
        .split_once("<apicurio.version>")
        .and_then(|(_, rest)| rest.split_once('<'))
        .map(|(version, _)| version)
        .context("pom-registry.xml names no version")?;
    let folder = cache()?.join(format!("apicurio-registry-{version}"));
    fetched(folder.join("quarkus-run.jar"))
}

fn fetched(file: PathBuf) -> anyhow::Result<PathBuf> {
    ensure!(
        file.is_file(),
        "{} is missing; run: make setup",
        file.display()
    );
    Ok(file)
}
