//! Whatever the bytes are, they give an event or a fault; and what is cut or left over is told apart.

use licenseflow_avro::codec::{Plan, decode_body, encode_body};
use licenseflow_avro::{Reason, json};
use proptest::prelude::*;

use crate::evolution::V3;
use crate::samples::{every_kind, issued};

#[test]
fn a_body_cut_anywhere_is_truncated() {
    for event in every_kind() {
        let body = encode_body(&event);
        for length in 0..body.len() {
            let fault = decode_body(&body[..length]).unwrap_err();
            assert_eq!(
                fault.reason,
                Reason::Truncated,
                "{length} of {}",
                body.len()
            );
        }
    }
}

#[test]
fn bytes_behind_a_body_are_trailing() {
    let mut body = encode_body(&issued());
    body.push(0);
    assert_eq!(
        decode_body(&body).unwrap_err().reason,
        Reason::TrailingBytes
    );
}

#[test]
fn bytes_that_cannot_be_are_bad_avro() {
    let body = encode_body(&issued());
    // The prefix up to the payload's index: everything before the customer.
    let index = body
        .windows(6)
        .position(|window| window == b"cust-1")
        .unwrap()
        - 2;
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = body[..at].to_vec();
        changed.extend_from_slice(bytes);
        changed.extend_from_slice(&body[at + 1..]);
        decode_body(&changed).unwrap_err().reason
    };
    assert_eq!(
        with(index, &[24]),
        Reason::BadAvro,
        "a thirteenth branch of twelve"
    );
    assert_eq!(with(index, &[1]), Reason::BadAvro, "branch -1");
    assert_eq!(
        with(index + 1, &[1]),
        Reason::BadAvro,
        "a text of length -1"
    );
    assert_eq!(
        with(index + 2, &[0xFF]),
        Reason::BadAvro,
        "text that is not UTF-8"
    );
    assert_eq!(
        with(index + 1, &[0xFF; 11]),
        Reason::BadAvro,
        "a number of more than ten bytes"
    );
    let far = [0xFE, 0xFF, 0xFF, 0xFF, 0x0F];
    assert_eq!(
        with(index + 1, &far),
        Reason::Truncated,
        "a text of more bytes than remain"
    );
}

#[test]
fn a_uuid_of_another_form_is_an_invalid_event() {
    let mut body = encode_body(&issued());
    body[1] = b'x';
    let fault = decode_body(&body).unwrap_err();
    assert_eq!(fault.reason, Reason::InvalidEvent);
    assert_eq!(fault.pointer.as_deref(), Some("/event_id"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_body(&bytes);
        let _ = Plan::new(V3).unwrap().decode(&bytes);
        let _ = json::decode(&bytes);
        let _ = json::decode_draft(&bytes);
        let _ = json::cloudevents_decode(&bytes);
        let _ = json::split_array(&bytes);
    }

    #[test]
    fn a_changed_event_gives_an_event_that_can_be_written_or_a_fault(
        which in 0..12_usize,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let event = &every_kind()[which];
        for mut bytes in [encode_body(event), json::encode(event).to_string().into_bytes()] {
            let is_json = bytes[0] == b'{';
            for (index, byte) in &changes {
                let at = index.index(bytes.len());
                bytes[at] = *byte;
            }
            let decoded = if is_json { json::decode(&bytes) } else { decode_body(&bytes) };
            if let Ok(event) = decoded {
                prop_assert_eq!(decode_body(&encode_body(&event)), Ok(event));
            }
        }
    }

    #[test]
    fn what_is_json_to_serde_is_json_to_us(text in r#"[ \[\]{}:,"a1.e0\-+\\untrfals]{0,24}"#) {
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let ours = match json::decode(text.as_bytes()) {
            Ok(_) => true,
            Err(fault) => fault.reason != Reason::BadJson,
        };
        prop_assert_eq!(ours, theirs);
    }
}
