//! How long it took until service was back, for each kind of fault.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// Times by kind of fault.
#[derive(Debug, Default)]
pub(crate) struct Report(BTreeMap<String, Vec<Duration>>);

impl Report {
    pub(crate) fn add(&mut self, kind: String, after: Duration) {
        let times = self.0.entry(kind).or_default();
        times.push(after);
        times.sort_unstable();
    }

    /// The same for programs, in seconds.
    pub(crate) fn json(&self) -> Value {
        let rows = self.0.iter().map(|(kind, times)| {
            let (median, worst) = figures(times);
            json!({"kind": kind, "count": times.len(), "median_s": median, "worst_s": worst})
        });
        rows.collect()
    }
}

/// Median, the upper one of two, and worst.
fn figures(times: &[Duration]) -> (f64, f64) {
    let at = |place: usize| times.get(place).map_or(0.0, Duration::as_secs_f64);
    (at(times.len() / 2), at(times.len().saturating_sub(1)))
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            to,
            "| fault | count | until service was back, median s | worst s |"
        )?;
        writeln!(to, "|---|---|---|---|")?;
        for (kind, times) in &self.0 {
            let (median, worst) = figures(times);
            writeln!(
                to,
                "| {kind} | {} | {median:.1} | {worst:.1} |",
                times.len()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_its_count_its_median_and_its_worst() {
        let mut report = Report::default();
        for seconds in [5, 1, 3] {
            report.add("cut".to_owned(), Duration::from_secs(seconds));
        }
        assert!(
            report.to_string().ends_with("| cut | 3 | 3.0 | 5.0 |\n"),
            "{report}"
        );
        assert_eq!(report.json()[0]["worst_s"], 5.0);
    }
}
