//! `events generate`: a seeded history, published or printed.

use super::{LaneName, publishing, request};
use crate::exit::{Exit, WrongUse};
use crate::log::LogArgs;
use crate::output::{self, OutputArgs};
use crate::progress::Shown;
use clap::Args;
use licenseflow_producers::generate::{
    self, GenerateOptions, GenerateProgress, History, SendGenerated, Shares,
};
use licenseflow_projector::wall_clock;
use licenseflow_runtime::shutdown;
use serde_json::json;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// How many records
    #[arg(long, default_value = "10000", value_name = "COUNT")]
    count: u64,
    /// How many licenses they are about
    #[arg(long, default_value = "1000", value_name = "COUNT")]
    licenses: usize,
    /// How many tenants share the licenses
    #[arg(long, default_value = "2", value_name = "COUNT")]
    tenants: usize,
    /// The same seed, times and shares give the same history
    #[arg(long, default_value = "1")]
    seed: u64,
    /// How many days the history takes, up to now
    #[arg(long, default_value = "365", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
    /// Before when the last events happen, in microseconds since 1970; without it, now
    #[arg(long, value_name = "MICROSECONDS")]
    end: Option<i64>,
    /// Share of events that come long after later ones, 0 to 1
    #[arg(long, default_value = "0.02", value_name = "SHARE")]
    late: f64,
    /// Share of records that repeat an event
    #[arg(long, default_value = "0.01", value_name = "SHARE")]
    duplicate: f64,
    /// Share of records that void an event
    #[arg(long, default_value = "0.002", value_name = "SHARE")]
    voided: f64,
    /// Share of records that say something else under an event's id
    #[arg(long, default_value = "0", value_name = "SHARE")]
    conflicting: f64,
    /// Share of records that are no events
    #[arg(long, default_value = "0", value_name = "SHARE")]
    poison: f64,
    /// Leave out the heartbeats of devices
    #[arg(long)]
    no_heartbeats: bool,
    /// Records a second; without it, as fast as the brokers take them
    #[arg(long, value_name = "COUNT")]
    rate: Option<f64>,
    /// The lane
    #[arg(long, value_enum, default_value = "interactive")]
    lane: LaneName,
    /// Print the events as lines of JSON instead of publishing them; poison is left out
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn run(arguments: GenerateArgs) -> anyhow::Result<Exit> {
    let history = History::new(options(&arguments)).map_err(WrongUse::of)?;
    if arguments.print {
        for line in history.filter_map(|record| record.to_line()) {
            output::line(line)?;
        }
        return Ok(Exit::Done);
    }
    let stop = shutdown::on_signals()?;
    let sending = SendGenerated {
        rate: arguments.rate,
        ..SendGenerated::to(arguments.lane.into())
    };
    let context = request(None)?;
    let mut bar = Bar(Shown::new(Some(arguments.count), "records"));
    let (position, count) = publishing(&arguments.log, async |publisher| {
        Ok(generate::send(&publisher, history, &sending, &context, &mut bar, &stop).await?)
    })
    .await?;
    drop(bar);
    let text = format!("{count} records acknowledged, position {position}");
    let json = json!({
        "acknowledged": count,
        "position": position.to_string(),
        "request_id": context.request_id.as_str(),
    });
    arguments.output.print(text, &json)?;
    Ok(if stop.is_cancelled() {
        Exit::Failed
    } else {
        Exit::Done
    })
}

fn options(arguments: &GenerateArgs) -> GenerateOptions {
    let end = arguments.end.unwrap_or_else(|| wall_clock()() * 1000);
    GenerateOptions {
        seed: arguments.seed,
        licenses: arguments.licenses,
        events: arguments.count,
        start: end - i64::from(arguments.days) * DAY_MICROS,
        end,
        tenants: arguments.tenants,
        shares: Shares {
            late: arguments.late,
            duplicate: arguments.duplicate,
            voided: arguments.voided,
            conflicting: arguments.conflicting,
            poison: arguments.poison,
        },
        heartbeats: !arguments.no_heartbeats,
    }
}

struct Bar(Shown);

impl GenerateProgress for Bar {
    fn advanced(&mut self, acknowledged: u64) {
        self.0.advanced(acknowledged);
    }
}
