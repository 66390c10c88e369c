//! An intake of a test's own on a real Kafka, and a look at what it wrote.

use std::collections::BTreeMap;
use std::time::Duration;

use licenseflow_avro::event::LicenseEvent;
use licenseflow_avro::{Lane, Topics, codec};
use licenseflow_producers::accept::{IntakeSettings, router};
use licenseflow_producers::publish::{Publisher, PublisherSettings, SchemaIds};
use licenseflow_runtime::http::{HttpLimits, bind, serve};
use licenseflow_runtime::log::{
    Admin, KafkaSettings, Reader, Record, Start, Stop, TopicPartition, TopicSpec, read_at,
};
use licenseflow_tests::harness::unique_prefix;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
pub(crate) const SCHEMA_IDS: SchemaIds = SchemaIds {
    interactive: 17,
    bulk: 18,
};

/// Topics of a test's own.
pub(crate) struct Log {
    pub(crate) kafka: KafkaSettings,
    pub(crate) topics: Topics,
}

impl Log {
    pub(crate) async fn create(bootstrap: &str) -> Self {
        let kafka = KafkaSettings::new(bootstrap, "intake-test");
        let topics = Topics::new(unique_prefix());
        let specs: Vec<TopicSpec> = topics
            .all()
            .into_iter()
            .map(|plan| TopicSpec {
                name: plan.name,
                partitions: plan.partitions,
                replication: None,
                settings: plan
                    .settings
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            })
            .collect();
        let admin = Admin::new(&kafka, TIMEOUT).unwrap();
        admin
            .off_thread(move |admin| admin.ensure_topics(&specs))
            .await
            .unwrap();
        Self { kafka, topics }
    }

    pub(crate) fn publisher(&self) -> Publisher {
        let settings = PublisherSettings::new(self.kafka.clone(), self.topics.clone(), SCHEMA_IDS);
        Publisher::start(settings).unwrap()
    }

    /// The record that a receipt names.
    pub(crate) async fn record_of(&self, receipt: &Value) -> Record {
        let topic = receipt["topic"].as_str().unwrap();
        let partition = i32::try_from(receipt["partition"].as_i64().unwrap()).unwrap();
        let at = TopicPartition::new(topic, partition);
        let offset = receipt["offset"].as_i64().unwrap();
        let kafka = self.kafka.clone();
        tokio::task::spawn_blocking(move || read_at(&kafka, &at, offset, TIMEOUT).unwrap())
            .await
            .unwrap()
    }

    /// Every record of both lanes.
    pub(crate) async fn records(&self) -> Vec<Record> {
        let kafka = self.kafka.clone();
        let names = Lane::ALL.map(|lane| self.topics.lane(lane));
        tokio::task::spawn_blocking(move || {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut reader =
                Reader::open(&kafka, &names, &Start::Beginning, Stop::AtEnd, TIMEOUT).unwrap();
            let mut records = Vec::new();
            reader
                .drain(|record| {
                    records.push(record);
                    Ok::<(), licenseflow_runtime::log::Error>(())
                })
                .unwrap();
            records
        })
        .await
        .unwrap()
    }
}

/// The event of a record that one of our producers wrote.
pub(crate) fn event_of(record: &Record) -> LicenseEvent {
    let value = record.value.as_deref().unwrap();
    let schema_id = if record.topic.ends_with("bulk.v1") {
        SCHEMA_IDS.bulk
    } else {
        SCHEMA_IDS.interactive
    };
    assert_eq!(value[0], 0);
    assert_eq!(value[1..5], schema_id.to_be_bytes());
    codec::decode_body(&value[5..]).unwrap()
}

pub(crate) fn headers_of(record: &Record) -> BTreeMap<&str, String> {
    let headers = record.headers.iter();
    headers
        .map(|header| {
            let value = header.value.clone().unwrap();
            (header.name.as_str(), String::from_utf8(value).unwrap())
        })
        .collect()
}

/// An intake that listens.
pub(crate) struct Intake {
    pub(crate) url: String,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) publisher: Publisher,
    pub(crate) http: reqwest::Client,
    stop: CancellationToken,
    served: JoinSet<()>,
}

impl Intake {
    pub(crate) fn start(log: &Log, settings: IntakeSettings) -> Self {
        Self::with_limits(log, settings, HttpLimits::default())
    }

    pub(crate) fn with_limits(log: &Log, settings: IntakeSettings, limits: HttpLimits) -> Self {
        let publisher = log.publisher();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut served = JoinSet::new();
        let serving = serve(
            listener,
            router(publisher.clone(), settings),
            limits,
            stop.clone(),
        );
        served.spawn(async move { serving.await.unwrap() });
        Self {
            url: format!("http://{address}/v1/events"),
            address,
            publisher,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            stop,
            served,
        }
    }

    pub(crate) fn post(
        &self,
        media_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::RequestBuilder {
        self.http
            .post(&self.url)
            .header("content-type", media_type)
            .body(body)
    }

    /// The answer's status and body.
    pub(crate) async fn answer(
        &self,
        media_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> (u16, Value) {
        answered(self.post(media_type, body)).await
    }

    /// Stops as the command does: the listener first, then the publisher.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.served.join_next().await {
            ended.unwrap();
        }
        self.publisher.stop(Duration::from_secs(5)).await;
    }
}

pub(crate) async fn answered(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    if status >= 400 {
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    }
    (status, response.json().await.unwrap())
}

pub(crate) fn usage(license: &str, quantity: i64) -> String {
    format!(
        r#"{{"license_id":"{license}","type":"UsageRecorded","data":{{"metric":"calls","quantity":{quantity}}}}}"#
    )
}
