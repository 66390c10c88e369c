//! Bad input of every kind, over HTTP and on the topic, while a well-behaved client works: each
//! gets a clear answer or a dead letter, and nothing else is disturbed.

mod content;
mod poison;
mod requests;
mod wire;

use licenseflow_tests::harness::{Kafka, Platform, Process, Role, unique_prefix};

use super::well_behaved::{Expects, WellBehaved};

/// Few, so that a test can take them all.
const CONNECTIONS_MAX: usize = 64;

async fn over_http(platform: &Platform) {
    content::each_limit(platform).await;
    content::map_keys(platform).await;
    content::never(platform).await;
    content::wrong_json(platform).await;
    content::wrong_media_types(platform).await;
    requests::a_body_of_100_mb(platform).await;
    requests::slow_ones(platform).await;
    requests::too_many_header_bytes(platform).await;
    requests::unknown_parameters(platform).await;
    requests::garbage_paths(platform).await;
    requests::no_requests(platform).await;
    requests::too_many_connections(platform).await;
}

/// An error in the log would be ours; bad input is the client's.
fn says_no_error(up: &Process) {
    let log = format!("{}{}", up.stdout(), up.stderr());
    let is_trouble = |line: &&str| {
        line.contains("\"ERROR\"") || line.contains(" ERROR ") || line.contains("panicked")
    };
    let trouble: Vec<&str> = log.lines().filter(is_trouble).collect();
    assert!(trouble.is_empty(), "{}", trouble.join("\n"));
    assert!(log.contains("INFO"), "the log says levels: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_gets_a_clear_answer_or_a_dead_letter_and_disturbs_nobody() {
    let platform = Platform::new(Kafka::shared().bootstrap(), &unique_prefix())
        .unwrap()
        .with("LICENSEFLOW_RETRY_ATTEMPTS", "1")
        .with("LICENSEFLOW_HTTP_HEADER_TIMEOUT", "2s")
        .with("LICENSEFLOW_HTTP_BODY_TIMEOUT", "2s")
        .with(
            "LICENSEFLOW_HTTP_CONNECTIONS_MAX",
            &CONNECTIONS_MAX.to_string(),
        );
    let mut up = platform.start(Role::Up).unwrap();
    let good = WellBehaved::begin(platform.api(), "good", Expects::NoTrouble);

    over_http(&platform).await;
    poison::at_each_place_of_a_batch(&platform);
    let large = poison::largest_events(&platform).await;
    poison::have_whole_letters(&platform, &large);

    let receipts = good.end().await;
    println!("{} receipts meanwhile", receipts.count());
    assert!(receipts.count() > 50, "it worked all the while");
    receipts.are_in_the_read_model(&platform.api()).await;
    println!("{}", platform.compare().unwrap());
    poison::neighbours_counted(&platform).await;
    assert_eq!(platform.verify().unwrap()["equal"], true);
    let ready = reqwest::get(format!("{}/readyz", platform.api()))
        .await
        .unwrap();
    assert_eq!(ready.status(), 200);
    assert!(
        up.is_running().unwrap(),
        "it is the process that was started"
    );
    says_no_error(&up);
    Platform::stop(up).unwrap();
}
