//! Clients that this project did not write.

use std::process::{Command, Output};

use apache_avro::types::Value;
use licenseflow_tests::harness::{project, python, unique_prefix};
use schema_registry_converter::async_impl::avro::{AvroDecoder, AvroEncoder};
use schema_registry_converter::async_impl::schema_registry::SrSettings;
use schema_registry_converter::schema_registry_common::SubjectNameStrategy;

use super::served::Served;

/// Runs a client off the threads that serve it.
async fn run(mut command: Command) -> Output {
    let spawned = tokio::task::spawn_blocking(move || command.output());
    spawned.await.unwrap().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .trim()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn confluents_python_client_is_not_surprised() {
    let served = Served::start(&unique_prefix()).await;
    let mut command = Command::new(python().unwrap());
    command
        .arg(project().join("tests/clients/python/registry_client.py"))
        .args(["--url", &served.url]);
    let seen = said(&run(command).await);
    assert!(seen.contains("registered by the serializer"), "{seen}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn confluents_javascript_client_registers_serializes_and_reads_back() {
    let served = Served::start(&unique_prefix()).await;
    let node = |arguments: &[&str]| {
        let mut command = Command::new("node");
        command
            .arg(project().join("tests/clients/node/registry.js"))
            .args(arguments);
        command
    };
    let registered = said(&run(node(&["register", &served.url, "events"])).await);
    assert_eq!(r#"{"id":1,"version":1}"#, registered);
    let event = r#"{"event_id":"0198c0de-0000-7000-8000-000000000001","license_id":"L1","occurred_at":"2026-01-31T10:00:00.000001Z","type":"DeviceActivated","data":{"device_id":"d1"}}"#;
    let bytes = said(&run(node(&["serialize", &served.url, "events", event])).await);
    assert!(bytes.starts_with("0000000001"), "{bytes}");
    let read = said(&run(node(&["deserialize", &served.url, "events", &bytes])).await);
    let read: serde_json::Value = serde_json::from_str(&read).unwrap();
    assert_eq!("L1", read["license_id"]);
    assert_eq!("2026-01-31T10:00:00.000001Z", read["occurred_at"]);
    assert_eq!("d1", read["data"]["device_id"]);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_converter_encodes_and_decodes() {
    let served = Served::start(&unique_prefix()).await;
    let text = r#"{"type":"record","name":"n.R","fields":[{"name":"a","type":"string"}]}"#;
    served.register("events-value", text).await;
    let encoder = AvroEncoder::new(SrSettings::new(served.url.clone()));
    let strategy = SubjectNameStrategy::TopicNameStrategy("events".into(), false);
    let bytes = encoder
        .encode(vec![("a", Value::String("x".into()))], strategy)
        .await
        .unwrap();
    assert_eq!([0, 0, 0, 0, 1], bytes[..5]);
    let decoder = AvroDecoder::new(SrSettings::new(served.url.clone()));
    let decoded = decoder.decode(Some(&bytes)).await.unwrap();
    assert_eq!(
        Value::Record(vec![("a".into(), Value::String("x".into()))]),
        decoded.value
    );
    served.stop().await;
}
