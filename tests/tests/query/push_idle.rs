//! Five thousand streams that hear nothing: what they cost, and that each of them still hears.

use std::time::Instant;

use licenseflow_runtime::http::HttpLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::push_stage::{Setting, Stage, activated, issued};
use crate::served::DEADLINE;

const STREAMS: usize = 5000;

/// The most that a stream may cost, both ends of its connection and what the allocator rounds up among it.
const BYTES_A_STREAM: usize = 40 * 1024;

/// What this process has in memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

async fn open(stage: &Stage, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", stage.address);
    stream.write_all(head.as_bytes()).await.unwrap();
    // The first id comes with or after the head.
    until(&mut stream, "\nid: ").await;
    stream
}

async fn until(stream: &mut TcpStream, word: &str) -> String {
    let read = async {
        let mut text = Vec::new();
        let mut chunk = [0; 512];
        while !String::from_utf8_lossy(&text).contains(word) {
            let read = stream.read(&mut chunk).await.unwrap();
            assert!(read > 0, "ended: {}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&chunk[..read]);
        }
        String::from_utf8(text).unwrap()
    };
    tokio::time::timeout(DEADLINE, read)
        .await
        .unwrap_or_else(|_| panic!("no {word}"))
}

/// Set where this process is the one that is measured: in the others' memory nothing of ours is told apart.
const ALONE: &str = "LICENSEFLOW_TEST_ALONE";

#[test]
fn five_thousand_idle_streams_cost_a_bounded_amount_of_memory_and_all_of_them_hear() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        return runtime.unwrap().block_on(listen_and_hear());
    }
    let this = "push_idle::five_thousand_idle_streams_cost_a_bounded_amount_of_memory_and_all_of_them_hear";
    let alone = std::process::Command::new(std::env::current_exe().unwrap())
        .args([this, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&alone.stdout);
    assert!(
        alone.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&alone.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
    println!("{said}");
}

async fn listen_and_hear() {
    let (stage, writer) = Stage::open(Setting {
        streams: licenseflow_query::StreamLimits::default(),
        http: HttpLimits {
            connections_max: STREAMS + 100,
            ..HttpLimits::default()
        },
        ..Setting::default()
    });
    let writer = writer.write(&[issued(1, "L-0", "c-1")]).await;
    let warm = open(&stage, "/v1/stream").await;
    let before = resident();
    let begun = Instant::now();
    let mut streams = Vec::with_capacity(STREAMS);
    for number in 0..STREAMS {
        // Half of them ask for one license each.
        let path = match number % 2 {
            0 => "/v1/stream".to_owned(),
            _ => format!("/v1/stream?license_id=L-{number}"),
        };
        streams.push(open(&stage, &path).await);
    }
    let opened = begun.elapsed();
    // Each is told that its stream is alive, and so has held what that takes.
    for stream in &mut streams {
        until(stream, "\nid: ").await;
    }
    let each = (resident() - before) / STREAMS;
    println!("{STREAMS} streams: opened in {opened:?}, {each} bytes each, both ends");
    assert!(each < BYTES_A_STREAM, "{each} bytes a stream");
    let begun = Instant::now();
    let said: Vec<_> = (0..STREAMS)
        .filter(|number| number % 2 == 1)
        .map(|number| activated(number as u128 + 2, &format!("L-{number}")))
        .collect();
    // One event for who asks for one license; two for the others are enough.
    let writer = writer.write(&said[..1]).await;
    until(&mut streams[1], "event: DeviceActivated").await;
    for stream in streams.iter_mut().step_by(2) {
        until(stream, "event: DeviceActivated").await;
    }
    println!(
        "one event to {} of them in {:?}",
        STREAMS / 2,
        begun.elapsed()
    );
    let _writer = writer.write(&said[1..]).await;
    for stream in streams.iter_mut().skip(3).step_by(2) {
        until(stream, "event: DeviceActivated").await;
    }
    drop(warm);
}
