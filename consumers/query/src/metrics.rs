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
const STREAMS: &str = "query_streams";
const STREAMS_CUT: &str = "query_streams_cut_total";
const STREAMS_REFUSED: &str = "query_streams_refused_total";
const STREAMS_FELL_BEHIND: &str = "query_streams_fell_behind_total";
const STREAM_EVENTS: &str = "query_stream_events_total";

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
    describe_gauge!(STREAMS, "streams that are open right now");
    describe_counter!(
        STREAMS_CUT,
        "streams that ended before their readers, by why"
    );
    describe_counter!(STREAMS_REFUSED, "streams that were not opened, by why");
    describe_counter!(
        STREAMS_FELL_BEHIND,
        "streams whose queue ran over, and that read on from the store"
    );
    describe_counter!(STREAM_EVENTS, "events that were given to streams");
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

pub(crate) fn streams(count: usize) {
    gauge!(STREAMS).set(count as f64);
}

pub(crate) fn stream_cut(reason: &'static str) {
    counter!(STREAMS_CUT, "reason" => reason).increment(1);
}

pub(crate) fn stream_refused(reason: &'static str) {
    counter!(STREAMS_REFUSED, "reason" => reason).increment(1);
}

pub(crate) fn stream_fell_behind() {
    counter!(STREAMS_FELL_BEHIND).increment(1);
}

pub(crate) fn stream_events(count: usize) {
    counter!(STREAM_EVENTS).increment(count as u64);
}
