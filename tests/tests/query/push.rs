//! Streams of events: what they tell, to whom, and what they refuse.

use std::time::Duration;

use futures::SinkExt;
use licenseflow_avro::Lane;
use licenseflow_avro::event::{EventVoided, Payload};
use licenseflow_query::StreamLimits;
use licenseflow_runtime::http::HttpLimits;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;

use crate::model::NOW_MS;
use crate::push_client::{Events, MOMENT, Socket, number, send};
use crate::push_stage::{Kind, Setting, Stage, activated, beat, issued};
use crate::served::DEADLINE;

async fn events_come_once_as_they_are_applied(kind: Kind) {
    let (stage, writer) = Stage::open(Setting {
        kind,
        ..Setting::default()
    });
    let writer = writer.write(&[issued(1, "L-1", "c-1")]).await;
    let headers = [("x-request-id", "r-1"), ("accept-encoding", "gzip, zstd")];
    let mut events = Events::open(&stage, "/v1/stream", &headers).await;
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ("x-read-position", "e:0:1"),
        ("x-request-id", "r-1"),
    ] {
        assert_eq!(events.headers()[name], value, "{name}");
    }
    assert!(!events.headers().contains_key("content-encoding"));
    let first = events.next().await.unwrap();
    assert_eq!((first.id.as_deref(), first.kind), (Some("e:0:1"), None));
    let said = [issued(2, "L-2", "c-1"), beat(3, "L-2"), activated(4, "L-2")];
    let mut writer = writer.write(&said).await;
    let heard = events.event().await;
    assert_eq!(heard.kind.as_deref(), Some("LicenseIssued"));
    assert_eq!(heard.id.as_deref(), Some("e:0:2"));
    let timeline = send(&stage, "/v1/licenses/L-2/events", &[]).await;
    let timeline: serde_json::Value =
        serde_json::from_str(&timeline.text().await.unwrap()).unwrap();
    assert_eq!(heard.data, timeline["items"][0]);
    assert_eq!(heard.data["tenant_id"], "default");
    let heard = events.event().await;
    assert_eq!((number(&heard), heard.id.as_deref()), (4, Some("e:0:4")));
    writer.say(Lane::Bulk, 3, &issued(5, "L-3", "c-2"));
    writer.say(Lane::Interactive, 1, &issued(6, "L-4", "c-2"));
    let (_writer, position) = writer.apply_and_tell().await;
    let mut last = Vec::new();
    for _ in 0..2 {
        last.push(events.event().await);
    }
    let mut numbers: Vec<u128> = last.iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [5, 6]);
    assert_eq!(last[1].id, Some(position.to_string()));
    events.is_quiet().await;
}

type Headers<'h> = &'h [(&'h str, &'h str)];

#[tokio::test]
async fn events_come_once_as_they_are_applied_on_sqlite() {
    events_come_once_as_they_are_applied(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_once_as_they_are_applied_on_postgres() {
    events_come_once_as_they_are_applied(Kind::Postgres).await;
}

#[tokio::test]
async fn filters_pick_events_and_another_tenant_hears_nothing() {
    let (stage, writer) = Stage::open(Setting {
        signals: false,
        ..Setting::default()
    });
    let first = [
        issued(1, "L-1", "c-1"),
        issued(2, "L-2", "c-2"),
        issued(3, "L-3", "c-3"),
    ];
    let writer = writer.write(&first).await;
    let asked: [(&str, Headers<'_>, &[u128]); 7] = [
        ("/v1/stream", &[], &[4, 5, 6, 7]),
        ("/v1/stream?license_id=L-1,L-3", &[], &[4, 6, 7]),
        ("/v1/stream?customer_id=c-2", &[], &[5]),
        ("/v1/stream?product_id=editor&type=LicenseIssued", &[], &[7]),
        (
            "/v1/stream?type=LicenseIssued,DeviceActivated&customer_id=c-1",
            &[],
            &[4],
        ),
        ("/v1/stream?license_id=L-1&customer_id=c-3", &[], &[]),
        ("/v1/stream", &[("x-tenant-id", "other")], &[]),
    ];
    let mut streams = Vec::new();
    for (path, headers, expected) in asked {
        streams.push((path, Events::open(&stage, path, headers).await, expected));
    }
    let said = [
        activated(4, "L-1"),
        activated(5, "L-2"),
        activated(6, "L-3"),
        issued(7, "L-3", "c-4"),
    ];
    let _writer = writer.write(&said).await;
    for (path, events, expected) in &mut streams {
        assert_eq!(events.numbers(expected.len()).await, *expected, "{path}");
        events.is_quiet().await;
    }
}

#[tokio::test]
async fn a_quiet_stream_says_how_far_it_has_come() {
    let (stage, writer) = Stage::open(Setting::default());
    let mut events = Events::open(&stage, "/v1/stream?license_id=L-9", &[]).await;
    assert_eq!(events.next().await.unwrap().id.as_deref(), Some("e:0:0"));
    let _writer = writer
        .write(&[issued(1, "L-1", "c-1"), issued(2, "L-2", "c-1")])
        .await;
    loop {
        let heard = events.next().await.unwrap();
        assert_eq!(heard.kind, None);
        if heard.id.as_deref() == Some("e:0:2") {
            break;
        }
    }
}

#[tokio::test]
async fn a_stream_from_the_beginning_shows_what_was_voided_and_what_has_moved_where_it_lies_now() {
    let (stage, mut writer) = Stage::open(Setting::default());
    writer.say(Lane::Interactive, 0, &issued(1, "L-1", "c-1"));
    let mut void = issued(2, "L-1", "c-1");
    void.payload = Payload::EventVoided(EventVoided {
        voided_event_id: Uuid::from_u128(1),
        reason: "an error".to_owned(),
    });
    writer.say(Lane::Interactive, 0, &void);
    let writer = writer.apply().await;
    let mut events = Events::open(&stage, "/v1/stream?last_event_id=e:0:0", &[]).await;
    let heard = events.event().await;
    assert_eq!(number(&heard), 1);
    assert_eq!(heard.data["voided_by"], Uuid::from_u128(2).to_string());
    assert_eq!(number(&events.event().await), 2);
    // A lesser record of the same event comes by another way: the event has moved there.
    let mut writer = writer;
    writer.say_at(Lane::Bulk, 4, NOW_MS - 5000, &issued(1, "L-1", "c-1"));
    let _writer = writer.apply().await;
    let heard = events.event().await;
    assert_eq!(number(&heard), 1);
    assert_eq!(heard.place().0, "t-license.events.bulk.v1");
    let path = "/v1/stream?last_event_id=e:0:0,b:4:0";
    let mut again = Events::open(&stage, path, &[]).await;
    let mut numbers = again.numbers(2).await;
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2], "where it was it is not any more");
    again.is_quiet().await;
}

#[tokio::test]
async fn the_same_comes_over_a_socket() {
    let (stage, writer) = Stage::open(Setting {
        http: HttpLimits {
            // What comes over a socket is no request's headers, however long it takes.
            header_timeout: MOMENT,
            ..HttpLimits::default()
        },
        ..Setting::default()
    });
    let writer = writer
        .write(&[issued(1, "L-1", "c-1"), issued(2, "L-2", "c-1")])
        .await;
    let path = "/v1/stream?license_id=L-2&last_event_id=e:0:0";
    let mut socket = Socket::open(stage.address, path, &[]).await.unwrap();
    assert_eq!(socket.next().await.unwrap().id.as_deref(), Some("e:0:0"));
    let heard = socket.event().await;
    assert_eq!((number(&heard), heard.id.as_deref()), (2, Some("e:0:2")));
    assert_eq!(heard.kind.as_deref(), Some("LicenseIssued"));
    socket
        .inner
        .send(Message::Ping(vec![7].into()))
        .await
        .unwrap();
    loop {
        if let Message::Pong(bytes) = socket.message().await.unwrap() {
            assert_eq!(bytes[..], [7]);
            break;
        }
    }
    tokio::time::sleep(2 * MOMENT).await;
    let _writer = writer
        .write(&[activated(3, "L-1"), activated(4, "L-2")])
        .await;
    assert_eq!(number(&socket.event().await), 4);
    let long = "x".repeat(2000);
    socket.inner.send(Message::text(long)).await.unwrap();
    while socket.message().await.is_some() {}
}

#[tokio::test]
async fn a_page_of_another_origin_opens_no_socket_unless_it_may() {
    let (stage, _writer) = Stage::open(Setting {
        cors: vec!["https://portal.example.com".to_owned()],
        ..Setting::default()
    });
    let own = format!("http://{}", stage.address);
    for (origin, is_open) in [
        (own.as_str(), true),
        ("https://portal.example.com", true),
        ("https://evil.example.com", false),
        ("null", false),
    ] {
        let opened = Socket::open(stage.address, "/v1/stream", &[("origin", origin)]).await;
        match opened {
            Ok(_) => assert!(is_open, "{origin}"),
            Err(Error::Http(answer)) => {
                assert!(!is_open && answer.status() == 403, "{origin}: {answer:?}");
            }
            Err(error) => panic!("{origin}: {error}"),
        }
    }
    let headers = [("origin", "https://portal.example.com")];
    let events = Events::open(&stage, "/v1/stream", &headers).await;
    let allowed = &events.headers()["access-control-allow-origin"];
    assert_eq!(allowed, "https://portal.example.com");
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused_with_a_word() {
    let (stage, writer) = Stage::open(Setting::default());
    let _writer = writer.write(&[issued(1, "L-1", "c-1")]).await;
    let cases: [(&str, Headers<'_>, u16, &str); 8] = [
        ("?licence_id=L-1", &[], 400, "unknown_parameter"),
        ("?license_id=", &[], 400, "invalid_parameter"),
        ("?type=DeviceHeartbeat", &[], 400, "invalid_parameter"),
        ("?last_event_id=17", &[], 400, "invalid_parameter"),
        ("", &[("last-event-id", "17")], 400, "invalid_header"),
        ("?last_event_id=e:12:5", &[], 400, "unknown_partition"),
        (
            "?last_event_id=e:0:2",
            &[("x-wait-ms", "50")],
            504,
            "still_stale",
        ),
        (
            "?last_event_id=e:0:2",
            &[("x-on-stale", "serve")],
            412,
            "stale",
        ),
    ];
    for (query, headers, status, code) in cases {
        let answer = send(&stage, &format!("/v1/stream{query}"), headers).await;
        assert_eq!(answer.status(), status, "{query}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert!(answer.headers().contains_key("x-read-position"), "{query}");
        let json: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(json["code"], code, "{query}: {json}");
    }
    let refused = Socket::open(stage.address, "/v1/stream?last_event_id=17", &[]).await;
    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 400));
}

#[tokio::test]
async fn more_streams_than_there_may_be_are_refused_until_one_has_gone() {
    let (stage, _writer) = Stage::open(Setting {
        streams: StreamLimits {
            streams_max: 2,
            ..StreamLimits::default()
        },
        ..Setting::default()
    });
    let first = Events::open(&stage, "/v1/stream", &[]).await;
    let _second = Socket::open(stage.address, "/v1/stream", &[])
        .await
        .unwrap();
    let third = send(&stage, "/v1/stream", &[]).await;
    assert_eq!(third.status(), 503);
    assert!(third.headers().contains_key("retry-after"));
    assert!(third.text().await.unwrap().contains("too_many_streams"));
    drop(first);
    let opened = async {
        while send(&stage, "/v1/stream", &[]).await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, opened).await.unwrap();
}

#[tokio::test]
async fn how_far_a_stream_has_come_is_no_event_among_the_numbers() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _here = metrics::set_default_local_recorder(&recorder);
    let (stage, mut writer) = Stage::open(Setting::default());
    for number in 0..500 {
        writer.say(Lane::Interactive, 0, &activated(number + 1, "L-1"));
    }
    writer.say(Lane::Interactive, 0, &issued(501, "L-9", "c-1"));
    let _writer = writer.apply().await;
    let path = "/v1/stream?license_id=L-9&last_event_id=e:0:0";
    let mut events = Events::open(&stage, path, &[]).await;
    let mut marks = 0;
    loop {
        let heard = events.next().await.unwrap();
        if heard.kind.is_some() {
            break;
        }
        marks += 1;
    }
    assert!(marks > 2, "the way was not long enough");
    let page = recorder.handle().render();
    assert!(page.contains("query_stream_events_total 1\n"), "{page}");
}

#[tokio::test]
async fn a_stop_ends_every_stream_with_the_reason_at_once() {
    let (stage, writer) = Stage::open(Setting {
        http: HttpLimits {
            // Whoever waited for its end would wait in vain.
            grace: Duration::from_secs(3600),
            ..HttpLimits::default()
        },
        ..Setting::default()
    });
    let mut events = Events::open(&stage, "/v1/stream", &[]).await;
    let mut socket = Socket::open(stage.address, "/v1/stream", &[])
        .await
        .unwrap();
    let _writer = writer.write(&[issued(1, "L-1", "c-1")]).await;
    assert_eq!(number(&events.event().await), 1);
    assert_eq!(number(&socket.event().await), 1);
    stage.stop();
    let cut = events.event().await;
    assert_eq!(cut.kind.as_deref(), Some("cut"));
    assert_eq!(cut.data["reason"], "stopping");
    assert_eq!(cut.data["last_event_id"], "e:0:1");
    assert_eq!(events.next().await, None);
    loop {
        match socket.message().await.unwrap() {
            Message::Close(Some(frame)) => {
                assert_eq!(u16::from(frame.code), 1001);
                assert!(frame.reason.starts_with("stopping"), "{}", frame.reason);
                break;
            }
            Message::Text(_) | Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    drop((events, socket));
    let ended = tokio::time::timeout(DEADLINE, stage.ended()).await;
    ended.expect("streams that were told have gone");
}
