//! `verify`: folds the log anew, up to where the read model stands, and holds what is stored against it. Exit
//! 0: the same; 1: not.

mod going;
mod lanes;
mod show;

use crate::exit::Exit;
use crate::log::LogArgs;
use crate::output::OutputArgs;
use crate::schemas::CommandSchemas;
use crate::store::{self, Writing};
use anyhow::Context;
use clap::Args;
pub(crate) use going::Going;
pub(crate) use lanes::LanesOverKafka;
pub(crate) use show::{differences_json, differences_text};

use licenseflow_avro::registry_client::BlockingSchemas;
use licenseflow_avro::{LicenseKey, Position};
use licenseflow_projector::verify::{
    Extent, License, LicenseReport, Way, Whole, WholeReport, verify_license, verify_whole,
};
use licenseflow_runtime::config::StoreArgs;
use licenseflow_store::generations::{Generations, Made};
use licenseflow_store::{Audit, Error as StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What `--help` says behind the options.
const HELP: &str = "\
Both lanes are read from their beginning and folded by another, naive fold, which shares no code with the \
projector's; --fast takes the projector's own, which spares a sixth of the computing (most of it is reading) and is \
blind to what both get wrong. \
Compared are, at one position, while writes go on: every row as it is stored, the digest that is kept, totals \
and customers, every event of every timeline, numbers of events by minute and day, and what was rejected or waits. \
All events of the log are held in memory, some 400 bytes each.

With --license only the records that the license's rows name are read, which takes some ten to some hundred \
milliseconds; what that does not check is told. --scan reads all of the log for it.

Records that were rejected or waited then and would be accepted now, as their schema was registered since, or the \
reverse, are listed apart: the model is held against the records that came out alike, and such a record alone is \
no failure. A redrive or a replay takes it in.

Exit: 0 the same, 1 not the same or not to be told, 2 wrong use.";

#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    output: OutputArgs,
    /// Fold by the projector's own fold: somewhat quicker, and blind to what both get wrong
    #[arg(long, conflicts_with = "license")]
    fast: bool,
    /// Tell so many differences at most; how many there are is told in any case
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    differences_max: usize,
    /// Verify this license alone, by the records that its rows name
    #[arg(long, value_name = "ID")]
    license: Option<String>,
    /// The license's tenant
    #[arg(
        long,
        value_name = "ID",
        default_value = "default",
        requires = "license"
    )]
    tenant: String,
    /// Read every partition for the license, and check all of it
    #[arg(long, requires = "license")]
    scan: bool,
    /// Verify this generation rather than the live one
    #[arg(long, value_name = "NUMBER")]
    generation: Option<i64>,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// What was asked, without how it is told and where everything is.
struct Asked {
    generation: Option<i64>,
    differences_max: usize,
    way: Way,
    license: Option<(LicenseKey, Extent)>,
}

/// What came of it.
enum Report {
    Whole(Box<WholeReport>),
    License(Box<OfLicense>),
}

/// What came of one license.
struct OfLicense {
    key: LicenseKey,
    report: LicenseReport,
    /// From its rows to its differences.
    took: Duration,
}

pub(crate) async fn run(arguments: VerifyArgs) -> anyhow::Result<Exit> {
    store::check(&arguments.store)?;
    let lanes = LanesOverKafka {
        settings: arguments.log.settings("licenseflow-verify")?,
        topics: arguments.log.topics(),
    };
    let generations = store::generations(&arguments.store.place(), Writing::default())?;
    let schemas = CommandSchemas::open(&arguments.log)?;
    let blocking = schemas.client.blocking(tokio::runtime::Handle::current());
    let (asked, output) = (asked(&arguments), arguments.output);
    let verified =
        tokio::task::spawn_blocking(move || verify(&asked, &lanes, &generations, &blocking));
    let report = verified.await.context("the comparison did not end")??;
    show::print(&report, output)?;
    let is_equal = match &report {
        Report::Whole(report) => report.equal,
        Report::License(of) => of.report.equal && of.report.exists,
    };
    Ok(if is_equal { Exit::Done } else { Exit::Failed })
}

fn asked(arguments: &VerifyArgs) -> Asked {
    let license = arguments.license.as_ref().map(|license_id| {
        let key = LicenseKey {
            tenant_id: arguments.tenant.clone(),
            license_id: license_id.clone(),
        };
        let extent = match arguments.scan {
            true => Extent::All,
            false => Extent::Recorded,
        };
        (key, extent)
    });
    Asked {
        generation: arguments.generation,
        differences_max: arguments.differences_max,
        way: match arguments.fast {
            true => Way::Fast,
            false => Way::Naive,
        },
        license,
    }
}

fn verify(
    asked: &Asked,
    lanes: &LanesOverKafka,
    generations: &Arc<dyn Generations>,
    schemas: &BlockingSchemas,
) -> anyhow::Result<Report> {
    let (audit, begin) = open(&**generations, asked.generation)?;
    let audit = &*audit;
    let mut going = Going::of(&begin, &audit.begin()?.at().position);
    let mut progress = |progress| going.on(progress);
    let Some((key, extent)) = &asked.license else {
        let whole = Whole {
            lanes,
            audit,
            schemas,
            begin,
            way: asked.way,
            differences_max: asked.differences_max,
        };
        let report = verify_whole(&whole, &mut progress).map_err(told)?;
        return Ok(Report::Whole(Box::new(report)));
    };
    let license = License {
        lanes,
        audit,
        schemas,
        begin,
        key,
        extent: *extent,
    };
    let begun = Instant::now();
    let report = verify_license(&license, &mut progress).map_err(told)?;
    Ok(Report::License(Box::new(OfLicense {
        key: key.clone(),
        report,
        took: begun.elapsed(),
    })))
}

/// No projector has stopped here: what the store or the log says is all there is to tell.
fn told(error: licenseflow_projector::Error) -> anyhow::Error {
    use licenseflow_projector::Error;
    match error {
        Error::Store(error) => error.into(),
        Error::Log(error) => error.into(),
        error @ (Error::Schemas(_) | Error::Ended(_) | Error::Thread { .. } | Error::Slow(_)) => {
            error.into()
        }
    }
}

/// The generation that is asked for, and where each of its partitions begins; none: at the beginning of all.
fn open(
    generations: &dyn Generations,
    number: Option<i64>,
) -> Result<(Box<dyn Audit>, Option<Position>), StoreError> {
    let book = generations.book()?;
    let number = number.unwrap_or(book.live);
    let known = book.generations.iter().find(|it| it.number == number);
    let begin = known.and_then(|it| match &it.of {
        Made::Whole => None,
        Made::Part { begin } => Some(begin.clone()),
    });
    if known.is_none() && number != book.live {
        return Err(StoreError::Unusable(format!(
            "there is no generation {number}"
        )));
    }
    Ok((generations.audit(number)?, begin))
}
