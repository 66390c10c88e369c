//! What a verification tells: lines and a table for people, JSON for scripts.

use super::{OfLicense, Report};
use crate::output::OutputArgs;
use licenseflow_avro::LicenseKey;
use licenseflow_projector::verify::{Apart, Difference, LicenseReport, WholeReport};
use serde_json::{Value, json};
use std::fmt::Write as _;

pub(super) fn print(report: &Report, output: OutputArgs) -> anyhow::Result<()> {
    let (text, json) = match report {
        Report::Whole(report) => (whole_text(report), whole_json(report)),
        Report::License(of) => (license_text(of), license_json(of)),
    };
    Ok(output.print(text.trim_end(), &json)?)
}

fn whole_text(report: &WholeReport) -> String {
    let WholeReport {
        position,
        records,
        accepted,
        found,
        rows,
        expected,
        ..
    } = report;
    let mut text = format!(
        "position   {position}\nrecords    {records}, {accepted} of them accepted\n\
         read model {found}\nrows       {rows}\nlog        {expected}\n"
    );
    if report.equal {
        text.push_str("the same\n");
    } else {
        let buckets = report.buckets_that_differ.len();
        let (licenses, all) = (report.licenses_that_differ, report.differences_count);
        let _ = writeln!(
            text,
            "NOT the same: {buckets} of 256 buckets differ; {licenses} licenses, {all} differences\n"
        );
        differences_text(&mut text, &report.differences);
        more(&mut text, report.differences.len(), all, "differences");
    }
    apart(&mut text, &report.apart, report.apart_count);
    text
}

fn license_text(OfLicense { key, report, took }: &OfLicense) -> String {
    let LicenseKey {
        tenant_id,
        license_id,
    } = key;
    let LicenseReport {
        position,
        records,
        events,
        ..
    } = report;
    let mut text = format!(
        "license    {license_id} of {tenant_id}\nposition   {position}\n\
         records    {records}, for {events} events of its timeline, in {} ms\n",
        took.as_millis()
    );
    if !report.exists {
        text.push_str("there is no such license\n");
    } else if report.equal {
        text.push_str("the same\n");
    } else {
        let count = report.differences.len();
        let _ = writeln!(text, "NOT the same: {count} differences\n");
        differences_text(&mut text, &report.differences);
    }
    apart(&mut text, &report.apart, report.apart.len() as u64);
    text.push_str("not checked:\n");
    for what in report.not_checked {
        let _ = writeln!(text, "  {what}");
    }
    text
}

/// License by license: which part, what in it, and what each side has.
pub(crate) fn differences_text(text: &mut String, differences: &[Difference]) {
    let rows = differences.iter().map(|it| {
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        [
            or_none(&it.tenant_id),
            or_none(&it.license_id),
            it.part.to_string(),
            it.name.clone(),
            or_none(&it.store),
            or_none(&it.log),
        ]
    });
    let heads = ["TENANT", "LICENSE", "PART", "WHAT", "STORE", "LOG"].map(ToOwned::to_owned);
    columns(text, std::iter::once(heads).chain(rows).collect());
}

fn apart(text: &mut String, all: &[Apart], count: u64) {
    if all.is_empty() {
        return;
    }
    text.push_str(
        "\napart, no difference of the model: what would become of these records otherwise now\n",
    );
    let rows = all.iter().map(|it| {
        let (tenant, license) = named(it);
        let or_none = |value: Option<&str>| value.unwrap_or("-").to_owned();
        let (then, now) = (it.then.clone(), it.now.clone());
        [
            or_none(tenant),
            or_none(license),
            it.record.clone(),
            then,
            now,
        ]
    });
    let heads = ["TENANT", "LICENSE", "RECORD", "THEN", "NOW"].map(ToOwned::to_owned);
    columns(text, std::iter::once(heads).chain(rows).collect());
    more(text, all.len(), count, "records");
}

fn columns<const N: usize>(text: &mut String, rows: Vec<[String; N]>) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    for row in &rows {
        let mut line = String::new();
        for (value, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{value:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn more(text: &mut String, shown: usize, all: u64, what: &str) {
    if (shown as u64) < all {
        let _ = writeln!(
            text,
            "… {shown} of {all} {what}; --differences-max tells more"
        );
    }
}

fn named(apart: &Apart) -> (Option<&str>, Option<&str>) {
    let license = apart.license.as_ref();
    let tenant = license.map(|key| key.tenant_id.as_str());
    (tenant, license.map(|key| key.license_id.as_str()))
}

fn whole_json(report: &WholeReport) -> Value {
    json!({
        "equal": report.equal,
        "digest": report.found,
        "rows": report.rows,
        "expected": report.expected,
        "position": report.position.to_string(),
        "generation": report.generation,
        "records": report.records,
        "accepted": report.accepted,
        "buckets_that_differ": report.buckets_that_differ,
        "licenses_that_differ": report.licenses_that_differ,
        "differences": differences_json(&report.differences),
        "differences_count": report.differences_count,
        "apart": apart_json(&report.apart),
        "apart_count": report.apart_count,
        "retried": report.retried,
    })
}

fn license_json(OfLicense { key, report, took }: &OfLicense) -> Value {
    json!({
        "tenant_id": key.tenant_id,
        "license_id": key.license_id,
        "exists": report.exists,
        "equal": report.equal && report.exists,
        "position": report.position.to_string(),
        "generation": report.generation,
        "records": report.records,
        "events": report.events,
        "differences": differences_json(&report.differences),
        "differences_count": report.differences.len(),
        "apart": apart_json(&report.apart),
        "apart_count": report.apart.len(),
        "not_checked": report.not_checked,
        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    })
}

pub(crate) fn differences_json(differences: &[Difference]) -> Vec<Value> {
    let each = differences.iter().map(|it| {
        json!({
            "tenant_id": it.tenant_id,
            "license_id": it.license_id,
            "part": it.part.name(),
            "what": it.name,
            "store": it.store,
            "log": it.log,
        })
    });
    each.collect()
}

fn apart_json(all: &[Apart]) -> Vec<Value> {
    let each = all.iter().map(|it| {
        let (tenant_id, license_id) = named(it);
        json!({
            "tenant_id": tenant_id,
            "license_id": license_id,
            "record": it.record,
            "then": it.then,
            "now": it.now,
        })
    });
    each.collect()
}
