//! Times as text: RFC 3339 to integer microseconds and back.
//!
//! Stricter than the libraries: no leap second, at most six decimals, no blank instead of the `T`.
//! Which times an event may carry is a matter of [`crate::limits`], not of this file.

use jiff::SignedDuration;
use jiff::civil::DateTime;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Microseconds since 1970 in UTC of an RFC 3339 text with any offset and at most six decimals.
///
/// # Errors
/// Says in words what is wrong with the text.
pub fn parse_rfc3339(text: &str) -> Result<i64, String> {
    parse(text.as_bytes()).map_err(|why| format!("{why}, such as 2026-01-31T10:00:00.000001Z"))
}

fn parse(text: &[u8]) -> Result<i64, &'static str> {
    const SHAPE: &str = "expected an RFC 3339 time";
    let (local, rest) = text.split_at_checked(19).ok_or(SHAPE)?;
    let separators = [local[4], local[7], local[13], local[16]];
    if separators != *b"--::" || !matches!(local[10], b'T' | b't') {
        return Err(SHAPE);
    }
    let part = |from: usize, to: usize| digits(&local[from..to]).ok_or(SHAPE);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    if second == 60 {
        return Err("leap seconds are not taken: expected a time");
    }
    let (micros, zone) = fraction(rest)?;
    let offset_minutes = offset_minutes(zone).ok_or("expected a time with Z or an offset")?;
    // Two digits fit any of these, and four fit the year.
    let date_time = DateTime::new(
        i16::try_from(year).map_err(|_| SHAPE)?,
        i8::try_from(month).map_err(|_| SHAPE)?,
        i8::try_from(day).map_err(|_| SHAPE)?,
        i8::try_from(hour).map_err(|_| SHAPE)?,
        i8::try_from(minute).map_err(|_| SHAPE)?,
        i8::try_from(second).map_err(|_| SHAPE)?,
        0,
    )
    .map_err(|_| "there is no such day or hour: expected a time")?;
    let seconds = date_time.duration_since(EPOCH).as_secs() - i64::from(offset_minutes) * 60;
    Ok(seconds * 1_000_000 + i64::from(micros))
}

/// The microseconds of an optional fraction, and what stands behind it.
fn fraction(rest: &[u8]) -> Result<(u32, &[u8]), &'static str> {
    let Some((b'.', decimals)) = rest.split_first() else {
        return Ok((0, rest));
    };
    let length = decimals
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if length > 6 {
        return Err("expected a time with at most six decimals");
    }
    let (decimals, zone) = decimals.split_at(length);
    let number = digits(decimals).ok_or("expected decimals after the point of a time")?;
    Ok((number * 10_u32.pow(6 - length as u32), zone))
}

fn offset_minutes(zone: &[u8]) -> Option<i32> {
    let (sign, offset) = match zone {
        b"Z" | b"z" => return Some(0),
        [b'+', offset @ ..] => (1, offset),
        [b'-', offset @ ..] => (-1, offset),
        _ => return None,
    };
    let [h1, h0, b':', m1, m0] = offset else {
        return None;
    };
    let (hours, minutes) = (digits(&[*h1, *h0])?, digits(&[*m1, *m0])?);
    let fits = hours < 24 && minutes < 60;
    fits.then_some(sign * (hours * 60 + minutes) as i32)
}

/// The number that a few digits, at least one, stand for.
fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        text.iter()
            .fold(0, |number, digit| number * 10 + u32::from(digit - b'0')),
    )
}

/// The only form of a time that we write: UTC with `Z` and six decimals.
///
/// A number that is no time of the years 0 to 9999, which no accepted event holds, comes out as the
/// number itself.
#[must_use]
pub fn format_rfc3339(micros: i64) -> String {
    let since_epoch = SignedDuration::from_micros(micros);
    let Some(time) = EPOCH
        .checked_add(since_epoch)
        .ok()
        .filter(|time| time.year() >= 0)
    else {
        return format!("{micros} microseconds");
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.subsec_nanosecond() / 1000
    )
}

/// The first millisecond that is not before a time in microseconds: Kafka's times are in milliseconds, and who
/// asks for what is recorded from a time on is not given what was recorded before it.
#[must_use]
pub fn millis_from(micros: i64) -> i64 {
    micros.saturating_add(999).div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_millisecond_from_a_time_on_is_not_before_it() {
        for (micros, millis) in [
            (0, 0),
            (1, 1),
            (999, 1),
            (1000, 1),
            (1001, 2),
            (-1, 0),
            (-1000, -1),
        ] {
            assert_eq!(millis_from(micros), millis, "{micros}");
        }
    }

    #[test]
    fn any_offset_and_up_to_six_decimals_are_taken() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t00:00:00.1z", 100_000),
            ("1970-01-01T00:00:00.000001Z", 1),
            ("1970-01-01T01:30:00+01:30", 0),
            ("1969-12-31T23:00:00-01:00", 0),
            ("1970-01-01T00:00:00-00:00", 0),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2026-01-31T10:00:00.000001Z", 1_769_853_600_000_001),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
            ("9999-12-31T23:59:59-23:59", 253_402_387_139_000_000),
        ] {
            assert_eq!(parse_rfc3339(text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn what_rfc_3339_or_the_contract_does_not_have_is_refused() {
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T10:00:00",
            "2026-01-31 10:00:00Z",
            "2026-01-31T10:00Z",
            "2026-01-31T10:00:60Z",
            "2026-01-31T24:00:00Z",
            "2026-02-29T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-01-31T10:00:00.Z",
            "2026-01-31T10:00:00.0000001Z",
            "2026-01-31T10:00:00,5Z",
            "2026-01-31T10:00:00+0100",
            "2026-01-31T10:00:00+24:00",
            "2026-01-31T10:00:00+01:60",
            "2026-01-31T10:00:00+01",
            "2026-01-31T10:00:00Z[UTC]",
            "2026-01-31T10:00:00Z ",
            "+2026-01-31T10:00:00Z",
            "２026-01-31T10:00:00Z",
        ] {
            assert!(parse_rfc3339(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_reads_back_as_it_was_written() {
        for micros in [
            0,
            1,
            -1,
            1_769_853_600_000_001,
            7_258_118_399_999_999,
            253_402_300_799_999_999,
        ] {
            assert_eq!(parse_rfc3339(&format_rfc3339(micros)), Ok(micros));
        }
        assert_eq!(format_rfc3339(0), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn a_number_that_is_no_time_is_written_as_a_number() {
        assert_eq!(format_rfc3339(i64::MAX), "9223372036854775807 microseconds");
        assert_eq!(
            format_rfc3339(i64::MIN),
            "-9223372036854775808 microseconds"
        );
    }
}
