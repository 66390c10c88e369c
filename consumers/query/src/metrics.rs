//! The numbers of the query API: their names, and what they count.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const LOOKUP_SECONDS: &str = "query_lookup_seconds";
const LOOKUPS_FAILED: &str = "query_lookups_failed_total";
const WAITS: &str = "query_waits_total";
const WAITERS: &str = "query_waiters";
const NOT_MODIFIED: &str = "query_not_modified_total";

/// Describes the numbers, after the recorder is there.
pub(crate) fn describe() {
    describe_histogram!(
        LOOKUP_SECONDS,
        Unit::Seconds,
        "time a question to the store took, by question"
    );
    describe_counter!(
        LOOKUPS_FAILED,
        "questions that the store did not answer, by kind of error"
    );
    describe_counter!(
        WAITS,
        "requests that named a position or a staleness, by how that ended"
    );
    describe_gauge!(WAITERS, "requests that wait for the read model right now");
    describe_counter!(NOT_MODIFIED, "answers that the client had already");
}

pub(crate) fn lookup(question: &'static str, took: Duration) {
    histogram!(LOOKUP_SECONDS, "question" => question).record(took.as_secs_f64());
}

pub(crate) fn lookup_failed(kind: &'static str) {
    counter!(LOOKUPS_FAILED, "kind" => kind).increment(1);
}

pub(crate) fn waited(outcome: &'static str) {
    counter!(WAITS, "outcome" => outcome).increment(1);
}

pub(crate) fn waiters(count: usize) {
    // Far below the numbers that a float cannot hold.
    gauge!(WAITERS).set(count as f64);
}

pub(crate) fn not_modified() {
    counter!(NOT_MODIFIED).increment(1);
}
