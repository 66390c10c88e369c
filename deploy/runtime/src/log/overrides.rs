//! Which of librdkafka's keys a user may not set with `-X key=value`, and why: a promise of the
//! platform rests on each of them.

use super::settings::MESSAGE_BYTES_MAX;

/// The HTTP service's timeout: what is delivered later is delivered to nobody.
const SERVICE_TIMEOUT_MS: u32 = 20_000;

/// Keys that are ours, and why.
const FIXED: &[(&str, &str)] = &[
    (
        "bootstrap.servers",
        "the brokers' addresses have a setting of their own",
    ),
    (
        "metadata.broker.list",
        "the brokers' addresses have a setting of their own",
    ),
    ("client.id", "it is set by role"),
    ("isolation.level", "aborted records must never show"),
    (
        "enable.auto.commit",
        "the position is kept in the store, with the rows",
    ),
    (
        "auto.commit.enable",
        "the position is kept in the store, with the rows",
    ),
    (
        "enable.auto.offset.store",
        "the position is kept in the store, with the rows",
    ),
    (
        "auto.offset.reset",
        "an offset out of range must halt, not skip",
    ),
    (
        "enable.partition.eof",
        "the end of a partition is found in one way only",
    ),
    ("group.id", "the consumer group has a setting of its own"),
    (
        "group.instance.id",
        "it has a setting of its own: --group-instance",
    ),
    (
        "group.protocol",
        "it has a setting of its own: --group-protocol",
    ),
    (
        "partition.assignment.strategy",
        "a rebalance must take away only what moved",
    ),
    (
        "enable.idempotence",
        "a retry of librdkafka must not write twice",
    ),
    (
        "acks",
        "a receipt is given for what all in-sync replicas have",
    ),
    (
        "request.required.acks",
        "a receipt is given for what all in-sync replicas have",
    ),
    ("transactional.id", "it fences one writer by another"),
    (
        "partitioner",
        "every producer must send a license to the same partition",
    ),
    (
        "allow.auto.create.topics",
        "topics are created with their settings, or not at all",
    ),
];

/// Why an override cannot be taken, if it cannot.
pub(super) fn refusal(key: &str, value: &str) -> Option<&'static str> {
    if let Some((_, reason)) = FIXED.iter().find(|(fixed, _)| *fixed == key) {
        return Some(reason);
    }
    let number = value.parse::<u32>().ok();
    match key {
        "delivery.timeout.ms" | "message.timeout.ms" => (!number
            .is_some_and(|ms| (1..SERVICE_TIMEOUT_MS).contains(&ms)))
        .then_some("it must stay under the service's timeout of 20000 ms"),
        "message.max.bytes" => number
            .is_none_or(|bytes| bytes < MESSAGE_BYTES_MAX)
            .then_some("the largest record that our topics take must fit"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConsumerSettings, KafkaSettings};

    fn settings(key: &str, value: &str) -> KafkaSettings {
        let mut settings = KafkaSettings::new("broker:9092", "licenseflow");
        settings.overrides.insert(key.to_owned(), value.to_owned());
        settings
    }

    #[test]
    fn an_override_that_breaks_a_promise_is_refused_by_every_client() {
        for (key, value) in [
            ("isolation.level", "read_uncommitted"),
            ("enable.auto.commit", "true"),
            ("enable.idempotence", "false"),
            ("acks", "1"),
            ("partitioner", "random"),
            ("delivery.timeout.ms", "60000"),
            ("message.timeout.ms", "0"),
            ("message.max.bytes", "1000"),
        ] {
            let settings = settings(key, value);
            for refused in [
                settings.client_config().err(),
                settings.producer_config().err(),
                settings.consumer_config(&ConsumerSettings::new("g")).err(),
            ] {
                let text = refused
                    .unwrap_or_else(|| panic!("{key} was taken"))
                    .to_string();
                assert!(text.contains(&format!("{key}={value}")), "{text}");
            }
        }
    }

    #[test]
    fn a_delivery_timeout_under_the_services_is_taken() {
        assert!(
            settings("delivery.timeout.ms", "5000")
                .producer_config()
                .is_ok()
        );
    }
}
