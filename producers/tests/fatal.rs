//! A producer that breaks for good is replaced while events keep coming.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

use std::time::Duration;

use licenseflow_avro::event::{DeviceHeartbeat, LicenseEvent, Payload};
use licenseflow_avro::headers::RequestId;
use licenseflow_avro::{Lane, Topics};
use licenseflow_producers::publish::{
    Outcome, PublishError, Publisher, PublisherSettings, RequestContext, SchemaIds,
};
use licenseflow_runtime::log::KafkaSettings;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::Instant;
use uuid::Uuid;

fn event() -> LicenseEvent {
    LicenseEvent {
        event_id: Uuid::now_v7(),
        license_id: "L".to_owned(),
        tenant_id: "default".to_owned(),
        occurred_at: 0,
        source: String::new(),
        actor: None,
        payload: Payload::DeviceHeartbeat(DeviceHeartbeat {
            device_id: "d".to_owned(),
        }),
    }
}

fn context() -> RequestContext {
    RequestContext {
        request_id: RequestId::parse("r").unwrap(),
        received_at_ms: 0,
        traceparent: None,
        tracestate: None,
        answer_by: None,
    }
}

fn started(brokers: String) -> Publisher {
    let mut kafka = KafkaSettings::new(brokers, "fatal-test");
    let timeout = ("delivery.timeout.ms".to_owned(), "3000".to_owned());
    kafka.overrides.extend([timeout]);
    let schema_ids = SchemaIds {
        interactive: 1,
        bulk: 1,
    };
    Publisher::start(PublisherSettings::new(kafka, Topics::new(""), schema_ids)).unwrap()
}

#[tokio::test]
async fn a_fatal_error_costs_the_events_at_hand_and_not_those_after_it() {
    let cluster = MockCluster::new(1).unwrap();
    let topics = Topics::new("");
    cluster
        .create_topic(&topics.lane(Lane::Interactive), 3, 1)
        .unwrap();
    // The producer is told that it may not be idempotent, which it never gets over.
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[refusal]);
    let publisher = started(cluster.bootstrap_servers());
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut failed = 0;
    let receipt = loop {
        match publisher
            .publish(&event(), Lane::Interactive, &context())
            .await
        {
            Ok(receipt) => break receipt,
            Err(error) => {
                failed += 1;
                assert!(Instant::now() < deadline, "it never recovered: {error:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    assert!(failed > 0, "nothing was broken");
    assert_eq!(receipt.offset, 0);
}

#[tokio::test]
async fn a_stop_gives_up_what_does_not_arrive_and_takes_nothing_more() {
    let publisher = started("127.0.0.1:1".to_owned());
    let delivery = publisher
        .enqueue(&event(), Lane::Interactive, &context())
        .await
        .unwrap();
    publisher.stop(Duration::from_millis(100)).await;
    let error = delivery.receipt().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    let error = publisher
        .publish(&event(), Lane::Interactive, &context())
        .await
        .unwrap_err();
    assert!(matches!(error, PublishError::Stopped), "{error:?}");
}
