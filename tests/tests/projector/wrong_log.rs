//! A log that is another than the one that was read: its records are never taken for what was to come.

use std::collections::BTreeMap;

use licenseflow_avro::{Lane, json};
use licenseflow_kafka::LanePartition;
use licenseflow_projector::Handle;
use licenseflow_runtime::log::TopicSpec;
use licenseflow_tests::chance::Chance;
use licenseflow_tests::harness::{Kafka, wait_until};
use rdkafka::producer::Producer;

use crate::events;
use crate::ground::{DEADLINE, Ground, PARTITIONS, TIMEOUT, stop};

/// So many events to each of these partitions.
fn write(ground: &Ground, chance: &mut Chance, partitions: &[LanePartition], count: usize) {
    let producer = ground.producer();
    for _ in 0..count {
        for of in partitions {
            let value = json::encode(&events::event(chance)).to_string();
            ground.send(&producer, *of, (None, Some(value.as_bytes())), &[]);
        }
    }
    producer.flush(TIMEOUT).unwrap();
}

/// Deletes the interactive lane, and makes it anew with no record in it.
fn make_anew(ground: &Ground) {
    let topic = ground.topics.lane(Lane::Interactive);
    let bootstrap = Kafka::shared().bootstrap();
    let tool = "org.apache.kafka.tools.TopicCommand";
    let delete = ["tool", tool, "--bootstrap-server", bootstrap, "--delete"];
    let named = [&delete[..], &["--topic", &topic]].concat();
    licenseflow_tests::harness::kafka::run_script(None, &named).unwrap();
    let plans = ground.topics.all().into_iter();
    let plan = plans.into_iter().find(|plan| plan.name == topic).unwrap();
    let settings = plan.settings.iter();
    let spec = TopicSpec {
        name: topic.clone(),
        partitions: PARTITIONS,
        replication: None,
        settings: settings
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
    };
    // What is being deleted is still there for a moment.
    wait_until("the topic is made anew", DEADLINE, || {
        let _ = ground.admin.ensure_topics(std::slice::from_ref(&spec));
        let ends = ground.admin.end_offsets(&topic);
        ends.is_ok_and(|ends| {
            ends.len() == PARTITIONS as usize && ends.values().all(|end| *end == 0)
        })
    })
    .unwrap();
}

fn of(lane: Lane) -> Vec<LanePartition> {
    (0..PARTITIONS).map(|partition| (lane, partition)).collect()
}

fn halted(handle: &Handle) -> BTreeMap<LanePartition, String> {
    let each = handle.status().halted.into_iter();
    each.map(|it| ((it.lane, it.partition), it.reason))
        .collect()
}

/// Waits until the interactive lane is halted, and the bulk lane goes on.
fn check_that_only_the_new_log_is_halted(ground: &Ground, handle: &Handle, chance: &mut Chance) {
    let before = ground.door.stored();
    wait_until("the lane is halted", DEADLINE, || {
        halted(handle).len() >= PARTITIONS as usize
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", handle.status()));
    write(ground, chance, &of(Lane::Bulk), 5);
    let end = ground.end();
    wait_until("the bulk lane goes on", DEADLINE, || {
        let position = ground.door.position();
        let mut bulk = of(Lane::Bulk).into_iter();
        bulk.all(|(lane, partition)| position.get(lane, partition) == end.get(lane, partition))
    })
    .unwrap();
    assert_eq!(
        halted(handle).into_keys().collect::<Vec<_>>(),
        of(Lane::Interactive)
    );
    let position = ground.door.position();
    for (lane, partition) in of(Lane::Interactive) {
        assert_eq!(
            position.get(lane, partition),
            before.position.get(lane, partition)
        );
    }
}

#[test]
fn a_topic_that_was_made_anew_and_is_longer_by_now_is_halted_and_no_other() {
    let ground = Ground::new();
    let mut chance = Chance::new(31);
    let both = [of(Lane::Interactive), of(Lane::Bulk)].concat();
    write(&ground, &mut chance, &both, 20);
    let handle = ground.project(None);
    ground.wait_for_the_end();
    stop(handle);

    make_anew(&ground);
    let long = &of(Lane::Interactive)[..2];
    write(&ground, &mut chance, long, 50);
    let handle = ground.project(None);
    check_that_only_the_new_log_is_halted(&ground, &handle, &mut chance);
    let told = halted(&handle);
    for of in long {
        assert!(
            told[of].contains("is not the log that was read up to 20"),
            "{}",
            told[of]
        );
        assert!(told[of].contains("licenseflow replay"), "{}", told[of]);
    }
    // The third has no record yet.
    let short = &told[&(Lane::Interactive, 2)];
    assert!(short.contains("it ends at 0, before 20"), "{short}");
    stop(handle);
}

#[test]
fn a_topic_that_is_made_anew_while_it_is_read_is_halted_and_no_other() {
    let ground = Ground::new();
    let mut chance = Chance::new(32);
    let both = [of(Lane::Interactive), of(Lane::Bulk)].concat();
    let handle = ground.project_with(None, &[("topic.metadata.refresh.interval.ms", "1000")]);
    write(&ground, &mut chance, &both, 20);
    ground.wait_for_the_end();

    make_anew(&ground);
    write(&ground, &mut chance, &of(Lane::Interactive), 50);
    check_that_only_the_new_log_is_halted(&ground, &handle, &mut chance);
    stop(handle);
}

/// Markers and aborted records are later than all that was applied before them, and strangers to nobody.
#[test]
fn a_log_that_ends_with_aborted_transactions_is_still_the_log_that_was_read() {
    let ground = Ground::new();
    let mut chance = Chance::new(33);
    for _ in 0..2 {
        write(&ground, &mut chance, &of(Lane::Interactive), 5);
        for _ in 0..3 {
            ground.transact(&mut chance, false);
        }
        let handle = ground.project(None);
        ground.wait_for_the_end();
        assert_eq!(halted(&handle), BTreeMap::new());
        stop(handle);
    }
    ground.compare();
}
