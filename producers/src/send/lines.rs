//! Lines of bytes with their places, each held only up to a bound.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use super::{Checkpoint, Input};

/// A line's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// The bytes up to its end, its line feed included.
    pub(super) end: u64,
    /// Whether it is longer than what is held of it.
    pub(super) is_cut: bool,
}

pub(super) struct Lines {
    input: Input,
    at: Checkpoint,
    bytes_max: usize,
}

impl Lines {
    pub(super) fn new(input: Input, at: Checkpoint, bytes_max: usize) -> Self {
        Self {
            input,
            at,
            bytes_max,
        }
    }

    /// The next line without its line feed; none at the end. To be dropped in the middle only if no
    /// more lines are asked for.
    pub(super) async fn next(&mut self) -> io::Result<Option<(Line, Vec<u8>)>> {
        let mut text = Vec::new();
        let mut length = 0_u64;
        loop {
            let buffer = self.input.fill_buf().await?;
            if buffer.is_empty() {
                break;
            }
            let feed = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..feed.unwrap_or(buffer.len())];
            let room = self.bytes_max.saturating_sub(text.len());
            text.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(feed.is_some());
            length += used as u64;
            self.input.consume(used);
            if feed.is_some() {
                break;
            }
        }
        if length == 0 {
            return Ok(None);
        }
        self.at.lines += 1;
        self.at.bytes += length;
        let line = Line {
            number: self.at.lines,
            end: self.at.bytes,
            // All that can be missing from the text of a whole line is its line feed.
            is_cut: length > text.len() as u64 + 1,
        };
        Ok(Some((line, text)))
    }
}

/// Reads and forgets that many bytes.
pub(super) async fn skip(input: &mut Input, mut bytes: u64) -> io::Result<()> {
    while bytes > 0 {
        let buffer = AsyncBufReadExt::fill_buf(input).await?;
        if buffer.is_empty() {
            let words = "the input ends before the place where the last run stood";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, words));
        }
        let used = buffer
            .len()
            .min(usize::try_from(bytes).unwrap_or(usize::MAX));
        bytes -= used as u64;
        std::pin::Pin::new(&mut *input).consume(used);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncRead;

    fn input(text: &'static str) -> Input {
        let bytes: Box<dyn AsyncRead + Send + Unpin> = Box::new(text.as_bytes());
        Input::with_capacity(3, bytes)
    }

    #[tokio::test]
    async fn lines_know_their_places_and_long_ones_are_cut() {
        let mut lines = Lines::new(input("ab\n\nabcdefgh\nend"), Checkpoint::default(), 5);
        let mut seen = Vec::new();
        while let Some((line, text)) = lines.next().await.unwrap() {
            let text = String::from_utf8(text).unwrap();
            seen.push((line.number, line.end, line.is_cut, text));
        }
        assert_eq!(
            seen,
            [
                (1, 3, false, "ab".into()),
                (2, 4, false, String::new()),
                (3, 13, true, "abcde".into()),
                (4, 16, false, "end".into()),
            ]
        );
    }

    #[tokio::test]
    async fn skipping_goes_to_a_place_and_not_beyond_the_end() {
        let mut there = input("ab\ncd\n");
        skip(&mut there, 3).await.unwrap();
        let mut lines = Lines::new(there, Checkpoint { lines: 1, bytes: 3 }, 5);
        let (line, text) = lines.next().await.unwrap().unwrap();
        assert_eq!((line.number, line.end, text), (2, 6, b"cd".to_vec()));
        assert!(skip(&mut input("ab"), 3).await.is_err());
    }
}
