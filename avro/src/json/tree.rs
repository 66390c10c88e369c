//! JSON text as a tree that keeps what the contract asks about: repeated members, numbers as they were
//! written, and strings with half a surrogate pair, all of which are JSON but no event.
//!
//! JSON libraries drop the first, round the second and refuse the third as malformed. Nesting deeper
//! than any event's is stepped over without recursion. Knows nothing of events.

use std::borrow::Cow;

/// Containers nested deeper than this are only checked, not kept.
const DEPTH_MAX: usize = 4;

/// A value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node<'a> {
    Null,
    Boolean,
    /// A number as it was written.
    Number(&'a str),
    Text(Text<'a>),
    Object(Members<'a>),
    /// An array, which no event has, or an object nested deeper than any event's.
    Other,
}

/// The members of an object, in order, repeated names kept.
pub(super) type Members<'a> = Vec<(Cow<'a, str>, Node<'a>)>;

/// A string.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text<'a> {
    /// With U+FFFD for each half of a surrogate pair that stood alone.
    pub(super) value: Cow<'a, str>,
    /// Whether there was one.
    pub(super) is_broken: bool,
}

/// The text is not JSON: what was expected, and at which byte.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub(super) struct NotJson {
    expected: &'static str,
    at: usize,
}

/// The one value of a JSON text.
pub(super) fn parse(bytes: &[u8]) -> Result<Node<'_>, NotJson> {
    let mut parser = Parser::new(bytes)?;
    let node = parser.value(0)?;
    parser.end()?;
    Ok(node)
}

/// The texts of the items of the one array of a JSON text.
pub(super) fn parse_items(bytes: &[u8]) -> Result<Vec<&[u8]>, NotJson> {
    let mut parser = Parser::new(bytes)?;
    let mut items = Vec::new();
    parser.blanks();
    parser.expect(b'[', "an array")?;
    parser.blanks();
    if !parser.eat(b']') {
        loop {
            parser.blanks();
            let from = parser.at;
            parser.skip()?;
            items.push(&bytes[from..parser.at]);
            parser.blanks();
            if parser.eat(b']') {
                break;
            }
            parser.expect(b',', "a comma or the array's end")?;
        }
    }
    parser.end()?;
    Ok(items)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, NotJson> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(error) => Err(NotJson {
                expected: "UTF-8",
                at: error.valid_up_to(),
            }),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, NotJson> {
        Err(NotJson {
            expected,
            at: self.at,
        })
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), NotJson> {
        if self.eat(byte) {
            Ok(())
        } else {
            self.fail(expected)
        }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Result<(), NotJson> {
        self.blanks();
        if self.peek().is_some() {
            self.fail("nothing more")
        } else {
            Ok(())
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, NotJson> {
        self.blanks();
        match self.peek() {
            Some(b'{') if depth < DEPTH_MAX => self.object(depth).map(Node::Object),
            Some(b'{' | b'[') => self.skip().map(|()| Node::Other),
            _ => self.scalar(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Members<'a>, NotJson> {
        let mut members = Vec::new();
        self.expect(b'{', "an object")?;
        self.blanks();
        if self.eat(b'}') {
            return Ok(members);
        }
        loop {
            let name = self.name()?;
            members.push((name.value, self.value(depth + 1)?));
            self.blanks();
            if self.eat(b'}') {
                return Ok(members);
            }
            self.expect(b',', "a comma or the object's end")?;
        }
    }

    /// A member's name and the colon.
    fn name(&mut self) -> Result<Text<'a>, NotJson> {
        self.blanks();
        let name = self.string("a member's name")?;
        self.blanks();
        self.expect(b':', "a colon")?;
        Ok(name)
    }

    fn scalar(&mut self) -> Result<Node<'a>, NotJson> {
        match self.peek() {
            Some(b'"') => self.string("a string").map(Node::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Node::Number),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Node<'a>, NotJson> {
        for (word, node) in [
            ("null", Node::Null),
            ("true", Node::Boolean),
            ("false", Node::Boolean),
        ] {
            if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(node);
            }
        }
        self.fail("a value")
    }

    fn number(&mut self) -> Result<&'a str, NotJson> {
        let from = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        Ok(&self.text[from..self.at])
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fail("a digit");
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self, expected: &'static str) -> Result<Text<'a>, NotJson> {
        self.expect(b'"', expected)?;
        let plain = self.plain()?;
        if self.eat(b'"') {
            let value = Cow::Borrowed(plain);
            return Ok(Text {
                value,
                is_broken: false,
            });
        }
        let mut value = plain.to_owned();
        let mut is_broken = false;
        while !self.eat(b'"') {
            self.expect(b'\\', "an escape")?;
            match self.escape()? {
                Some(unescaped) => value.push(unescaped),
                None => {
                    is_broken = true;
                    value.push(char::REPLACEMENT_CHARACTER);
                }
            }
            value.push_str(self.plain()?);
        }
        let value = Cow::Owned(value);
        Ok(Text { value, is_broken })
    }

    /// What stands before the next quote or backslash.
    fn plain(&mut self) -> Result<&'a str, NotJson> {
        let from = self.at;
        loop {
            match self.peek() {
                None => return self.fail("the string's end"),
                Some(b'"' | b'\\') => return Ok(&self.text[from..self.at]),
                Some(0..0x20) => return self.fail("an escape instead of a control character"),
                Some(_) => self.at += 1,
            }
        }
    }

    /// The character of an escape, behind its backslash; none for half of a surrogate pair.
    fn escape(&mut self) -> Result<Option<char>, NotJson> {
        let unescaped = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return self.fail("an escape"),
        };
        self.at += 1;
        Ok(Some(unescaped))
    }

    fn unicode_escape(&mut self) -> Result<Option<char>, NotJson> {
        let first = self.unit()?;
        let is_high = (0xD800..0xDC00).contains(&first);
        if is_high && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 1;
            let second = self.unit()?;
            if (0xDC00..0xE000).contains(&second) {
                let scalar = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(scalar));
            }
            // The second is no other half: it is an escape of its own.
            self.at = back;
        }
        Ok(char::from_u32(first))
    }

    /// The UTF-16 unit of `uXXXX`.
    fn unit(&mut self) -> Result<u32, NotJson> {
        self.expect(b'u', "an escape")?;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return self.fail("four hexadecimal digits");
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }

    /// Steps over a value, however deep.
    fn skip(&mut self) -> Result<(), NotJson> {
        let mut ends = Vec::new();
        loop {
            self.blanks();
            if self.eat(b'{') {
                self.blanks();
                if !self.eat(b'}') {
                    ends.push(b'}');
                    self.name()?;
                    continue;
                }
            } else if self.eat(b'[') {
                self.blanks();
                if !self.eat(b']') {
                    ends.push(b']');
                    continue;
                }
            } else {
                self.scalar()?;
            }
            if self.leave(&mut ends)? {
                return Ok(());
            }
        }
    }

    /// Behind a value: leaves the containers that end here, and the comma if another value follows.
    /// Whether none is left.
    fn leave(&mut self, ends: &mut Vec<u8>) -> Result<bool, NotJson> {
        while let Some(end) = ends.last().copied() {
            self.blanks();
            if self.eat(end) {
                ends.pop();
                continue;
            }
            self.expect(b',', "a comma or the end of an array or object")?;
            if end == b'}' {
                self.name()?;
            }
            return Ok(false);
        }
        Ok(true)
    }
}
