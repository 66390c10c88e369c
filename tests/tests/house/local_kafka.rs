//! `deploy/local/kafka` does what its help says, on a real Kafka.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use licenseflow_tests::harness::kafka::{create_topic, run_script, script};
use licenseflow_tests::harness::{Cluster, Folder, Kafka, Port, kcat, unique_prefix, wait_until};

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

fn sorted(lines: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = lines.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn kcat_reads_what_kcat_wrote() {
    let kafka = Kafka::shared();
    let topic = unique_prefix() + "kcat";
    create_topic(kafka.bootstrap(), &topic, 3, &[]).unwrap();
    kcat::produce(kafka.bootstrap(), &topic, &[], &numbers(0..1000)).unwrap();
    let read = kcat::consume(kafka.bootstrap(), &topic, &[]).unwrap();
    assert_eq!(sorted(&read), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_topic_that_nobody_created_is_not_there() {
    let kafka = Kafka::shared();
    let topic = unique_prefix() + "typing-error";
    kcat::produce(
        kafka.bootstrap(),
        &topic,
        &["-X", "message.timeout.ms=3000"],
        "x\n",
    )
    .unwrap_err();
}

#[test]
fn a_record_of_nearly_four_mebibytes_passes_where_the_topic_allows_it() {
    let kafka = Kafka::shared();
    let topic = unique_prefix() + "large";
    create_topic(kafka.bootstrap(), &topic, 1, &["max.message.bytes=4194304"]).unwrap();
    let large = "x".repeat(4_000_000);
    let limits = ["-X", "message.max.bytes=4194304"];
    kcat::produce(kafka.bootstrap(), &topic, &limits, &large).unwrap();
    let read = kcat::consume(kafka.bootstrap(), &topic, &limits).unwrap();
    assert_eq!(read.trim_end().len(), large.len());
}

#[test]
fn up_twice_status_down_up_again_wipe() {
    let folder = Folder::new("script").unwrap();
    let script = |arguments: &[&str]| run_script(Some(folder.path()), arguments);
    // Were the test to fail half-way, this owner of the same folder would still end the broker.
    let _end = Wipe(&folder);

    script(&["status"]).unwrap_err();
    script(&["up", "--port", "0", "--for-tests"]).unwrap();
    let status = script(&["status"]).unwrap();
    assert!(status.contains("broker 1: running, process "), "{status}");
    let environment = script(&["env"]).unwrap();
    script(&["up"]).unwrap();
    assert_eq!(
        script(&["status"]).unwrap(),
        status,
        "the second up started another"
    );

    let bootstrap = environment.trim().split_once('=').unwrap().1.to_owned();
    create_topic(&bootstrap, "kept", 1, &[]).unwrap();
    kcat::produce(&bootstrap, "kept", &[], "kept\n").unwrap();
    script(&["down"]).unwrap();
    let stopped = script(&["status"]).unwrap_err().to_string();
    assert!(stopped.contains("broker 1: stopped"), "{stopped}");
    script(&["down"]).unwrap();

    script(&["up"]).unwrap();
    assert_eq!(
        script(&["env"]).unwrap(),
        environment,
        "the port was not remembered"
    );
    assert_eq!(kcat::consume(&bootstrap, "kept", &[]).unwrap(), "kept\n");
    script(&["wipe"]).unwrap();
    assert!(!folder.path().join("kafka").exists());
}

struct Wipe<'a>(&'a Folder);

impl Drop for Wipe<'_> {
    fn drop(&mut self) {
        // Nothing runs there unless the test is failing.
        let _ = run_script(Some(self.0.path()), &["wipe"]);
    }
}

#[test]
fn a_taken_port_is_refused_with_its_owner_and_a_way_out() {
    let folder = Folder::new("taken").unwrap();
    let port = Port::free().unwrap();
    let _listener = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    let number = port.number().to_string();
    let refused = run_script(
        Some(folder.path()),
        &["up", "--for-tests", "--port", &number],
    );
    let error = refused.unwrap_err().to_string();
    let owner = format!(
        "port {number} of broker 1 is taken by process {}",
        std::process::id()
    );
    assert!(error.contains(&owner), "{error}");
    assert!(error.contains("--port PORT"), "{error}");
}

#[test]
fn a_cluster_of_the_users_is_used_and_nothing_is_started() {
    let folder = Folder::new("foreign").unwrap();
    let output = Command::new(script())
        .args(["up", "--dir"])
        .arg(folder.path())
        .env("KAFKA_BOOTSTRAP_SERVERS", "broker.example:9092")
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("broker.example:9092") && said.contains("nothing is started"),
        "{said}"
    );
    assert!(!folder.path().join("kafka").exists());
}

#[test]
fn wrong_use_exits_with_two() {
    for arguments in [&["fly"][..], &["up", "--brokers", "2"], &["up", "--port"]] {
        let output = Command::new(script()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_broker_that_is_killed_keeps_what_it_acknowledged() {
    let mut kafka = Kafka::own().unwrap();
    create_topic(kafka.bootstrap(), "t", 1, &[]).unwrap();
    kcat::produce(
        kafka.bootstrap(),
        "t",
        &["-X", "acks=all"],
        &numbers(0..100),
    )
    .unwrap();
    kafka.kill().unwrap();
    is_gone(kafka.bootstrap());
    kafka.start_again().unwrap();
    let read = kcat::consume(kafka.bootstrap(), "t", &[]).unwrap();
    assert_eq!(sorted(&read), (0..100).collect::<Vec<_>>());
    kafka.stop().unwrap();
    is_gone(kafka.bootstrap());
}

/// The system closes the sockets of a process that was killed a moment later than it says so.
fn is_gone(bootstrap: &str) {
    let refused = || TcpStream::connect(bootstrap).is_err();
    wait_until("nobody listens", Duration::from_secs(10), refused).unwrap();
}

#[test]
fn three_brokers_survive_the_kill_of_one_and_then_of_another() {
    let mut cluster = Cluster::three().unwrap();
    let bootstrap = cluster.bootstrap();
    create_topic(&bootstrap, "t", 6, &[]).unwrap();
    let all = ["-X", "acks=all"];
    kcat::produce(&bootstrap, "t", &all, &numbers(0..100)).unwrap();

    cluster.kill(1).unwrap();
    kcat::produce(&bootstrap, "t", &all, &numbers(100..200)).unwrap();
    is_read(&bootstrap, 200);

    cluster.start_again(1).unwrap();
    wait_until("three replicas in sync", Duration::from_secs(60), || {
        least_in_sync(&bootstrap) == Some(3)
    })
    .unwrap();
    cluster.kill(2).unwrap();
    kcat::produce(&bootstrap, "t", &all, &numbers(200..300)).unwrap();
    is_read(&bootstrap, 300);
}

/// All that was acknowledged is read, once each partition is led again: until then kcat leaves some out.
fn is_read(bootstrap: &str, count: u32) {
    let all: Vec<u32> = (0..count).collect();
    wait_until(
        "all that was acknowledged is read",
        Duration::from_secs(60),
        || kcat::consume(bootstrap, "t", &[]).is_ok_and(|read| sorted(&read) == all),
    )
    .unwrap();
}

/// The smallest number of in-sync replicas over the topic's partitions.
fn least_in_sync(bootstrap: &str) -> Option<usize> {
    let metadata = kcat::metadata(bootstrap, "t").ok()?;
    let partitions = metadata["topics"][0]["partitions"].as_array()?.clone();
    partitions
        .iter()
        .map(|p| p["isrs"].as_array().map_or(0, Vec::len))
        .min()
}
