//! The numbers of the query API: their names, and what they count.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const LOOKUP_SECONDS: &str = "query_lookup_seconds";
const LOOKUPS_FAILED: &str = "query_lookups_failed_total";
const WAITS: &str = "query_waits_total";
const WAITERS: &str = "query_waiters";
const TURN_SECONDS: &str = "query_turn_wait_seconds";
const SHED: &str = "query_shed_total";
const BREAKER: &str = "query_breaker_state";
const BREAKER_CHANGES: &str = "query_breaker_changes_total";
const SHARED: &str = "query_cache_total";
const KEPT_BYTES: &str = "query_cache_bytes";
const NOT_MODIFIED: &str = "query_not_modified_total";
const STREAMS: &str = "query_streams";
const STREAMS_CUT: &str = "query_streams_cut_total";
const STREAMS_REFUSED: &str = "query_streams_refused_total";
const STREAMS_FELL_BEHIND: &str = "query_streams_fell_behind_total";
const STREAM_EVENTS: &str = "query_stream_events_total";

const LETTERS_REDRIVEN: &str = "admin_letters_redriven_total";
const LETTERS_RESOLVED: &str = "admin_letters_resolved_total";

/// Describes the numbers of the admin API, after the recorder is there.
pub(crate) fn describe_admin() {
    describe_counter!(
        LETTERS_REDRIVEN,
        "dead letters whose records the brokers have in their lanes again"
    );
    describe_counter!(
        LETTERS_RESOLVED,
        "dead letters that were closed for a reason"
    );
}

/// So many letters were redriven.
pub(crate) fn letters_redriven(count: usize) {
    counter!(LETTERS_REDRIVEN).increment(count as u64);
}

/// So many letters were closed.
pub(crate) fn letters_resolved(count: usize) {
    counter!(LETTERS_RESOLVED).increment(count as u64);
}

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
    describe_histogram!(
        TURN_SECONDS,
        Unit::Seconds,
        "time that a question waited for its turn at the store"
    );
    describe_counter!(
        SHED,
        "questions refused since too many waited (crowded) or the turn did not come (too_late)"
    );
    describe_gauge!(
        BREAKER,
        "whether the store is asked: 0 yes (closed), 1 by a few (half-open), 2 not for now (open)"
    );
    describe_counter!(BREAKER_CHANGES, "changes of the same, by what it became");
    describe_counter!(
        SHARED,
        "questions by where their answer came from: hit (kept), shared (on its way), miss (asked)"
    );
    describe_gauge!(KEPT_BYTES, Unit::Bytes, "what is kept of answers, about");
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

pub(crate) fn turn_waited(took: Duration) {
    histogram!(TURN_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn shed(why: &'static str) {
    counter!(SHED, "why" => why).increment(1);
}

pub(crate) fn breaker(state: u8) {
    gauge!(BREAKER).set(f64::from(state));
}

pub(crate) fn breaker_changed(to: &'static str) {
    counter!(BREAKER_CHANGES, "to" => to).increment(1);
}

pub(crate) fn shared(outcome: &'static str) {
    counter!(SHARED, "outcome" => outcome).increment(1);
}

pub(crate) fn kept(bytes: usize) {
    // Far below the numbers that a float cannot hold.
    gauge!(KEPT_BYTES).set(bytes as f64);
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
