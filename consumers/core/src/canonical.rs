//! Canonical JSON (RFC 8785), the text whose hash is a row's digest.
//!
//! Members are written in sorted order by the caller; integers in full decimal also beyond 2⁵³.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

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
        // Our own names have nothing to escape.
        debug_assert!(is_plain(name), "{name} would have to be escaped");
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
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
            Some(number) => self.out.push_str(itoa::Buffer::new().format(number)),
            None => self.out.push_str("null"),
        }
    }

    /// A uuid in lower case, or null.
    pub fn uuid(&mut self, name: &str, value: Option<Uuid>) {
        let mut text = Uuid::encode_buffer();
        let value = value.map(|id| &*id.hyphenated().encode_lower(&mut text));
        self.text(name, value);
    }

    /// A number of 128 bits as 32 hexadecimal digits.
    pub fn hexadecimal(&mut self, name: &str, value: u128) {
        let mut text = Uuid::encode_buffer();
        let digits = Uuid::from_u128(value);
        self.text(name, Some(digits.simple().encode_lower(&mut text)));
    }

    /// True or false.
    pub fn boolean(&mut self, name: &str, value: bool) {
        self.name(name);
        self.out.push_str(if value { "true" } else { "false" });
    }

    /// A map of texts, or null.
    pub fn map(&mut self, name: &str, value: Option<&CanonicalMap>) {
        self.name(name);
        self.out
            .push_str(value.map_or("null", CanonicalMap::as_str));
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

/// A map of texts as the text that it is hashed and stored as.
///
/// Rows are hashed and written far more often than their maps are looked into, and a text is a tenth
/// of the tree that it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalMap(Arc<str>);

impl CanonicalMap {
    /// Reads a JSON object of texts, in any order of its members.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        let map: BTreeMap<String, String> = serde_json::from_str(json)?;
        Ok(Self::from(&map))
    }

    /// Its canonical JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its entries.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<String, String> {
        // It was made from a map and from nothing else.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl From<&BTreeMap<String, String>> for CanonicalMap {
    fn from(map: &BTreeMap<String, String>) -> Self {
        let mut out = String::with_capacity(2 + 32 * map.len());
        let mut separator = "{";
        for (key, value) in map {
            out.push_str(separator);
            write_text(&mut out, key);
            out.push(':');
            write_text(&mut out, value);
            separator = ",";
        }
        out.push_str(if map.is_empty() { "{}" } else { "}" });
        Self(out.into())
    }
}

/// A string with RFC 8785's escapes: the short ones where there are, lower-case `\u00xx` else.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    if is_plain(text) {
        out.push_str(text);
    } else {
        write_escaped(out, text);
    }
    out.push('"');
}

/// Whether nothing in a text is escaped. Every byte is looked at, since stopping at the first that is
/// would keep the processor from looking at many at once.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .fold(true, |is_plain, byte| is_plain & stands_for_itself(byte))
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
    fn a_map_reads_back_whatever_its_texts() {
        for map in [
            BTreeMap::new(),
            BTreeMap::from([
                ("b".to_owned(), "\"\\\n".to_owned()),
                ("a".to_owned(), "é".to_owned()),
            ]),
        ] {
            let canonical = CanonicalMap::from(&map);
            assert_eq!(canonical.to_map(), map);
            assert_eq!(CanonicalMap::parse(canonical.as_str()).unwrap(), canonical);
        }
        assert!(CanonicalMap::parse("{\"a\": 1}").is_err());
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
