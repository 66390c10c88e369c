//! Records that no projector can read, one of each kind that a client gets wrong.

use rand::Rng;

use crate::publish::RawRecord;

/// A poison record, of any kind.
pub(super) fn record(rng: &mut impl Rng) -> RawRecord {
    let key = format!("LIC-{:06}", rng.random_range(0..1000)).into_bytes();
    let value = match rng.random_range(0..7) {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(b"plain text".to_vec()),
        // A schema id that nobody registers.
        3 => Some(vec![0, 0x7f, 0xff, 0xff, 0xff, 2, 2]),
        4 => Some(vec![0, 0, 0]),
        5 => Some(b"{\"license_id\":".to_vec()),
        _ => Some(
            br#"{"event_id":"00000000-0000-0000-0000-000000000000","license_id":"-","occurred_at":"2026-01-31T10:00:00Z","type":"LicenseRevoked","data":{"reason":""}}"#
                .to_vec(),
        ),
    };
    RawRecord {
        key: rng.random_bool(0.8).then_some(key),
        value,
        headers: Vec::new(),
    }
}
