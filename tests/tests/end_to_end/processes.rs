//! Processes beside each other and at their end: a store has one writer, and a stop under load
//! keeps what was promised.

use std::time::{Duration, Instant};

use licenseflow_tests::harness::{
    Kafka, Platform, Port, Process, Role, Signal, unique_prefix, wait_for_async,
};

use super::well_behaved::{Expects, WellBehaved};

const CLIENTS: usize = 4;

/// What a stop may take by the contract.
const STOP: Duration = Duration::from_secs(10);

#[test]
fn a_second_process_on_one_store_says_who_holds_it() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let mut first = platform.start(Role::Up).unwrap();
    for role in ["project", "up"] {
        let (http, registry) = (Port::free().unwrap(), Port::free().unwrap());
        let mut command = platform.command(&[role]).unwrap();
        command
            .env("LICENSEFLOW_LISTEN", format!("127.0.0.1:{}", http.number()))
            .env(
                "LICENSEFLOW_REGISTRY_LISTEN",
                format!("127.0.0.1:{}", registry.number()),
            );
        let mut second = Process::start(role, &command).unwrap();
        let code = second.wait(Duration::from_secs(60)).unwrap();
        let said = second.stderr();
        assert_eq!(code, 1, "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("licenseflow.db is held by"), "{last}");
        assert!(
            last.contains(&first.id().to_string()),
            "it names process {}: {last}",
            first.id()
        );
        assert!(last.contains("--store"), "it says what to do: {last}");
    }
    assert!(first.is_running().unwrap());
    assert_eq!(platform.verify().unwrap()["equal"], true);
    Platform::stop(first).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_is_quick_and_keeps_every_receipt() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix()).unwrap();
    let mut up = platform.start(Role::Up).unwrap();
    let begin = |number| WellBehaved::begin(platform.api(), &format!("c{number}"), Expects::AnEnd);
    let clients: Vec<_> = (0..CLIENTS).map(begin).collect();
    let busy = async || {
        clients
            .iter()
            .all(|client| client.given() > 50)
            .then_some(())
    };
    wait_for_async("all clients to be at work", Duration::from_secs(60), busy)
        .await
        .unwrap();

    let asked = Instant::now();
    up.signal(Signal::Term).unwrap();
    let code = up.wait(STOP * 2).unwrap();
    println!("ended after {:?}", asked.elapsed());
    assert_eq!(code, 0, "{}", up.stderr());
    assert!(
        asked.elapsed() < STOP,
        "{:?}\n{}",
        asked.elapsed(),
        up.stderr()
    );
    let mut receipts = Vec::new();
    for client in clients {
        receipts.push(client.end().await);
    }

    let up = platform.start(Role::Up).unwrap();
    for receipts in receipts {
        println!(
            "{} receipts, {} times told to come again",
            receipts.count(),
            receipts.refusals
        );
        receipts.are_in_the_read_model(&platform.api()).await;
    }
    platform.compare().unwrap();
    assert_eq!(platform.verify().unwrap()["equal"], true);
    Platform::stop(up).unwrap();
}
