//! Slow readers: what waits for them is bounded, they are cut off with a reason, and go on from there. A
//! burst alone cuts nobody off.

use std::time::Duration;

use licenseflow_query::StreamLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::push_client::{Events, Socket, number, send};
use crate::push_stage::{Setting, Stage, Writer, activated, with_text};
use crate::served::DEADLINE;

/// More than sockets and buffers on the way take without a reader.
const EVENTS: u128 = 400;
const TEXT_BYTES: usize = 60_000;

fn impatient() -> Setting {
    Setting {
        streams: StreamLimits {
            stall_max: Duration::from_millis(500),
            ..StreamLimits::default()
        },
        ..Setting::default()
    }
}

/// A connection that takes in as little as can be before it is read.
async fn narrow(stage: &Stage) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(stage.address).await.unwrap()
}

async fn write_much(mut writer: Writer) -> Writer {
    let text = "x".repeat(TEXT_BYTES);
    for number in 0..EVENTS {
        let event = with_text(number + 1, "L-1", "c-1", &text);
        writer = writer.write(&[event]).await;
    }
    writer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_cut_off_with_the_reason_and_goes_on() {
    let (stage, writer) = Stage::open(impatient());
    let mut slow = narrow(&stage).await;
    let head = format!("GET /v1/stream HTTP/1.1\r\nhost: {}\r\n\r\n", stage.address);
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut healthy = Events::open(&stage, "/v1/stream", &[]).await;
    // Its first bytes say that the stream is open; then it reads no more.
    let mut text = vec![0; 64];
    slow.read_exact(&mut text).await.unwrap();
    let (_writer, numbers) = tokio::join!(write_much(writer), healthy.numbers(EVENTS as usize));
    assert!(
        numbers.into_iter().eq(1..=EVENTS),
        "another reader is not held up"
    );
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let read = tokio::time::timeout(DEADLINE, read_until_cut(&mut slow, &mut text));
    read.await.expect("it is not cut off");
    let text = String::from_utf8(text).unwrap();
    let (before, cut) = text.split_once("event: cut\ndata: ").unwrap();
    let cut: serde_json::Value = serde_json::from_str(cut.lines().next().unwrap()).unwrap();
    assert_eq!(cut["reason"], "slow_reader");
    let seen = before.matches("\nevent: LicenseIssued\n").count() as u128;
    assert!(seen < EVENTS, "it was sent everything");
    let last = cut["last_event_id"].as_str().unwrap();
    assert_eq!(last, format!("e:0:{seen}"));
    let mut events = Events::open(&stage, "/v1/stream", &[("last-event-id", last)]).await;
    let rest = events
        .numbers(usize::try_from(EVENTS - seen).unwrap())
        .await;
    assert!(rest.into_iter().eq(seen + 1..=EVENTS));
}

async fn read_until_cut(stream: &mut TcpStream, text: &mut Vec<u8>) {
    let mut chunk = vec![0; 1 << 16];
    // Its line of data may come in another piece.
    let is_cut = |text: &[u8]| {
        let end = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]);
        let cut = end.split_once("event: cut\ndata: ");
        cut.is_some_and(|(_, data)| data.contains('\n'))
    };
    while !is_cut(text) {
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the stream ends without a word");
        text.extend_from_slice(&chunk[..read]);
    }
}

/// A reader that asks for everything and, once the stream is open, takes no more of it.
async fn stalled(stage: &Stage) -> TcpStream {
    let mut slow = narrow(stage).await;
    let head = format!(
        "GET /v1/stream?last_event_id=e:0:0 HTTP/1.1\r\nhost: {}\r\n\r\n",
        stage.address
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut begin = [0; 12];
    slow.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    slow
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_are_slow_keep_nobody_else_from_catching_up() {
    let (stage, writer) = Stage::open(Setting {
        streams: StreamLimits {
            pages: 1,
            stall_max: 10 * DEADLINE,
            ..StreamLimits::default()
        },
        ..Setting::default()
    });
    let _writer = write_much(writer).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(stalled(&stage).await);
    }
    let path = "/v1/stream?last_event_id=e:0:0";
    let mut healthy = Events::open(&stage, path, &[]).await;
    let numbers = healthy.numbers(EVENTS as usize).await;
    assert!(numbers.into_iter().eq(1..=EVENTS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_never_reads_again_gives_its_place_back() {
    let mut setting = impatient();
    setting.streams.streams_max = 1;
    setting.http.write_timeout = Duration::from_secs(1);
    let (stage, writer) = Stage::open(setting);
    let _writer = write_much(writer).await;
    let _slow = stalled(&stage).await;
    let begun = std::time::Instant::now();
    while send(&stage, "/v1/stream", &[]).await.status() != 200 {
        assert!(begun.elapsed() < DEADLINE, "it keeps its place");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_takes_nothing_is_closed_with_the_reason() {
    let (stage, writer) = Stage::open(impatient());
    let stream = narrow(&stage).await;
    let address = format!("ws://{}/v1/stream", stage.address);
    let (inner, _) =
        tokio_tungstenite::client_async(address, tokio_tungstenite::MaybeTlsStream::Plain(stream))
            .await
            .unwrap();
    let mut socket = Socket { inner };
    let _writer = write_much(writer).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let mut seen = 0;
    loop {
        match socket.message().await.expect("it is closed without a word") {
            Message::Text(text) if text.contains("\"event\"") => seen += 1,
            Message::Close(Some(frame)) => {
                assert_eq!(u16::from(frame.code), 1008);
                assert!(frame.reason.starts_with("slow_reader"), "{}", frame.reason);
                break;
            }
            _ => {}
        }
    }
    assert!(seen < EVENTS, "it was sent everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_larger_than_any_queue_reaches_who_reads_whole_and_in_order() {
    const BURST: u128 = 5000;
    let (stage, mut writer) = Stage::open(Setting {
        streams: StreamLimits {
            queue_events: 8,
            ..Setting::default().streams
        },
        ..Setting::default()
    });
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(Events::open(&stage, "/v1/stream", &[]).await);
    }
    for number in 1..=BURST {
        writer.say(
            licenseflow_avro::Lane::Interactive,
            0,
            &activated(number, "L-1"),
        );
    }
    let writer = writer.apply().await;
    let _writer = writer.write(&[activated(BURST + 1, "L-1")]).await;
    for events in &mut streams {
        let numbers = events.numbers(usize::try_from(BURST).unwrap() + 1).await;
        assert!(numbers.into_iter().eq(1..=BURST + 1));
        assert_eq!(events.next().await.map(|heard| heard.kind), Some(None));
    }
    let mut late = Events::open(&stage, "/v1/stream?last_event_id=e:0:4990", &[]).await;
    assert_eq!(number(&late.event().await), 4991);
}
