//! Canonical JSON (RFC 8785), the text whose hash is a row's digest.
//!
//! Members are written in sorted order by the caller; integers in full decimal also beyond 2⁵³.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Writes one object, member by member.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    out: &'a mut String,
    first: bool,
    #[cfg(debug_assertions)]
    last_name: String,
}

impl<'a> ObjectWriter<'a> {
    /// Begins an object at the end of `out`.
    pub fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self {
            out,
            first: true,
            #[cfg(debug_assertions)]
            last_name: String::new(),
        }
    }

    fn name(&mut self, name: &str) {
        #[cfg(debug_assertions)]
        {
            debug_assert!(self.first || *self.last_name < *name, "{name} out of order");
            name.clone_into(&mut self.last_name);
        }
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        write_text(self.out, name);
        self.out.push(':');
    }

    /// A text, or null.
    pub fn text(&mut self, name: &str, value: Option<&str>) {
        self.name(name);
        match value {
            Some(text) => write_text(self.out, text),
            None => self.out.push_str("null"),
        }
    }

    /// An integer, or null.
    pub fn integer(&mut self, name: &str, value: Option<i64>) {
        self.name(name);
        match value {
            // Writing to a String cannot fail.
            Some(number) => write!(self.out, "{number}").unwrap_or_default(),
            None => self.out.push_str("null"),
        }
    }

    /// True or false.
    pub fn boolean(&mut self, name: &str, value: bool) {
        self.name(name);
        self.out.push_str(if value { "true" } else { "false" });
    }

    /// A map of texts, or null.
    pub fn map(&mut self, name: &str, value: Option<&BTreeMap<String, String>>) {
        self.name(name);
        let Some(map) = value else {
            self.out.push_str("null");
            return;
        };
        let mut object = ObjectWriter::begin(self.out);
        for (key, value) in map {
            object.text(key, Some(value));
        }
        object.end();
    }

    /// An object whose members the caller writes.
    pub fn object(&mut self, name: &str, members: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.name(name);
        let mut object = ObjectWriter::begin(self.out);
        members(&mut object);
        object.end();
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push('}');
    }
}

/// A string with RFC 8785's escapes: the short ones where there are, lower-case `\u00xx` else.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    if text.bytes().all(stands_for_itself) {
        out.push_str(text);
    } else {
        write_escaped(out, text);
    }
    out.push('"');
}

/// Whether a byte of UTF-8 is written as it is; those beyond ASCII all are.
fn stands_for_itself(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

fn write_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if u32::from(control) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_rfc_8785_says() {
        let mut out = String::new();
        write_text(&mut out, "\u{8}\t\n\u{c}\r\"\\\u{1f}\u{7f}é日");
        assert_eq!(out, "\"\\b\\t\\n\\f\\r\\\"\\\\\\u001f\u{7f}é日\"");
    }

    #[test]
    fn integers_beyond_two_to_the_53_are_written_in_full() {
        let mut out = String::new();
        let mut object = ObjectWriter::begin(&mut out);
        object.integer("n", Some(9_007_199_254_740_993));
        object.end();
        assert_eq!(out, "{\"n\":9007199254740993}");
    }
}
