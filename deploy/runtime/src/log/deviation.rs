//! How a topic differs from what it should be, and the command that mends it.
//!
//! Pure: it compares a [`TopicSpec`] with a [`TopicDescription`] and knows no client.

use std::fmt;

use super::topic::MIN_INSYNC_REPLICAS;
use super::{TopicDescription, TopicSpec};

/// One difference, with the command that takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// The topic.
    pub topic: String,
    /// What differs, such as `retention.ms`, `partitions` or `replication`.
    pub what: String,
    /// As it should be.
    pub expected: String,
    /// As it is; none if there is nothing.
    pub actual: Option<String>,
    /// A command line for a shell, with Kafka's own tools.
    pub command: String,
}

impl fmt::Display for Deviation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actual = self.actual.as_deref().unwrap_or("missing");
        write!(
            formatter,
            "topic {}: {} is {actual}, must be {}; mend it with: {}",
            self.topic, self.what, self.expected, self.command
        )
    }
}

/// The cluster that a comparison is made in.
pub(crate) struct Cluster<'a> {
    pub(crate) bootstrap_servers: &'a str,
    pub(crate) brokers: &'a [i32],
}

/// All differences of one topic; `actual` is none where the topic does not exist.
pub(crate) fn deviations(
    spec: &TopicSpec,
    actual: Option<&TopicDescription>,
    cluster: &Cluster<'_>,
) -> Vec<Deviation> {
    let Some(actual) = actual else {
        return vec![missing(spec, cluster)];
    };
    let mut found = Vec::new();
    found.extend(too_few_partitions(spec, actual, cluster));
    found.extend(too_few_replicas(spec, actual, cluster));
    found.extend(other_settings(spec, actual, cluster));
    found
}

fn missing(spec: &TopicSpec, cluster: &Cluster<'_>) -> Deviation {
    let brokers = cluster.brokers.len();
    let mut command = format!(
        "kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions {} \
         --replication-factor {}",
        cluster.bootstrap_servers,
        spec.name,
        spec.partitions,
        spec.replication_for(brokers)
    );
    for (key, value) in spec.settings_for(brokers) {
        command.push_str(&format!(" --config {key}={value}"));
    }
    Deviation {
        topic: spec.name.clone(),
        what: "topic".into(),
        expected: "there".into(),
        actual: None,
        command,
    }
}

fn too_few_partitions(
    spec: &TopicSpec,
    actual: &TopicDescription,
    cluster: &Cluster<'_>,
) -> Option<Deviation> {
    let count = actual.partitions.len();
    if count as i64 >= i64::from(spec.partitions) {
        return None;
    }
    Some(Deviation {
        topic: spec.name.clone(),
        what: "partitions".into(),
        expected: spec.partitions.to_string(),
        actual: Some(count.to_string()),
        command: format!(
            "kafka-topics.sh --bootstrap-server {} --alter --topic {} --partitions {}",
            cluster.bootstrap_servers, spec.name, spec.partitions
        ),
    })
}

fn too_few_replicas(
    spec: &TopicSpec,
    actual: &TopicDescription,
    cluster: &Cluster<'_>,
) -> Option<Deviation> {
    let expected = spec.replication_for(cluster.brokers.len());
    let least = actual
        .partitions
        .iter()
        .map(|partition| partition.replicas.len())
        .min()?;
    if least as i64 >= i64::from(expected) || cluster.brokers.len() < expected as usize {
        return None;
    }
    Some(Deviation {
        topic: spec.name.clone(),
        what: "replication".into(),
        expected: expected.to_string(),
        actual: Some(least.to_string()),
        command: format!(
            "echo '{}' > reassign.json && kafka-reassign-partitions.sh --bootstrap-server {} \
             --reassignment-json-file reassign.json --execute",
            reassignment(actual, cluster.brokers, expected as usize),
            cluster.bootstrap_servers
        ),
    })
}

/// Keeps each partition's replicas where they are and adds brokers after them, in turn.
fn reassignment(actual: &TopicDescription, brokers: &[i32], replication: usize) -> String {
    let partitions: Vec<serde_json::Value> = actual
        .partitions
        .iter()
        .enumerate()
        .map(|(index, partition)| {
            let mut replicas = partition.replicas.clone();
            let turn = brokers.iter().cycle().skip(index).take(brokers.len());
            let others: Vec<i32> = turn.copied().filter(|id| !replicas.contains(id)).collect();
            replicas.extend(others);
            replicas.truncate(replication.max(partition.replicas.len()));
            serde_json::json!({
                "topic": actual.name, "partition": partition.id, "replicas": replicas
            })
        })
        .collect();
    serde_json::json!({"version": 1, "partitions": partitions}).to_string()
}

fn other_settings(
    spec: &TopicSpec,
    actual: &TopicDescription,
    cluster: &Cluster<'_>,
) -> Vec<Deviation> {
    spec.settings_for(cluster.brokers.len())
        .into_iter()
        .filter(|(key, expected)| !fits(key, expected, actual.settings.get(key)))
        .map(|(key, expected)| Deviation {
            topic: spec.name.clone(),
            command: format!(
                "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics \
                 --entity-name {} --add-config {key}={expected}",
                cluster.bootstrap_servers, spec.name
            ),
            actual: actual.settings.get(&key).cloned(),
            what: key,
            expected,
        })
        .collect()
}

/// More in-sync replicas than asked for are stricter, not otherwise.
fn fits(key: &str, expected: &str, actual: Option<&String>) -> bool {
    let Some(actual) = actual else { return false };
    if key == MIN_INSYNC_REPLICAS {
        let number = |text: &str| text.parse::<u32>().unwrap_or(0);
        return number(actual) >= number(expected);
    }
    actual == expected
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::log::PartitionDescription;

    fn spec() -> TopicSpec {
        TopicSpec {
            name: "t".into(),
            partitions: 2,
            replication: None,
            settings: BTreeMap::from([("retention.ms".into(), "-1".into())]),
        }
    }

    fn topic(partitions: i32, replicas: &[i32], settings: &[(&str, &str)]) -> TopicDescription {
        TopicDescription {
            name: "t".into(),
            partitions: (0..partitions)
                .map(|id| PartitionDescription {
                    id,
                    leader: replicas.first().copied(),
                    replicas: replicas.to_vec(),
                    in_sync: replicas.to_vec(),
                })
                .collect(),
            settings: settings
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
        }
    }

    fn found(actual: Option<&TopicDescription>, brokers: &[i32]) -> Vec<Deviation> {
        deviations(
            &spec(),
            actual,
            &Cluster {
                bootstrap_servers: "b:9092",
                brokers,
            },
        )
    }

    #[test]
    fn a_topic_as_it_should_be_has_no_deviation() {
        assert_eq!(
            Vec::<Deviation>::new(),
            found(Some(&topic(2, &[1], &[("retention.ms", "-1")])), &[1])
        );
    }

    #[test]
    fn added_partitions_are_no_deviation() {
        assert!(found(Some(&topic(5, &[1], &[("retention.ms", "-1")])), &[1]).is_empty());
    }

    #[test]
    fn a_setting_that_differs_comes_with_the_command_that_mends_it() {
        let found = found(
            Some(&topic(2, &[1], &[("retention.ms", "604800000")])),
            &[1],
        );
        assert_eq!(
            vec![Deviation {
                topic: "t".into(),
                what: "retention.ms".into(),
                expected: "-1".into(),
                actual: Some("604800000".into()),
                command: "kafka-configs.sh --bootstrap-server b:9092 --alter --entity-type topics \
                          --entity-name t --add-config retention.ms=-1"
                    .into(),
            }],
            found
        );
    }

    #[test]
    fn a_missing_topic_comes_with_the_command_that_creates_it() {
        let found = found(None, &[1, 2, 3]);
        assert_eq!(1, found.len());
        assert_eq!(
            "kafka-topics.sh --bootstrap-server b:9092 --create --topic t --partitions 2 \
             --replication-factor 3 --config min.insync.replicas=2 --config retention.ms=-1",
            found[0].command
        );
    }

    #[test]
    fn too_few_partitions_come_with_the_command_that_adds_them() {
        let found = found(Some(&topic(1, &[1], &[("retention.ms", "-1")])), &[1]);
        assert_eq!("partitions", found[0].what);
        assert!(
            found[0]
                .command
                .ends_with("--alter --topic t --partitions 2")
        );
    }

    #[test]
    fn a_topic_made_for_one_broker_deviates_once_there_are_three() {
        let settings = [("retention.ms", "-1"), ("min.insync.replicas", "1")];
        let found = found(Some(&topic(2, &[1], &settings)), &[1, 2, 3]);
        let whats: Vec<&str> = found
            .iter()
            .map(|deviation| deviation.what.as_str())
            .collect();
        assert_eq!(vec!["replication", "min.insync.replicas"], whats);
        assert!(
            found[0]
                .command
                .contains(r#"{"partition":0,"replicas":[1,2,3],"topic":"t"}"#)
        );
        assert!(
            found[0]
                .command
                .contains(r#"{"partition":1,"replicas":[1,2,3],"topic":"t"}"#)
        );
    }
}
