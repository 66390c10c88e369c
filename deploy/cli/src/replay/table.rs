//! Generations as people and scripts read them.

use licenseflow_avro::time::format_rfc3339;
use licenseflow_store::generations::{Gate, Made};
use licenseflow_store::loading::Loading;
use licenseflow_store::progress::Progress;
use serde_json::{Value, json};
use std::fmt::Write;

/// So many differences are printed; all are in the JSON.
const PRINTED_MAX: usize = 20;

/// One line for each generation.
pub(super) fn table(all: &[Progress]) -> String {
    let mut text = String::from("generation  state      records      behind  made of");
    for of in all {
        let standing = of.standing.as_ref();
        let number = |it: Option<i64>| it.map_or("-".to_owned(), |it| it.to_string());
        let made = match &of.generation.of {
            Made::Whole => "both lanes".to_owned(),
            Made::Part { begin } => format!("from {begin}"),
        };
        // A line that cannot be written into memory cannot be.
        let _ = write!(
            text,
            "\n{:>10}  {:9} {:>8} {:>11}  {made}",
            of.generation.number,
            of.state().name(),
            number(standing.map(|it| it.done())),
            number(standing.map(|it| it.behind())),
        );
        if let Some(Loading { collected, loaded }) = standing.and_then(|it| it.loading)
            && loaded > 0
        {
            let _ = write!(
                text,
                "\n            {loaded} of {collected} parts of what it has read are in their place"
            );
        }
        if let Some(trouble) = &of.generation.trouble {
            let _ = write!(text, "\n            {trouble}");
        }
    }
    text
}

/// One generation with its comparison.
pub(super) fn one(of: &Progress) -> String {
    let mut text = table(std::slice::from_ref(of));
    if let Some(gate) = &of.generation.gate {
        let _ = write!(text, "\n\n{}", words(gate));
    }
    let number = of.generation.number;
    match (&of.generation.gate, of.is_live) {
        (_, true) => text.push_str("\nit is live; `licenseflow replay rollback` goes back"),
        (Some(gate), false) if gate.is_equal => {
            let _ = write!(
                text,
                "\n`licenseflow replay switch {number}` makes it the live one"
            );
        }
        (Some(_) | None, false) => {}
    }
    text
}

fn words(gate: &Gate) -> String {
    let (with, position) = (gate.with, &gate.position);
    if gate.is_equal {
        return format!("equal to generation {with} at {position}");
    }
    let mut text = format!(
        "NOT equal to generation {with} at {position}: {} licenses differ, {} records have another fate",
        gate.licenses, gate.fates
    );
    for fate in gate.fates_that_differ.iter().take(PRINTED_MAX) {
        let _ = write!(text, "\n  {fate}");
    }
    for one in gate.differences.iter().take(PRINTED_MAX) {
        let _ = write!(text, "\n  license {} of {}", one.license_id, one.tenant_id);
        for (whose, rows) in [("live", &one.live), ("new ", &one.next)] {
            for row in rows {
                let _ = write!(text, "\n    {whose} {row}");
            }
        }
        let _ = write!(text, "\n    events {}", one.events.join(" "));
    }
    if gate.licenses as usize > PRINTED_MAX {
        text.push_str("\n  … the first hundred are in `licenseflow replay status --json`");
    }
    text
}

pub(super) fn json(all: &[Progress]) -> Value {
    let live = all.iter().find(|it| it.is_live);
    json!({
        "live": live.map(|it| it.generation.number),
        "items": all.iter().map(one_json).collect::<Vec<_>>(),
    })
}

pub(super) fn one_json(of: &Progress) -> Value {
    let generation = &of.generation;
    let standing = of.standing.as_ref();
    let rows = |rows: &[String]| -> Vec<Value> {
        let each = rows.iter();
        each.map(|row| serde_json::from_str(row).unwrap_or_else(|_| json!(row)))
            .collect()
    };
    let gate = generation.gate.as_ref().map(|gate| {
        let differences = gate.differences.iter().map(|one| {
            json!({
                "tenant_id": one.tenant_id,
                "license_id": one.license_id,
                "live": rows(&one.live),
                "next": rows(&one.next),
                "events": one.events,
            })
        });
        json!({
            "with": gate.with,
            "at": format_rfc3339(gate.at * 1000),
            "position": gate.position,
            "is_equal": gate.is_equal,
            "licenses": gate.licenses,
            "differences": differences.collect::<Vec<_>>(),
            "fates": gate.fates,
            "fates_that_differ": gate.fates_that_differ,
        })
    });
    json!({
        "generation": generation.number,
        "is_live": of.is_live,
        "state": of.state().name(),
        "fold": generation.fold,
        "from": match &generation.of {
            Made::Whole => json!("beginning"),
            Made::Part { begin } => json!({ "position": begin }),
        },
        "position": standing.map(|it| &it.position),
        "records_done": standing.map(licenseflow_store::progress::Standing::done),
        "lag_events": standing.map(licenseflow_store::progress::Standing::behind),
        "loading": standing
            .and_then(|it| it.loading)
            .map(|it| json!({ "collected": it.collected, "loaded": it.loaded })),
        "is_paused": generation.is_paused,
        "trouble": generation.trouble,
        "gate": gate,
    })
}
