//! `dlq redrive` and `dlq resolve`: first what would be done, and with `--yes` that, as fast as is asked.

use super::client::{AdminArgs, AdminClient};
use super::list::aligned;
use super::{FilterArgs, Place, cell, place_of, text, wrong};
use crate::exit::Exit;
use crate::output::{OutputArgs, json, line};
use crate::progress::Shown;
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// As many letters as one request takes.
const REQUEST_MAX: usize = 500;

/// So many of what would be done are shown one by one.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct RedriveArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// How many records a second at most
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Leave records alone that were redriven so often already
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    attempts_max: u32,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Why they are closed
    #[arg(long, value_name = "TEXT")]
    because: String,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Which letters, and whether it is meant.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// These records, as topic:partition:offset
    #[arg(value_name = "RECORD")]
    places: Vec<Place>,
    #[command(flatten)]
    filter: FilterArgs,
    /// All open letters
    #[arg(long)]
    all: bool,
    /// Do it; without this, only what would be done is shown
    #[arg(long)]
    yes: bool,
}

impl WhichArgs {
    /// Records, a filter, or all: one of these was asked for.
    fn check(&self) -> anyhow::Result<()> {
        let asked = [
            !self.places.is_empty(),
            !self.filter.pairs().is_empty(),
            self.all,
        ];
        match asked.into_iter().filter(|it| *it).count() {
            1 => Ok(()),
            0 => Err(wrong(
                "say which: records as topic:partition:offset, a filter such as --reason, or --all",
            )),
            _ => Err(wrong("records, a filter and --all exclude one another")),
        }
    }

    /// The requests' bodies without their cursors: one for a filter, several for many records.
    fn bodies(&self, at_once: usize) -> Vec<Value> {
        if self.places.is_empty() {
            return vec![json!({ "filter": self.filter.json() })];
        }
        let chunks = self.places.chunks(at_once.max(1));
        let letters = chunks.map(|chunk| chunk.iter().map(Place::json).collect::<Value>());
        letters
            .map(|letters| json!({ "letters": letters }))
            .collect()
    }
}

pub(crate) async fn redrive(arguments: RedriveArgs) -> anyhow::Result<Exit> {
    let deed = Deed {
        path: "/v1/admin/dlq:redrive",
        verb: "redriven",
        members: json!({ "attempts_max": arguments.attempts_max }),
        rate: Some(arguments.rate),
    };
    deed.run(&arguments.which, &arguments.admin, arguments.output)
        .await
}

pub(crate) async fn resolve(arguments: ResolveArgs) -> anyhow::Result<Exit> {
    let deed = Deed {
        path: "/v1/admin/dlq:resolve",
        verb: "resolved",
        members: json!({ "reason": arguments.because }),
        rate: None,
    };
    deed.run(&arguments.which, &arguments.admin, arguments.output)
        .await
}

/// What was asked for and is not so.
const FAILED: [&str; 4] = ["refused", "unanswered", "left", "not_found"];

/// What was asked for of this record, and cannot be.
const NOT_REDRIVABLE: &str = "not_redrivable";

/// What is done with letters, request by request.
struct Deed {
    path: &'static str,
    verb: &'static str,
    members: Value,
    /// How many letters a second at most.
    rate: Option<u32>,
}

/// What came of it.
#[derive(Default)]
struct Sum {
    done: u64,
    outcomes: BTreeMap<String, u64>,
    /// The first of them, and whatever was not done.
    items: Vec<Value>,
}

impl Sum {
    fn add(&mut self, answer: &Value) {
        self.done += answer["done"].as_u64().unwrap_or(0);
        for item in answer["items"].as_array().into_iter().flatten() {
            let outcome = text(item, "outcome");
            *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
            let is_done = outcome != NOT_REDRIVABLE && !FAILED.contains(&outcome);
            let is_told = !is_done && answer["dry_run"] != true;
            if self.items.len() < SHOWN_MAX || is_told {
                self.items.push(item.clone());
            }
        }
    }

    fn count(&self, outcomes: &[&str]) -> u64 {
        let counts = outcomes.iter().map(|name| self.outcomes.get(*name));
        counts.flatten().sum()
    }

    fn json(&self, dry_run: bool) -> Value {
        json!({ "done": self.done, "dry_run": dry_run, "outcomes": self.outcomes, "items": self.items })
    }

    /// The first letters in columns.
    fn table(&self) -> String {
        let rows = self.items.iter().map(|item| {
            [
                place_of(item),
                text(item, "reason").to_owned(),
                text(item, "outcome").to_owned(),
                cell(text(item, "detail"), 80),
            ]
        });
        aligned(&rows.collect::<Vec<_>>())
    }

    /// How many there were of each outcome.
    fn words(&self) -> String {
        let each = self.outcomes.iter();
        let each: Vec<String> = each
            .map(|(outcome, count)| format!("{count} {}", outcome.replace('_', " ")))
            .collect();
        each.join(", ")
    }
}

impl Deed {
    async fn run(
        &self,
        which: &WhichArgs,
        admin: &AdminArgs,
        output: OutputArgs,
    ) -> anyhow::Result<Exit> {
        which.check()?;
        let client = AdminClient::new(admin)?;
        // A look first: it says how much there is to do.
        let looked = self.all(&client, which, None).await?;
        if !which.yes {
            self.tell(&looked, output)?;
            return Ok(Exit::Done);
        }
        let mut progress = Shown::new(Some(looked.done), "letters");
        let done = self.all(&client, which, Some(&mut progress)).await?;
        drop(progress);
        let failed = done.count(&FAILED);
        let is_short = !which.places.is_empty() && done.count(&[NOT_REDRIVABLE]) > 0;
        if output.json {
            json(&done.json(false))?;
        } else {
            if failed > 0 || is_short {
                line(done.table())?;
            }
            line(format_args!(
                "{} {}; {}",
                done.done,
                self.verb,
                none_or(&done.words())
            ))?;
        }
        Ok(if failed > 0 || is_short {
            Exit::Failed
        } else {
            Exit::Done
        })
    }

    /// What would be done.
    fn tell(&self, looked: &Sum, output: OutputArgs) -> anyhow::Result<()> {
        if output.json {
            return Ok(json(&looked.json(true))?);
        }
        if !looked.items.is_empty() {
            line(looked.table())?;
        }
        let more = looked.outcomes.values().sum::<u64>() - looked.items.len() as u64;
        if more > 0 {
            line(format_args!("… and {more} more"))?;
        }
        let (verb, words) = (self.verb, looked.words());
        let words = none_or(&words);
        line(format_args!(
            "{} would be {verb} ({words}); nothing was done: --yes does it",
            looked.done
        ))?;
        Ok(())
    }

    /// Every letter, request by request; without progress only a look.
    async fn all(
        &self,
        client: &AdminClient,
        which: &WhichArgs,
        mut progress: Option<&mut Shown>,
    ) -> anyhow::Result<Sum> {
        let at_once = self.at_once(progress.is_some());
        let (begun, mut sum) = (Instant::now(), Sum::default());
        for body in which.bodies(at_once) {
            let mut cursor = Value::Null;
            loop {
                let body = self.body(&body, at_once, &cursor, progress.is_none());
                let answer = client.post(self.path, &body).await?;
                sum.add(&answer);
                if let Some(progress) = &mut progress {
                    progress.advanced(sum.done);
                    self.wait(begun, sum.done).await;
                }
                cursor = answer["next_cursor"].clone();
                if cursor.is_null() {
                    break;
                }
            }
        }
        Ok(sum)
    }

    /// How many letters a request asks for: no more than may be done within a second.
    fn at_once(&self, is_meant: bool) -> usize {
        match self.rate {
            Some(rate) if is_meant => {
                usize::try_from(rate).map_or(REQUEST_MAX, |it| it.min(REQUEST_MAX))
            }
            Some(_) | None => REQUEST_MAX,
        }
    }

    fn body(&self, which: &Value, at_once: usize, cursor: &Value, dry_run: bool) -> Value {
        let mut body = which.clone();
        body["dry_run"] = dry_run.into();
        if which.get("filter").is_some() {
            body["limit"] = at_once.into();
        }
        if !cursor.is_null() {
            body["cursor"] = cursor.clone();
        }
        for (name, value) in self.members.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    }

    /// Waits until so many may have been done.
    async fn wait(&self, begun: Instant, done: u64) {
        let Some(rate) = self.rate else { return };
        let due = Duration::from_secs_f64(done as f64 / f64::from(rate));
        tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
    }
}

fn none_or(words: &str) -> &str {
    if words.is_empty() {
        "no letters"
    } else {
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_done_is_told_behind_however_many() {
        let letter = |outcome: &str| json!({ "outcome": outcome });
        let many = vec![letter("redriven"); 3 * SHOWN_MAX];
        let all = |last: &str| {
            let items: Vec<Value> = many.iter().cloned().chain([letter(last)]).collect();
            json!({ "done": many.len(), "dry_run": false, "items": items })
        };
        for (last, shown) in [("redriven", SHOWN_MAX), ("refused", SHOWN_MAX + 1)] {
            let mut sum = Sum::default();
            sum.add(&all(last));
            assert_eq!(sum.items.len(), shown, "{last}");
            assert_eq!(text(sum.items.last().unwrap(), "outcome"), last);
        }
        let mut looked = all("not_redrivable");
        looked["dry_run"] = true.into();
        let mut sum = Sum::default();
        sum.add(&looked);
        assert_eq!(sum.items.len(), SHOWN_MAX, "a look is short");
    }
}
