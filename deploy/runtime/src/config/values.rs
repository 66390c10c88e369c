//! Values with units, as people write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, written as `4096`, `64KiB`, `16 MiB` or `1GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as memory is counted. Platforms with less than 64
    /// bits hold no more than their own most.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1000,
            "MB" => 1000 * 1000,
            "GB" => 1000 * 1000 * 1000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            other => {
                return Err(format!(
                    "unknown unit {other:?}; use B, KiB, MiB, GiB, kB, MB or GB"
                ));
            }
        };
        let count: u64 = digits
            .parse()
            .map_err(|_| "expected a number such as 16MiB".to_owned())?;
        match count.checked_mul(factor) {
            Some(bytes) if bytes > 0 => Ok(Self(bytes)),
            Some(_) => Err("must be more than nothing".to_owned()),
            None => Err("too large".to_owned()),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        let sizes = [
            ("1", 1),
            ("64KiB", 65_536),
            ("16 MiB", 16_777_216),
            ("2GB", 2_000_000_000),
        ];
        for (text, bytes) in sizes {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes);
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "0", "MiB", "-1", "1.5MiB", "1Mb", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
