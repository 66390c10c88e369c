//! The beginning of an event's body: what a page of a timeline is chosen by, read without the rest.

use licenseflow_avro::EventKind;

/// What stands at the beginning of a body: `occurred_at`, `source`, `actor`, and the payload's type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) occurred_at: i64,
    pub(crate) kind: EventKind,
}

impl Head {
    /// The most bytes that a head has: two texts of 256 scalar values, four bytes each at most, and four
    /// numbers.
    pub(crate) const BYTES_MAX: usize = 2 * (4 * 256) + 4 * 10;

    /// Reads a body, or as much of its beginning as [`Head::BYTES_MAX`].
    pub(crate) fn of(body: &[u8]) -> Option<Self> {
        let mut rest = body;
        let occurred_at = take_long(&mut rest)?;
        skip_text(&mut rest)?;
        if take_long(&mut rest)? == 1 {
            skip_text(&mut rest)?;
        }
        let kind = usize::try_from(take_long(&mut rest)?).ok()?;
        let kind = *EventKind::ALL.get(kind)?;
        Some(Self { occurred_at, kind })
    }
}

/// An Avro long: zigzag, in groups of seven bits, the least first.
fn take_long(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
        }
    }
    None
}

fn skip_text(bytes: &mut &[u8]) -> Option<()> {
    let length = usize::try_from(take_long(bytes)?).ok()?;
    *bytes = bytes.split_at_checked(length)?.1;
    Some(())
}

#[cfg(test)]
mod tests {
    use licenseflow_avro::LicenseEvent;
    use licenseflow_avro::event::{EventVoided, LicenseRenewed, Payload};
    use uuid::Uuid;

    use super::*;
    use crate::columns::body_of;

    #[test]
    fn the_head_of_a_body_is_read_without_the_rest() {
        for (actor, payload) in [
            (
                None,
                Payload::LicenseRenewed(LicenseRenewed { expires_at: None }),
            ),
            (
                Some("é".repeat(100)),
                Payload::EventVoided(EventVoided {
                    voided_event_id: Uuid::from_u128(1),
                    reason: String::new(),
                }),
            ),
        ] {
            let event = LicenseEvent {
                event_id: Uuid::from_u128(7),
                license_id: "L".to_owned(),
                tenant_id: "t".to_owned(),
                occurred_at: 1_769_853_600_000_001,
                source: "s".repeat(70),
                actor,
                payload,
            };
            let head = Head::of(&body_of(&event)).unwrap();
            assert_eq!(head.occurred_at, event.occurred_at);
            assert_eq!(head.kind, event.payload.kind());
        }
    }

    #[test]
    fn a_body_cut_short_has_no_head() {
        assert_eq!(Head::of(&[]), None);
        assert_eq!(Head::of(&[2, 0x80]), None);
        assert_eq!(Head::of(&[2, 8, b'a']), None);
    }
}
