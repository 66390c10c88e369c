//! What lies at the top, and what no file may name.

use std::fs;
use std::path::{Path, PathBuf};

use licenseflow_tests::harness::project;

/// Beside dotfiles. Cargo and rustup look for their lock and their toolchain at the top.
const TOP: [&str; 13] = [
    "Cargo.toml",
    "avro",
    "producers",
    "consumers",
    "deploy",
    "tests",
    "Makefile",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "docs",
    "Cargo.lock",
    "rust-toolchain.toml",
];

/// Made by tools, never part of the project.
const MADE: [&str; 4] = ["target", "node_modules", "__pycache__", "venv"];

/// Hosts and folders in two halves, so that this file does not name them either. A registry's
/// host is the business of its client's settings; a machine's folders are nobody's.
const UNSPEAKABLE: [(&str, &str); 14] = [
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("repo1.maven", ".org"),
    ("repo.maven", ".apache.org"),
    ("repo.maven.apache", ".org"),
    ("registry.npmjs", ".org"),
    ("pypi", ".org"),
    ("files.pythonhosted", ".org"),
    ("deb.debian", ".org"),
    ("proxy.golang", ".org"),
    ("/work", "/main"),
    ("/work", "/shared"),
    ("/work", "/.library"),
    ("/roo", "t/."),
];

fn unspeakable_in(text: &str) -> Vec<String> {
    let words = UNSPEAKABLE
        .iter()
        .map(|(head, tail)| format!("{head}{tail}"));
    words.filter(|word| text.contains(word.as_str())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Every file of the project, those in dotted folders that are ours too.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in entries(folder) {
        let name = name(&path);
        if path.is_symlink() || MADE.contains(&name.as_str()) {
            continue;
        }
        let hidden = name.starts_with('.') && ![".ci", ".cargo"].contains(&name.as_str());
        if path.is_dir() && !hidden {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

#[test]
fn the_top_level_has_the_rooms_and_nothing_else() {
    let strangers: Vec<String> = entries(project())
        .iter()
        .map(|path| name(path))
        .filter(|name| !name.starts_with('.'))
        .filter(|name| !TOP.contains(&name.as_str()) && !MADE.contains(&name.as_str()))
        .collect();
    assert!(
        strangers.is_empty(),
        "not a room of the house: {strangers:?}"
    );
}

#[test]
fn no_file_names_a_registrys_host_or_a_machines_folder() {
    let mut found = Vec::new();
    files(project(), &mut found);
    assert!(found.len() > 30, "only {} files seen", found.len());
    let faults: Vec<String> = found
        .iter()
        .flat_map(|path| {
            let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
            let words = unspeakable_in(&text);
            words
                .into_iter()
                .map(move |word| format!("{} names {word}", path.display()))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_host_in_a_text_is_seen() {
    let text = format!("\"resolved\": \"https://registry.npmjs{}/x.tgz\"", ".org");
    assert_eq!(unspeakable_in(&text).len(), 1);
    assert!(unspeakable_in("jars from Maven Central").is_empty());
}
