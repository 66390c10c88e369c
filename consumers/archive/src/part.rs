//! One part as a file: records in, compressed bytes with their checksum out, and back.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use licenseflow_runtime::log::Record;
use sha2::{Digest, Sha256};

use crate::container::{self, Heading};
use crate::manifest::{self, Part};

/// zstd's own default: more costs much time for little.
const LEVEL: i32 = 3;

/// What a record takes beside its key, value and headers, about.
const RECORD_BYTES: usize = 16;

type Compressed = zstd::Encoder<'static, Vec<u8>>;

/// A part that is being filled.
pub(crate) struct PartBuilder {
    topic: Arc<str>,
    partition: i32,
    from: i64,
    writer: container::Writer<Compressed>,
    records: i64,
    unbroken_to: i64,
    raw_bytes: usize,
    last_timestamp_ms: Option<i64>,
}

impl PartBuilder {
    pub(crate) fn begin(topic: &Arc<str>, partition: i32, from: i64) -> io::Result<Self> {
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
        // So that `zstd --test` finds damage too.
        encoder.include_checksum(true)?;
        let heading = Heading {
            topic: Arc::clone(topic),
            partition,
            from,
            sync: sync(topic, partition, from),
        };
        Ok(Self {
            topic: Arc::clone(topic),
            partition,
            from,
            writer: container::Writer::begin(encoder, &heading)?,
            records: 0,
            unbroken_to: from,
            raw_bytes: 0,
            last_timestamp_ms: None,
        })
    }

    /// The first offset of its span.
    pub(crate) fn from(&self) -> i64 {
        self.from
    }

    /// What its records take uncompressed, about.
    pub(crate) fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    pub(crate) fn push(&mut self, record: &Record) -> io::Result<()> {
        self.records += 1;
        if record.offset == self.unbroken_to {
            self.unbroken_to += 1;
        }
        self.raw_bytes += size(record);
        self.last_timestamp_ms = self.last_timestamp_ms.max(record.timestamp_ms);
        self.writer.write(record)
    }

    /// The file, and what the manifest says of it. Its span ends before `to`.
    pub(crate) fn finish(self, to: i64) -> io::Result<(Part, Bytes)> {
        let content = self.writer.finish()?.finish()?;
        let part = Part {
            topic: self.topic.to_string(),
            partition: self.partition,
            from: self.from,
            to,
            records: self.records,
            unbroken_to: self.unbroken_to,
            bytes: content.len() as u64,
            last_timestamp_ms: self.last_timestamp_ms,
            sha256: manifest::hex(&Sha256::digest(&content)),
            file: manifest::name(&self.topic, self.partition, self.from, to),
        };
        Ok((part, Bytes::from(content)))
    }
}

/// The same part has the same bytes, whenever it is written.
fn sync(topic: &str, partition: i32, from: i64) -> [u8; 16] {
    let hash = Sha256::digest(format!("{topic}/{partition}/{from}"));
    let mut sync = [0; 16];
    sync.copy_from_slice(&hash[..16]);
    sync
}

fn size(record: &Record) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|header| header.name.len() + length(&header.value))
        .sum();
    RECORD_BYTES + length(&record.key) + length(&record.value) + headers
}

/// Why a file is not the part that the manifest names; none where it is.
pub(crate) fn fault(part: &Part, content: &[u8]) -> Option<String> {
    if content.len() as u64 != part.bytes {
        let length = content.len();
        return Some(format!("it has {length} bytes instead of {}", part.bytes));
    }
    let sha256 = manifest::hex(&Sha256::digest(content));
    (sha256 != part.sha256).then(|| format!("its SHA-256 is {sha256} instead of {}", part.sha256))
}

/// The records of a file whose checksum fits.
pub(crate) struct Records {
    reader: container::Reader<Box<dyn Read>>,
    next: i64,
    to: i64,
    left: i64,
}

impl Records {
    /// Opens a file, and holds what it says of itself against the manifest.
    pub(crate) fn open(part: &Part, content: Bytes) -> io::Result<Self> {
        let decoder = zstd::Decoder::new(io::Cursor::new(content))?;
        let reader = container::Reader::open(Box::new(decoder) as Box<dyn Read>)?;
        let heading = reader.heading();
        let is_of = *heading.topic == *part.topic
            && heading.partition == part.partition
            && heading.from == part.from;
        if !is_of {
            return Err(other("it says that it is of another partition"));
        }
        Ok(Self {
            reader,
            next: part.from,
            to: part.to,
            left: part.records,
        })
    }

    /// The next record; none after the last, when there were as many as the manifest says.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record>> {
        let Some(record) = self.reader.next()? else {
            return if self.left == 0 {
                Ok(None)
            } else {
                Err(other("it has fewer records than the manifest says"))
            };
        };
        if !(self.next..self.to).contains(&record.offset) || self.left == 0 {
            return Err(other("it has records that the manifest does not know"));
        }
        self.next = record.offset + 1;
        self.left -= 1;
        Ok(Some(record))
    }
}

fn other(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use licenseflow_runtime::log::TimestampType;

    use super::*;

    fn record(offset: i64) -> Record {
        Record {
            topic: "t".into(),
            partition: 2,
            offset,
            timestamp_ms: Some(1000 - offset),
            timestamp_type: TimestampType::LogAppendTime,
            key: None,
            value: Some(format!("value {offset}").into_bytes()),
            headers: Vec::new(),
        }
    }

    fn part(offsets: &[i64]) -> (Part, Bytes) {
        let mut builder = PartBuilder::begin(&Arc::from("t"), 2, 5).unwrap();
        for offset in offsets {
            builder.push(&record(*offset)).unwrap();
        }
        builder.finish(20).unwrap()
    }

    fn read(part: &Part, content: &Bytes) -> io::Result<Vec<Record>> {
        let mut records = Records::open(part, content.clone())?;
        let mut all = Vec::new();
        while let Some(record) = records.next()? {
            all.push(record);
        }
        Ok(all)
    }

    #[test]
    fn a_part_says_what_is_in_it_and_the_same_part_has_the_same_bytes() {
        let (part, content) = self::part(&[5, 6, 7, 9, 18]);
        assert_eq!(
            (part.from, part.to, part.records, part.unbroken_to),
            (5, 20, 5, 8)
        );
        assert_eq!(part.last_timestamp_ms, Some(995));
        assert_eq!(fault(&part, &content), None);
        let records = [5, 6, 7, 9, 18].map(record);
        assert_eq!(read(&part, &content).unwrap(), records);
        assert_eq!(self::part(&[5, 6, 7, 9, 18]), (part, content));
    }

    #[test]
    fn every_byte_that_is_another_shows_in_the_checksum() {
        let (part, content) = self::part(&[5, 6]);
        for place in 0..content.len() {
            let mut damaged = content.to_vec();
            damaged[place] ^= 1;
            let said = fault(&part, &damaged).unwrap();
            assert!(said.contains("SHA-256"), "{said}");
        }
        assert!(fault(&part, &content[1..]).unwrap().contains("bytes"));
    }

    #[test]
    fn a_file_that_is_not_what_the_manifest_says_is_refused() {
        let (part, content) = self::part(&[5, 6, 7]);
        let other = |change: &dyn Fn(&mut Part)| {
            let mut other = part.clone();
            change(&mut other);
            read(&other, &content).unwrap_err().to_string()
        };
        assert!(other(&|it| it.partition = 3).contains("another partition"));
        assert!(other(&|it| it.topic = "u".to_owned()).contains("another partition"));
        assert!(other(&|it| it.records = 4).contains("fewer"));
        assert!(other(&|it| it.records = 2).contains("does not know"));
        assert!(other(&|it| it.to = 7).contains("does not know"));
    }
}
