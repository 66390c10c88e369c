//! The page in a real browser, where there is one: it shows every operation, and asks no other host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use licenseflow_tests::harness::{Folder, Kafka, Platform, Role, unique_prefix};
use serde_json::Value;

use crate::asked::json;

/// Debian's and others' names of it.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let named = BROWSERS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    named.into_iter().find(|file| file.is_file())
}

/// What a browser made of an address.
struct Opened {
    page: String,
    /// What the page asked for; a browser's own curiosity is not the page's.
    asked: Vec<String>,
    /// What the browser said meanwhile, refusals among it.
    said: String,
}

/// Opens an address in a browser that finds no other host but this one.
fn opened(browser: &Path, address: &str) -> Opened {
    let folder = Folder::new("browser").unwrap();
    let log = folder.path().join("net.json");
    let mut command = Command::new(browser);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args([
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-default-apps",
        ])
        .args([
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--enable-logging=stderr",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("user").display()
        ))
        .arg(format!("--log-net-log={}", log.display()))
        .args([
            "--virtual-time-budget=30000",
            "--timeout=60000",
            "--dump-dom",
            address,
        ]);
    let output = command.output().unwrap();
    let log: Value = serde_json::from_str(&fs::read_to_string(log).unwrap()).unwrap();
    let requests = log["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["params"]);
    let of_page = requests.filter(|it| {
        it["initiator"]
            .as_str()
            .is_some_and(|it| it.starts_with("http"))
    });
    Opened {
        page: String::from_utf8_lossy(&output.stdout).into_owned(),
        asked: of_page
            .filter_map(|it| it["url"].as_str())
            .map(str::to_owned)
            .collect(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn the_page_shows_every_operation_and_asks_no_other_host() {
    let Some(browser) = browser() else {
        println!("no browser at hand: what the page names is checked by the test `query`");
        return;
    };
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let up = platform.start(Role::Up).unwrap();
    let api = platform.api();
    let Opened { page, asked, said } = opened(&browser, &format!("{api}/docs"));
    for file in [
        "/docs/swagger-ui.css",
        "/docs/swagger-ui-bundle.js",
        "/docs/begin.js",
        "/openapi.json",
    ] {
        assert!(asked.contains(&format!("{api}{file}")), "{file}: {asked:?}");
    }
    let others: Vec<&String> = asked.iter().filter(|url| !url.starts_with(&api)).collect();
    assert!(others.is_empty(), "other hosts were asked: {others:?}");
    assert!(
        !said.contains("Content Security Policy"),
        "the page wanted more than it may: {said}"
    );
    let document = json(&api, "/openapi.json", &[]);
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(
                page.contains(&format!("-{id}\"")),
                "the page does not show {id}"
            );
        }
    }
    println!("{} addresses asked, all of them here", asked.len());
    Platform::stop(up).unwrap();
}
