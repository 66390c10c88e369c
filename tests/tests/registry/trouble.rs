//! A broker that goes away, a topic that is not as it must be, records of another registry.

use std::time::Duration;

use licenseflow_registry::{Error, Registry, RegistrySettings};
use licenseflow_runtime::log::KafkaSettings;
use licenseflow_tests::harness::kafka::create_topic;
use licenseflow_tests::harness::{Kafka, unique_prefix, wait_for_async};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;

use super::served::Served;

fn settings(bootstrap: &str, prefix: &str) -> RegistrySettings {
    RegistrySettings::new(KafkaSettings::new(bootstrap, "registry-test"), prefix)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_told_and_found_again() {
    let mut kafka = Kafka::own().unwrap();
    let mut settings = settings(kafka.bootstrap(), "");
    settings.broker_timeout = Duration::from_secs(2);
    let served = Served::with(settings).await;
    let id = served.register("s", "\"int\"").await;
    kafka.kill().unwrap();
    let known = served.ask(&format!("GET /schemas/ids/{id}"), None).await;
    assert_eq!(
        (200, json!({"schema": "\"int\""})),
        known,
        "what is known needs no broker"
    );
    let (status, answer) = served.ask("GET /schemas/ids/77", None).await;
    assert_eq!(
        (503, Some(50002)),
        (status, answer["error_code"].as_u64()),
        "{answer}"
    );
    let body = Some(json!({"schema": "\"long\""}));
    let (status, answer) = served.ask("POST /subjects/s2/versions", body.clone()).await;
    assert_eq!(
        (503, Some(50002)),
        (status, answer["error_code"].as_u64()),
        "{answer}"
    );
    kafka.start_again().unwrap();
    let found = wait_for_async(
        "the registry to write again",
        Duration::from_secs(60),
        async || {
            let (status, answer) = served.ask("GET /schemas/ids/77", None).await;
            assert!(status == 404 || status == 503, "{status} {answer}");
            let (status, answer) = served.ask("POST /subjects/s2/versions", body.clone()).await;
            assert!(status == 200 || status == 503, "{status} {answer}");
            (status == 200).then_some(answer)
        },
    );
    assert_eq!(json!({"id": 2}), found.await.unwrap());
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_compacted_is_refused_with_the_command_that_mends_it() {
    let prefix = unique_prefix();
    let bootstrap = Kafka::shared().bootstrap();
    let topic = format!("{prefix}_schemas");
    create_topic(bootstrap, &topic, 1, &["cleanup.policy=delete"]).unwrap();
    let registry = Registry::start(settings(bootstrap, &prefix)).unwrap();
    let error = registry.catch_up().await.unwrap_err();
    assert_eq!(50001, error.code());
    let mend = format!("--entity-name {topic} --add-config cleanup.policy=compact");
    assert!(error.to_string().contains(&mend), "{error}");
    registry.shutdown().await;
    assert!(matches!(
        registry.catch_up().await,
        Err(Error::Unavailable(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_another_registry_wrote_are_understood() {
    let prefix = unique_prefix();
    let bootstrap = Kafka::shared().bootstrap();
    let topic = format!("{prefix}_schemas");
    create_topic(bootstrap, &topic, 1, &["cleanup.policy=compact"]).unwrap();
    let kafka = KafkaSettings::new(bootstrap, "other-registry");
    let producer: BaseProducer = kafka.producer_config().unwrap().create().unwrap();
    let protobuf = r#"{"subject":"p","version":1,"id":8,"schemaType":"PROTOBUF","schema":"syntax","deleted":false}"#;
    for (key, value) in [
        (r#"{"keytype":"NOOP","magic":0}"#, None),
        (
            r#"{"keytype":"CONFIG","subject":null,"magic":0}"#,
            Some(r#"{"compatibilityLevel":"NONE"}"#),
        ),
        (
            r#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}"#,
            Some(
                r#"{"subject":"s","version":1,"id":5,"md5":"x","schema":"\"int\"","deleted":false}"#,
            ),
        ),
        (
            r#"{"keytype":"SCHEMA","subject":"p","version":1,"magic":1}"#,
            Some(protobuf),
        ),
        ("no key of a registry", Some("{}")),
    ] {
        let mut record = BaseRecord::to(&topic).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    let served = Served::start(&prefix).await;
    assert_eq!(
        json!({"schema": "\"int\""}),
        served.ask("GET /schemas/ids/5", None).await.1
    );
    let foreign = served.ask("GET /schemas/ids/8", None).await.1;
    assert_eq!(
        json!({"schema": "syntax", "schemaType": "PROTOBUF"}),
        foreign
    );
    assert_eq!(
        json!({"compatibilityLevel": "NONE"}),
        served.ask("GET /config", None).await.1
    );
    assert_eq!(5, served.register("elsewhere", r#"{"type":"int"}"#).await);
    assert_eq!(9, served.register("s", "\"string\"").await);
    served.stop().await;
}

#[test]
fn settings_that_break_a_promise_are_refused_at_start() {
    let mut settings = settings("127.0.0.1:1", "");
    settings
        .kafka
        .overrides
        .insert("isolation.level".into(), "read_uncommitted".into());
    let error = Registry::start(settings).err().unwrap();
    assert!(error.to_string().contains("isolation.level"), "{error}");
}
