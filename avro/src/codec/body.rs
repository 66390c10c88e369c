//! The bytes of an Avro body being read: where they end before they should, and what cannot be.
//!
//! Libraries do not tell the two apart, and some read missing bytes as nulls. Knows no schema.

use crate::reason::{Fault, Reason};

/// Why reading cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// More bytes are asked for than there are.
    Truncated,
    /// What stands here cannot be, and hides where the next value starts.
    Bad(&'static str),
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Truncated => Fault::new(Reason::Truncated, "the bytes end before the event does"),
            Stop::Bad(error) => Fault::new(Reason::BadAvro, error),
        }
    }
}

/// Bytes being read, from the front.
#[derive(Debug)]
pub(super) struct Body<'a> {
    rest: &'a [u8],
    length: usize,
    /// What cannot be but does not hide where the next value starts. It waits, since a body that is
    /// also cut short is `truncated`, which is judged first.
    flaw: Option<&'static str>,
}

impl<'a> Body<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            length: bytes.len(),
            flaw: None,
        }
    }

    /// Whether what was read could be, and was all there was.
    pub(super) fn finish(self) -> Result<(), Fault> {
        if let Some(flaw) = self.flaw {
            return Err(Fault::new(Reason::BadAvro, flaw));
        }
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Fault::new(
                Reason::TrailingBytes,
                format!("{left} bytes are left after the event"),
            )),
        }
    }

    /// How many bytes were read.
    pub(super) fn offset(&self) -> usize {
        self.length - self.rest.len()
    }

    /// What cannot be, so far.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        self.flaw
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Stop::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, Stop> {
        let mut number = 0_u64;
        for place in 0..10 {
            let (byte, rest) = self.rest.split_first().ok_or(Stop::Truncated)?;
            self.rest = rest;
            if place == 9 && *byte > 1 {
                return Err(Stop::Bad("a number of more than 64 bits"));
            }
            number |= u64::from(byte & 0x7F) << (7 * place);
            if *byte < 0x80 {
                break;
            }
        }
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn int(&mut self) -> Result<i64, Stop> {
        let number = self.long()?;
        if i32::try_from(number).is_err() {
            self.flaw = Some("an int of more than 32 bits");
        }
        Ok(number)
    }

    pub(super) fn boolean(&mut self) -> Result<(), Stop> {
        if self.take(1)?[0] > 1 {
            self.flaw = Some("a boolean that is neither true nor false");
        }
        Ok(())
    }

    /// Bytes behind their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.long()?;
        if length < 0 {
            return Err(Stop::Bad("a negative length"));
        }
        // A length beyond the address space is also one beyond the bytes.
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Stop> {
        let bytes = self.bytes()?;
        Ok(std::str::from_utf8(bytes).unwrap_or_else(|_| {
            self.flaw = Some("text that is not UTF-8");
            ""
        }))
    }

    /// The index of a branch or a symbol, of `count` that there are.
    pub(super) fn index(&mut self, count: usize) -> Result<usize, Stop> {
        let index = self.long()?;
        usize::try_from(index)
            .ok()
            .filter(|index| *index < count)
            .ok_or(Stop::Bad("an index of no branch"))
    }

    /// The number of items in the next block of a map or an array; 0 at its end.
    pub(super) fn block(&mut self) -> Result<u64, Stop> {
        let count = self.long()?;
        if count < 0 && self.long()? < 0 {
            return Err(Stop::Bad("a block of negative size"));
        }
        Ok(count.unsigned_abs())
    }
}
