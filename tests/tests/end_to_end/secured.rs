//! A cluster that asks for TLS and a password: `-X` says it to every command, a wrong one is told in
//! clear words and in time, and no secret is told to anyone.

use std::process::Output;
use std::time::{Duration, Instant};

use licenseflow_tests::harness::{Platform, Role, SecuredKafka, unique_prefix, wait_until};
use serde_json::{Value, json};

/// No password of the broker's.
const WRONG: &str = "shut-sesame-9920";

/// In how long a command must say that it was not let in.
const TOLD_WITHIN: Duration = Duration::from_secs(45);

fn flags(kafka: &SecuredKafka, mechanism: &str, password: &str) -> Vec<String> {
    let settings = [
        "security.protocol=sasl_ssl".to_owned(),
        format!("ssl.ca.location={}", kafka.certificate().display()),
        format!("sasl.mechanism={mechanism}"),
        format!("sasl.username={}", SecuredKafka::USER),
        format!("sasl.password={password}"),
    ];
    let flags = settings.into_iter().flat_map(|it| ["-X".to_owned(), it]);
    flags.collect()
}

fn installation(kafka: &SecuredKafka, prefix: &str, flags: &[String]) -> Platform {
    Platform::new(&kafka.bootstrap(), prefix)
        .unwrap()
        // The most that is ever said, so that a secret would be.
        .with("LICENSEFLOW_LOG_LEVEL", "debug")
        .with_flags(flags)
}

fn tells_no_secret(what: &str, said: &str) {
    for secret in [SecuredKafka::PASSWORD, WRONG] {
        assert!(!said.contains(secret), "{what} tells {secret}:\n{said}");
    }
}

fn event(number: usize) -> Value {
    json!({
        "event_id": format!("00000000-0000-4000-8000-{number:012}"), "license_id": "LIC-1",
        "occurred_at": "2026-01-31T10:00:00Z",
        "type": "UsageRecorded", "data": {"metric": "calls", "quantity": 1},
    })
}

fn calls(platform: &Platform) -> Option<u64> {
    let body = platform.json("/v1/licenses/LIC-1/usage").ok()?;
    body["items"][0]["quantity"].as_u64()
}

fn works(platform: &Platform) {
    let up = platform.start(Role::Up).unwrap();
    let file = platform.file("events.ndjson");
    let lines: String = (0..100).map(|it| format!("{}\n", event(it))).collect();
    std::fs::write(&file, lines).unwrap();
    let sent = platform.run(&["events", "send", file.to_str().unwrap(), "--json"]);
    let sent: Value = serde_json::from_str(&sent.unwrap()).unwrap();
    assert_eq!(sent["acknowledged"], 100, "{sent}");
    wait_until("the read model has them", Duration::from_secs(60), || {
        calls(platform) == Some(100)
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", up.stderr()));
    let described = platform.run(&["topics", "describe", "--json"]).unwrap();
    assert!(described.contains(&platform.events_topic()), "{described}");
    let tail = ["events", "tail", "--from-beginning", "--until-end"];
    assert_eq!(platform.run(&tail).unwrap().lines().count(), 100);
    assert_eq!(platform.verify().unwrap()["equal"], true);

    let log = format!("{}{}", up.stdout(), up.stderr());
    assert!(log.contains("DEBUG") && log.contains("sasl.password=***"));
    tells_no_secret("up", &log);
    Platform::stop(up).unwrap();
}

/// Ends in time with exit code 1; its last words.
fn is_not_let_in(platform: &Platform, arguments: &[&str]) -> String {
    let begun = Instant::now();
    let output: Output = platform.command(arguments).unwrap().output().unwrap();
    let took = begun.elapsed();
    let [stdout, stderr] = [output.stdout, output.stderr].map(String::from_utf8);
    let said = format!("{}{}", stdout.unwrap(), stderr.unwrap());
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(took < TOLD_WITHIN, "{arguments:?}, {took:?}: {said}");
    tells_no_secret(&format!("{arguments:?}"), &said);
    let last = said.lines().last().unwrap_or_default();
    println!("{arguments:?} after {took:?}: {last}");
    assert!(last.starts_with("licenseflow: "), "{said}");
    last.to_owned()
}

#[test]
fn a_cluster_behind_tls_and_a_password_is_reached_by_x_flags_and_a_wrong_one_is_told_in_time() {
    let kafka = SecuredKafka::own().unwrap();
    let prefix = unique_prefix();
    let right = flags(&kafka, "PLAIN", SecuredKafka::PASSWORD);
    works(&installation(&kafka, &prefix, &right));
    let scram = flags(&kafka, "SCRAM-SHA-512", SecuredKafka::PASSWORD);
    let described = installation(&kafka, &prefix, &scram).run(&["topics", "describe"]);
    assert!(described.unwrap().contains("license.events.v1"));

    let wrong = installation(&kafka, &prefix, &flags(&kafka, "PLAIN", WRONG));
    let file = wrong.file("events.ndjson");
    std::fs::write(&file, event(1).to_string()).unwrap();
    for arguments in [
        &["topics", "describe"][..],
        &["events", "send", file.to_str().unwrap()],
        &["up"],
    ] {
        let said = is_not_let_in(&wrong, arguments);
        assert!(
            said.contains("Authentication failed"),
            "{arguments:?}: {said}"
        );
        assert!(said.contains(&kafka.bootstrap()), "{arguments:?}: {said}");
    }
    let shown = wrong.run(&["config", "show"]).unwrap();
    assert!(shown.contains("sasl.password=***"), "{shown}");
    tells_no_secret("config show", &shown);

    // The certificate is not trusted where nobody says that it is.
    let without_authority: Vec<String> = right[..2].iter().chain(&right[4..]).cloned().collect();
    let stranger = installation(&kafka, &prefix, &without_authority);
    let said = is_not_let_in(&stranger, &["topics", "describe"]);
    assert!(said.contains("certificate verify failed"), "{said}");
}
