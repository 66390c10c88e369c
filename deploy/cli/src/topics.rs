//! `topics create` and `topics describe`: the topics as the platform needs them.
//! A start creates what is missing too, and refuses topics that are set otherwise.

use crate::exit::Exit;
use crate::log;
use crate::output::{self, OutputArgs};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use licenseflow_avro::topics::{TopicPlan, Topics};
use licenseflow_runtime::config::{KafkaArgs, TopicsArgs};
use licenseflow_runtime::log::{
    Admin, Deviation, KafkaSettings, TopicDescription, TopicOutcome, TopicSpec,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long the cluster may take for one answer.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two checks of topics that not every broker knows yet.
const CHECK_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Create the topics that are missing, and check those that are there
    Create(TopicsRun),
    /// Show the topics, and how they differ from what they must be
    Describe(TopicsRun),
}

#[derive(Debug, Args)]
pub(crate) struct TopicsRun {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    topics: TopicsArgs,
}

pub(crate) async fn run(command: TopicsCommand) -> anyhow::Result<Exit> {
    match command {
        TopicsCommand::Create(arguments) => create(arguments).await,
        TopicsCommand::Describe(arguments) => describe(arguments).await,
    }
}

/// A connection for questions to the cluster.
pub(crate) fn admin(settings: &KafkaSettings) -> anyhow::Result<Admin> {
    Ok(Admin::new(settings, ADMIN_TIMEOUT)?)
}

/// Creates the topics that are missing, and refuses those that are set otherwise.
pub(crate) async fn ensure(
    admin: &Admin,
    topics: &Topics,
) -> anyhow::Result<BTreeMap<String, TopicOutcome>> {
    let specs = specs(topics);
    let outcomes = admin
        .off_thread(move |admin| admin.ensure_topics(&specs))
        .await
        .context("cannot create the topics")?;
    let deviations = check_created(admin, topics).await?;
    if !deviations.is_empty() {
        let lines: Vec<_> = deviations.iter().map(ToString::to_string).collect();
        bail!(
            "topics are set otherwise than they must be:\n  {}",
            lines.join("\n  ")
        );
    }
    Ok(outcomes)
}

/// The check of topics that are known to be there. In a cluster a broker hears of a new topic a
/// moment after its creation; one that has not says that it is missing, and is asked again.
async fn check_created(admin: &Admin, topics: &Topics) -> anyhow::Result<Vec<Deviation>> {
    let until = Instant::now() + ADMIN_TIMEOUT;
    loop {
        let checked = check(admin, topics).await;
        let is_known_everywhere = checked
            .as_ref()
            .is_ok_and(|found| found.iter().all(|deviation| deviation.actual.is_some()));
        if is_known_everywhere || Instant::now() >= until {
            return checked;
        }
        tokio::time::sleep(CHECK_PAUSE).await;
    }
}

async fn check(admin: &Admin, topics: &Topics) -> anyhow::Result<Vec<Deviation>> {
    let specs = specs(topics);
    let checked = admin
        .off_thread(move |admin| admin.check_topics(&specs))
        .await;
    checked.context("cannot check the topics")
}

fn specs(topics: &Topics) -> Vec<TopicSpec> {
    topics.all().into_iter().map(spec).collect()
}

fn spec(plan: TopicPlan) -> TopicSpec {
    let settings = plan.settings.into_iter();
    TopicSpec {
        name: plan.name,
        partitions: plan.partitions,
        replication: None,
        settings: settings
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    }
}

async fn create(arguments: TopicsRun) -> anyhow::Result<Exit> {
    let admin = admin(&log::settings(&arguments.kafka, "licenseflow-topics")?)?;
    let topics = Topics::new(&arguments.topics.topic_prefix);
    let outcomes = ensure(&admin, &topics).await?;
    let word = |outcome: &TopicOutcome| match outcome {
        TopicOutcome::Created => "created",
        TopicOutcome::Existed => "existed",
    };
    if arguments.output.json {
        let members = outcomes
            .iter()
            .map(|(name, outcome)| (name.clone(), word(outcome).into()));
        output::json(&Value::Object(members.collect()))?;
    } else {
        for (name, outcome) in &outcomes {
            output::line(format_args!("{:8} {name}", word(outcome)))?;
        }
    }
    Ok(Exit::Done)
}

async fn describe(arguments: TopicsRun) -> anyhow::Result<Exit> {
    let admin = admin(&log::settings(&arguments.kafka, "licenseflow-topics")?)?;
    let topics = Topics::new(&arguments.topics.topic_prefix);
    let names: Vec<String> = topics.all().into_iter().map(|plan| plan.name).collect();
    let asked = names.clone();
    let found = admin
        .off_thread(move |admin| {
            let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
            admin.describe_topics(&asked)
        })
        .await?;
    let deviations = check(&admin, &topics).await?;
    if arguments.output.json {
        let members = names.iter().map(|name| {
            let described = described_json(name, found.get(name), &deviations);
            (name.clone(), described)
        });
        output::json(&Value::Object(members.collect()))?;
        return Ok(Exit::Done);
    }
    for name in &names {
        match found.get(name) {
            Some(topic) => describe_one(&specs(&topics), topic)?,
            None => output::line(format_args!(
                "{name}: missing; licenseflow topics create makes it"
            ))?,
        }
        for deviation in deviations
            .iter()
            .filter(|deviation| found.contains_key(name) && deviation.topic == *name)
        {
            output::line(format_args!("  ! {deviation}"))?;
        }
    }
    Ok(Exit::Done)
}

/// Shows the settings that the platform cares about; Kafka has forty more.
fn describe_one(specs: &[TopicSpec], topic: &TopicDescription) -> anyhow::Result<()> {
    let (name, partitions) = (&topic.name, topic.partitions.len());
    let replicas = topic
        .partitions
        .first()
        .map_or(0, |partition| partition.replicas.len());
    let behind = topic
        .partitions
        .iter()
        .filter(|partition| partition.in_sync.len() < partition.replicas.len());
    output::line(format_args!(
        "{name}: {partitions} partitions, {replicas} replicas, {} of them not in sync",
        behind.count()
    ))?;
    let wanted = specs
        .iter()
        .filter(|spec| spec.name == *name)
        .flat_map(|spec| spec.settings.keys());
    for key in wanted {
        let value = topic.settings.get(key).map_or("", String::as_str);
        output::line(format_args!("  {key}={value}"))?;
    }
    Ok(())
}

fn described_json(name: &str, topic: Option<&TopicDescription>, deviations: &[Deviation]) -> Value {
    let mine = deviations
        .iter()
        .filter(|deviation| deviation.topic == name);
    let deviations: Vec<Value> = mine
        .map(|deviation| {
            json!({
                "what": deviation.what,
                "expected": deviation.expected,
                "actual": deviation.actual,
                "command": deviation.command,
            })
        })
        .collect();
    let partitions = topic.map(|topic| {
        let partitions = topic.partitions.iter();
        partitions
            .map(|partition| {
                json!({
                    "partition": partition.id,
                    "leader": partition.leader,
                    "replicas": partition.replicas,
                    "in_sync": partition.in_sync,
                })
            })
            .collect::<Vec<_>>()
    });
    json!({
        "exists": topic.is_some(),
        "partitions": partitions,
        "settings": topic.map(|topic| &topic.settings),
        "deviations": deviations,
    })
}
