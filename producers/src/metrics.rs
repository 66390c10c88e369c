//! The names of this crate's metrics, and nothing else writes them.

use std::time::Duration;

use licenseflow_avro::Lane;
use metrics::{Unit, counter, gauge, histogram};

use crate::publish::PublishError;

const RECORDS: &str = "producer_records_total";
const DELIVERY: &str = "producer_delivery_seconds";
const IN_FLIGHT: &str = "producer_records_in_flight";
const REBUILDS: &str = "producer_rebuilds_total";
const EVENTS: &str = "intake_events_total";
const SHED: &str = "intake_requests_shed_total";
const BODY: &str = "intake_body_bytes";

/// Says what the metrics of this crate mean.
pub fn describe_metrics() {
    metrics::describe_counter!(
        RECORDS,
        "records handed to the producer, by lane and by what became of them"
    );
    metrics::describe_histogram!(
        DELIVERY,
        Unit::Seconds,
        "time from the producer's queue to the acknowledgement"
    );
    metrics::describe_gauge!(IN_FLIGHT, "records whose acknowledgement is waited for");
    metrics::describe_counter!(REBUILDS, "producers that broke for good and were made anew");
    metrics::describe_counter!(
        EVENTS,
        "events that clients sent to the intake, by what they were answered"
    );
    metrics::describe_counter!(SHED, "requests refused because too many were being served");
    metrics::describe_histogram!(BODY, Unit::Bytes, "size of the bodies that the intake read");
}

pub(crate) fn record_enqueued() {
    gauge!(IN_FLIGHT).increment(1.0);
}

pub(crate) fn record_left() {
    gauge!(IN_FLIGHT).decrement(1.0);
}

pub(crate) fn record_acknowledged(lane: Lane, elapsed: Duration) {
    counter!(RECORDS, "lane" => lane_label(lane), "outcome" => "acknowledged").increment(1);
    histogram!(DELIVERY).record(elapsed.as_secs_f64());
}

pub(crate) fn record_failed(lane: Lane, error: &PublishError) {
    counter!(RECORDS, "lane" => lane_label(lane), "outcome" => error.kind()).increment(1);
}

pub(crate) fn producer_rebuilt() {
    counter!(REBUILDS).increment(1);
}

pub(crate) fn events_answered(answer: &'static str, count: usize) {
    if count > 0 {
        counter!(EVENTS, "answer" => answer).increment(count as u64);
    }
}

pub(crate) fn request_shed() {
    counter!(SHED).increment(1);
}

pub(crate) fn body_read(bytes: usize) {
    histogram!(BODY).record(bytes as f64);
}

fn lane_label(lane: Lane) -> &'static str {
    match lane {
        Lane::Interactive => "interactive",
        Lane::Bulk => "bulk",
    }
}
