//! `dlq list`: a table for people, the page as it is for scripts.

use super::client::{AdminArgs, AdminClient};
use super::{FilterArgs, cell, place_of, text};
use crate::exit::Exit;
use crate::output::{OutputArgs, line};
use clap::Args;
use serde_json::Value;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only those in this state: open, which is meant without this, resolved, redriven or all
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Go on where the list before ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(arguments: ListArgs) -> anyhow::Result<Exit> {
    let client = AdminClient::new(&arguments.admin)?;
    let limit = arguments.limit.to_string();
    let mut pairs = arguments.filter.pairs();
    pairs.push(("limit", &limit));
    let given = [("state", &arguments.state), ("cursor", &arguments.cursor)];
    pairs.extend(
        given
            .iter()
            .filter_map(|(name, text)| Some((*name, text.as_deref()?))),
    );
    let page = client.get("/v1/admin/dlq", &pairs).await?;
    arguments.output.print(table(&page), &page)?;
    if !arguments.output.json
        && let Some(cursor) = page["next_cursor"].as_str()
    {
        line(format_args!("\nmore: --cursor {cursor}"))?;
    }
    Ok(Exit::Done)
}

/// A line for each letter, in columns.
fn table(page: &Value) -> String {
    let items = page["items"].as_array().map_or(&[][..], Vec::as_slice);
    if items.is_empty() {
        return "no dead letters".to_owned();
    }
    let head = ["REJECTED", "REASON", "STATE", "RECORD", "LICENSE", "ERROR"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(items.iter().map(row));
    aligned(&rows)
}

fn row(letter: &Value) -> [String; 6] {
    let license = match (text(letter, "tenant_id"), text(letter, "license_id")) {
        ("", _) | (_, "") => "-".to_owned(),
        (tenant, license) => format!("{tenant}/{license}"),
    };
    [
        // To the second; --json has all of it.
        cell(text(letter, "rejected_at").get(..19).unwrap_or(""), 19),
        text(letter, "reason").to_owned(),
        text(letter, "state").to_owned(),
        place_of(letter),
        license,
        cell(text(letter, "error"), 60),
    ]
}

/// Columns as wide as their widest cell; the last is as long as it is.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let lines = rows.iter().map(|row| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = if column + 1 == N { 0 } else { width(column) };
            format!("{cell:width$}")
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_is_a_table_and_an_empty_one_says_so() {
        assert_eq!(table(&json!({ "items": [] })), "no dead letters");
        let letter = json!({
            "rejected_at": "2026-01-31T10:00:00.000001Z", "reason": "bad_avro", "state": "open",
            "topic": "t", "partition": 1, "offset": 2, "tenant_id": "a", "license_id": "L",
            "error": "x".repeat(100),
        });
        let shown = table(&json!({ "items": [letter] }));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines[0].starts_with("REJECTED             REASON    STATE"),
            "{shown}"
        );
        assert!(
            lines[1].starts_with("2026-01-31T10:00:00  bad_avro  open   t:1:2   a/L"),
            "{shown}"
        );
        assert!(lines[1].ends_with('…'));
    }
}
