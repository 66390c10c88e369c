//! The binary as whoever types its commands meets it: exit codes, where settings
//! come from, and the words for a wrong use.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use licenseflow_tests::harness::{
    Folder, Kafka, Port, Process, Signal, binary, project, unique_prefix, wait_until,
};
use serde_json::Value;

/// The longest that a start or an end may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The command in a folder of its own, with none of the user's settings.
fn licenseflow(folder: &Folder) -> Command {
    let mut command = Command::new(binary().unwrap());
    command.current_dir(folder.path());
    let foreign = ["KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"];
    let names = std::env::vars().map(|(name, _)| name);
    for name in
        names.filter(|name| name.starts_with("LICENSEFLOW_") || foreign.contains(&name.as_str()))
    {
        command.env_remove(name);
    }
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One setting as `config show --json` gives it: its value and its origin.
fn shown(command: &mut Command, name: &str) -> (Value, String) {
    let output = command.args(["config", "show", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let settings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let setting = &settings[name];
    (
        setting["value"].clone(),
        setting["origin"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn help_and_version_are_done_and_a_wrong_command_is_a_wrong_use() {
    let folder = Folder::new("cli").unwrap();
    let code = |arguments: &[&str]| {
        licenseflow(&folder)
            .args(arguments)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(code(&["--help"]), Some(0));
    assert_eq!(code(&["--version"]), Some(0));
    assert_eq!(code(&[]), Some(2));
    assert_eq!(code(&["fly"]), Some(2));
    assert_eq!(code(&["up", "--listen", "nowhere"]), Some(2));
}

#[test]
fn an_unknown_key_in_the_file_is_a_wrong_use_that_names_the_line() {
    let folder = Folder::new("cli").unwrap();
    fs::write(
        folder.path().join("licenseflow.toml"),
        "# mine\nlisten_on = \"a\"\n",
    )
    .unwrap();
    let output = licenseflow(&folder)
        .args(["config", "show"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("licenseflow.toml:2: unknown key \"listen_on\""),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_flag_wins_over_the_environment_the_environment_over_the_file_and_the_file_over_the_default() {
    let folder = Folder::new("cli").unwrap();
    let variable = "LICENSEFLOW_HTTP_TIMEOUT";
    let (value, origin) = shown(&mut licenseflow(&folder), "http-timeout");
    assert_eq!((value.as_str(), origin.as_str()), (Some("20s"), "default"));

    fs::write(
        folder.path().join("licenseflow.toml"),
        "http-timeout = \"11s\"\n",
    )
    .unwrap();
    let (value, origin) = shown(&mut licenseflow(&folder), "http-timeout");
    assert_eq!(
        (value.as_str(), origin.as_str()),
        (Some("11s"), "file licenseflow.toml:1")
    );

    let (value, origin) = shown(licenseflow(&folder).env(variable, "12s"), "http-timeout");
    assert_eq!(
        (value.as_str(), origin.as_str()),
        (Some("12s"), "env LICENSEFLOW_HTTP_TIMEOUT")
    );

    let output = licenseflow(&folder)
        .env(variable, "12s")
        .args(["config", "show", "--http-timeout", "13s"])
        .output()
        .unwrap();
    let line = stdout(&output)
        .lines()
        .find(|line| line.starts_with("http-timeout "))
        .unwrap()
        .to_owned();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["http-timeout", "13s", "flag"]
    );
}

#[test]
fn a_variable_that_is_set_to_nothing_counts_as_not_set() {
    let folder = Folder::new("cli").unwrap();
    let (value, origin) = shown(
        licenseflow(&folder).env("LICENSEFLOW_HTTP_TIMEOUT", ""),
        "http-timeout",
    );
    assert_eq!((value.as_str(), origin.as_str()), (Some("20s"), "default"));
}

#[test]
fn the_names_that_kafkas_tools_read_count_where_our_own_are_not_set() {
    let folder = Folder::new("cli").unwrap();
    let theirs = ("KAFKA_BOOTSTRAP_SERVERS", "a:1");
    let (value, origin) = shown(licenseflow(&folder).env(theirs.0, theirs.1), "kafka");
    assert_eq!(
        (value.as_str(), origin.as_str()),
        (Some("a:1"), "env KAFKA_BOOTSTRAP_SERVERS")
    );
    let mut both = licenseflow(&folder);
    let (value, _) = shown(
        both.env(theirs.0, theirs.1).env("LICENSEFLOW_KAFKA", "b:2"),
        "kafka",
    );
    assert_eq!(value, "b:2");
    let named = ("SCHEMA_REGISTRY_URL", "http://r:8081");
    let (value, _) = shown(
        licenseflow(&folder).env(named.0, named.1),
        "schema-registry",
    );
    assert_eq!(value, "http://r:8081");
}

#[test]
fn secrets_are_never_shown() {
    let folder = Folder::new("cli").unwrap();
    let file = "[librdkafka]\n\"sasl.password\" = \"geheim\"\n\"ssl.key.password\" = \"geheim\"\n\"sasl.username\" = \"me\"\n";
    fs::write(folder.path().join("licenseflow.toml"), file).unwrap();
    for form in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["config", "show", "--help"],
    ] {
        let mut command = licenseflow(&folder);
        command.env("SCHEMA_REGISTRY_URL", "http://me:geheim@registry:8081");
        let output = command.args(form).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(!stdout(&output).contains("geheim"), "{}", stdout(&output));
    }
    let (value, _) = shown(&mut licenseflow(&folder), "librdkafka");
    let values: Vec<&str> = value
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(values.contains(&"sasl.password=***"), "{values:?}");
    assert!(values.contains(&"sasl.username=me"), "{values:?}");
}

#[test]
fn librdkafkas_settings_are_merged_by_key_from_flag_environment_and_file() {
    let folder = Folder::new("cli").unwrap();
    let file =
        "[librdkafka]\n\"client.rack\" = \"of-file\"\n\"linger.ms\" = 1\n\"debug\" = \"of-file\"\n";
    fs::write(folder.path().join("licenseflow.toml"), file).unwrap();
    let mut command = licenseflow(&folder);
    command
        .env("LICENSEFLOW_LIBRDKAFKA", "linger.ms=2\ndebug=of-env")
        .args(["config", "show", "--json", "-X", "debug=of-flag"]);
    let output = command.output().unwrap();
    let settings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = &settings["librdkafka"];
    let expected = ["client.rack=of-file", "debug=of-flag", "linger.ms=2"];
    assert_eq!(shown["value"], serde_json::json!(expected));
    let origin = "flag, env LICENSEFLOW_LIBRDKAFKA, file licenseflow.toml:1";
    assert_eq!(shown["origin"], origin);
}

#[test]
fn a_librdkafka_setting_that_breaks_a_promise_is_a_wrong_use() {
    let folder = Folder::new("cli").unwrap();
    for command in [
        &["topics", "describe"][..],
        &["events", "send"],
        &["events", "tail"],
        &["verify"],
        &["up"],
    ] {
        let output = licenseflow(&folder)
            .args(command)
            .args(["-X", "acks=1"])
            .output()
            .unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains("acks=1"), "{said}");
    }
}

#[test]
fn several_writers_of_a_file_are_a_wrong_use_before_any_broker_is_asked() {
    for role in ["project", "up"] {
        let folder = Folder::new("cli").unwrap();
        let output = licenseflow(&folder)
            .args([role, "--appliers", "2", "--kafka", "127.0.0.1:1"])
            .output()
            .unwrap();
        let words = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("a file has one writer"), "{words}");
        assert!(!words.contains("127.0.0.1:1 "), "{words}");
    }
}

#[test]
fn an_address_of_a_store_that_cannot_be_read_is_wrong_use_and_tells_no_password() {
    for command in ["project", "up", "query", "verify"] {
        let folder = Folder::new("cli").unwrap();
        let output = licenseflow(&folder)
            .arg(command)
            .env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
            .env(
                "LICENSEFLOW_STORE",
                "postgres://me:geheim@host/db?sslmode=sometimes",
            )
            .output()
            .unwrap();
        let words = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{command}: {words}");
        assert!(words.contains("sslmode"), "{command}: {words}");
        assert!(!words.contains("geheim"), "{command}: {words}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named_before_any_broker_is_asked() {
    let folder = Folder::new("cli").unwrap();
    let output = licenseflow(&folder)
        .args(["events", "send", "nobody.ndjson", "--kafka", "127.0.0.1:1"])
        .output()
        .unwrap();
    let words = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("nobody.ndjson cannot be read"), "{words}");
    assert!(!words.contains("127.0.0.1:1"), "{words}");
}

#[test]
fn brokers_that_are_away_are_a_failure() {
    let folder = Folder::new("cli").unwrap();
    let port = Port::free().unwrap();
    let address = format!("127.0.0.1:{}", port.number());
    let output = licenseflow(&folder)
        .args(["topics", "create", "-b", &address])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = stderr(&output);
    assert!(words.contains(&address), "{words}");
    // One that is away is told once or twice, and not with every try to reach it.
    assert!(words.lines().count() < 20, "{words}");
}

/// `up` on ports and topics of its own.
struct Up {
    command: Command,
    listen: Port,
    _registry: Port,
}

impl Up {
    fn new(folder: &Folder, kafka: &str, prefix: &str) -> Self {
        let (listen, registry) = (Port::free().unwrap(), Port::free().unwrap());
        let mut command = licenseflow(folder);
        let data = folder.path().join("data");
        command
            .args([
                "up",
                "--kafka",
                kafka,
                "--topic-prefix",
                prefix,
                "--data-dir",
            ])
            .arg(data)
            .args(["--listen", &format!("127.0.0.1:{}", listen.number())])
            .args([
                "--registry-listen",
                &format!("127.0.0.1:{}", registry.number()),
            ]);
        Self {
            command,
            listen,
            _registry: registry,
        }
    }

    fn start(&self) -> Process {
        let process = Process::start("up", &self.command).unwrap();
        let address = format!("http://127.0.0.1:{}/readyz", self.listen.number());
        wait_until("up is ready", DEADLINE, || is_ok(&address)).unwrap();
        process
    }
}

fn is_ok(address: &str) -> bool {
    let asked = Command::new("curl")
        .args(["-fs", "-o", "/dev/null", "--max-time", "5", address])
        .status();
    asked.is_ok_and(|status| status.success())
}

#[test]
fn a_second_process_is_told_who_holds_the_store_and_a_signal_ends_the_first_in_order() {
    let kafka = Kafka::shared();
    let prefix = unique_prefix();
    let folder = Folder::new("cli").unwrap();
    let mut first = Up::new(&folder, kafka.bootstrap(), &prefix).start();

    let mut second = Process::start(
        "second",
        &Up::new(&folder, kafka.bootstrap(), &prefix).command,
    )
    .unwrap();
    assert_eq!(second.wait(DEADLINE).unwrap(), 1);
    let words = second.stderr();
    assert!(
        words.contains(&format!("held by process {}", first.id())),
        "{words}"
    );

    first.signal(Signal::Term).unwrap();
    assert_eq!(first.wait(Duration::from_secs(15)).unwrap(), 0);
}

#[test]
fn an_address_that_is_taken_is_named_with_what_to_do() {
    let kafka = Kafka::shared();
    let folder = Folder::new("cli").unwrap();
    let up = Up::new(&folder, kafka.bootstrap(), &unique_prefix());
    let _holder = TcpListener::bind(("127.0.0.1", up.listen.number())).unwrap();
    let mut process = Process::start("up", &up.command).unwrap();
    assert_eq!(process.wait(DEADLINE).unwrap(), 1);
    let words = process.stderr();
    assert!(
        words.contains(&format!("127.0.0.1:{} is taken", up.listen.number())),
        "{words}"
    );
    assert!(words.contains("--listen"), "{words}");
}

#[test]
fn make_run_ends_all_that_it_started_when_its_terminal_goes_away() {
    let folder = Folder::new("run").unwrap();
    let (listen, registry) = (Port::free().unwrap(), Port::free().unwrap());
    let mut command = Command::new(project().join("deploy/local/run"));
    command
        .env_remove("KAFKA_BOOTSTRAP_SERVERS")
        .env_remove("SCHEMA_REGISTRY_URL")
        .env(
            "LICENSEFLOW_LISTEN",
            format!("127.0.0.1:{}", listen.number()),
        )
        .env(
            "LICENSEFLOW_REGISTRY_LISTEN",
            format!("127.0.0.1:{}", registry.number()),
        )
        .args(["--kafka-port", "0", "--events", "0", "--dir"])
        .arg(folder.path())
        .arg("--binary")
        .arg(binary().unwrap());
    let mut run = Process::start("run", &command).unwrap();
    wait_until("it shows how far it is", DEADLINE * 2, || {
        run.stdout().contains("0 to go")
    })
    .unwrap();

    run.signal(Signal::HangUp).unwrap();
    assert_eq!(run.wait(DEADLINE).unwrap(), 129);
    assert!(TcpListener::bind(("127.0.0.1", listen.number())).is_ok());
    let status = Command::new(project().join("deploy/local/kafka"))
        .args(["status", "--dir"])
        .arg(folder.path())
        .env_remove("KAFKA_BOOTSTRAP_SERVERS")
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(1));
    assert!(stdout(&status).contains("stopped"), "{}", stdout(&status));
}
