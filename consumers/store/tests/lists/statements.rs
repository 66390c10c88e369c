//! What is true of every statement on PostgreSQL.

use std::path::Path;

/// The tables that are distributed by tenant.
const DISTRIBUTED: [&str; 9] = [
    "license",
    "device",
    "usage",
    "timeline",
    "journey",
    "total",
    "total_day",
    "event_minute",
    "event_day",
];

/// The words that a table's name stands behind.
const BEFORE_A_TABLE: [&str; 5] = ["from", "into", "update", "join", "using"];

/// The texts between quotes of a Rust file without its tests; good enough for code that rustfmt formats.
fn texts(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let code: Vec<&str> = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n").replace("'\"'", "").replace("\\\"", "");
    let between = code.split('"').skip(1).step_by(2);
    between.map(str::to_owned).collect()
}

fn words(text: &str) -> Vec<String> {
    let separators = |it: char| !(it.is_ascii_alphanumeric() || it == '_');
    text.to_ascii_lowercase()
        .split(separators)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn names_a_distributed_table(words: &[String]) -> bool {
    words.windows(2).any(|pair| {
        BEFORE_A_TABLE.contains(&pair[0].as_str()) && DISTRIBUTED.contains(&pair[1].as_str())
    })
}

fn check_folder(folder: &Path, checked: &mut usize) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check_folder(&path, checked);
        } else if path.extension().is_some_and(|it| it == "rs") {
            for text in texts(&std::fs::read_to_string(&path).unwrap()) {
                let words = words(&text);
                if names_a_distributed_table(&words) {
                    *checked += 1;
                    let names_tenant = words.iter().any(|word| word == "tenant_id");
                    assert!(names_tenant, "{}: {text}", path.display());
                }
            }
        }
    }
}

#[test]
fn every_statement_on_a_distributed_table_names_the_tenant() {
    // From this crate's folder, where cargo runs it.
    let folder = Path::new("src/postgres");
    let mut checked = 0;
    check_folder(folder, &mut checked);
    assert!(checked >= 40, "only {checked} statements were found");
    let schema = std::fs::read_to_string(folder.join("schema.sql")).unwrap();
    for table in DISTRIBUTED {
        let (_, rest) = schema
            .split_once(&format!("create table {table} ("))
            .unwrap();
        let key = rest.split("primary key (").nth(1).unwrap();
        assert!(key.starts_with("tenant_id,"), "the key of {table}");
    }
}
