//! Avro's object container file, written and read for the one schema of archived records.
//!
//! Any Avro library reads such a file by itself: the schema is in it. It is written and read here by hand, since
//! it is little, and since reading must tell a file that is cut short from one that is whole. Blocks are small,
//! so neither way holds more than one of them, or one record where that is larger. The compression is not its
//! business: it has Avro's codec "null".

use std::io::{self, Read, Write};
use std::sync::Arc;

use licenseflow_runtime::log::{Header, Record, TimestampType};

/// The schema of every file.
pub(crate) const SCHEMA: &str = include_str!("../schemas/record.avsc");

const MAGIC: &[u8; 4] = b"Obj\x01";
const SYNC_BYTES: usize = 16;
/// A block ends with the record that fills it.
const BLOCK_BYTES: usize = 64 * 1024;
/// No list of metadata or of headers is longer in a file of ours.
const ITEMS_MAX: i64 = 1 << 20;

/// Where a file's records lay, and what separates its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heading {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) from: i64,
    pub(crate) sync: [u8; SYNC_BYTES],
}

/// Writes a file.
pub(crate) struct Writer<W: Write> {
    to: W,
    sync: [u8; SYNC_BYTES],
    block: Vec<u8>,
    count: i64,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    pub(crate) fn begin(mut to: W, heading: &Heading) -> io::Result<Self> {
        let metadata = [
            ("avro.schema", SCHEMA.trim_end().to_owned()),
            ("avro.codec", "null".to_owned()),
            ("licenseflow.topic", heading.topic.to_string()),
            ("licenseflow.partition", heading.partition.to_string()),
            ("licenseflow.from", heading.from.to_string()),
        ];
        let mut head = MAGIC.to_vec();
        long(&mut head, metadata.len() as i64);
        for (name, value) in &metadata {
            bytes(&mut head, name.as_bytes());
            bytes(&mut head, value.as_bytes());
        }
        long(&mut head, 0);
        head.extend_from_slice(&heading.sync);
        to.write_all(&head)?;
        Ok(Self {
            to,
            sync: heading.sync,
            block: Vec::new(),
            count: 0,
        })
    }

    /// Writes a record behind the others.
    pub(crate) fn write(&mut self, record: &Record) -> io::Result<()> {
        let to = &mut self.block;
        long(to, record.offset);
        long(to, record.timestamp_ms.unwrap_or(-1));
        long(
            to,
            match record.timestamp_type {
                TimestampType::None => 0,
                TimestampType::CreateTime => 1,
                TimestampType::LogAppendTime => 2,
            },
        );
        nullable(to, record.key.as_deref());
        nullable(to, record.value.as_deref());
        if !record.headers.is_empty() {
            long(to, record.headers.len() as i64);
            for header in &record.headers {
                bytes(to, header.name.as_bytes());
                nullable(to, header.value.as_deref());
            }
        }
        long(to, 0);
        self.count += 1;
        if self.block.len() >= BLOCK_BYTES {
            self.end_block()?;
        }
        Ok(())
    }

    /// Ends the file.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.end_block()?;
        Ok(self.to)
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let mut head = Vec::with_capacity(2 * 10);
        long(&mut head, self.count);
        long(&mut head, self.block.len() as i64);
        self.to.write_all(&head)?;
        self.to.write_all(&self.block)?;
        self.to.write_all(&self.sync)?;
        self.block.clear();
        // One large record must not be held for ever.
        self.block.shrink_to(2 * BLOCK_BYTES);
        self.count = 0;
        Ok(())
    }
}

fn long(to: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

fn bytes(to: &mut Vec<u8>, content: &[u8]) {
    long(to, content.len() as i64);
    to.extend_from_slice(content);
}

fn nullable(to: &mut Vec<u8>, content: Option<&[u8]>) {
    match content {
        None => long(to, 0),
        Some(content) => {
            long(to, 1);
            bytes(to, content);
        }
    }
}

/// Reads a file.
pub(crate) struct Reader<R: Read> {
    from: R,
    heading: Heading,
    block: Vec<u8>,
    /// How much of the block was read.
    read: usize,
    /// Records that are left in the block.
    left: i64,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning of a file.
    pub(crate) fn open(mut from: R) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(malformed("it is no Avro container"));
        }
        let (mut topic, mut partition, mut first) = (None, None, None);
        loop {
            let count = bounded(read_long(&mut from)?)?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                let name = read_text(&mut from)?;
                let value = read_text(&mut from)?;
                match name.as_str() {
                    "avro.schema" if value != SCHEMA.trim_end() => {
                        return Err(malformed("it has another schema"));
                    }
                    "avro.codec" if value != "null" => {
                        return Err(malformed("it has a codec of its own"));
                    }
                    "licenseflow.topic" => topic = Some(value),
                    "licenseflow.partition" => partition = value.parse().ok(),
                    "licenseflow.from" => first = value.parse().ok(),
                    // Others may be added by whoever has use for them.
                    _ => {}
                }
            }
        }
        let mut sync = [0; SYNC_BYTES];
        from.read_exact(&mut sync)?;
        let known = topic.zip(partition).zip(first);
        let ((topic, partition), first) =
            known.ok_or_else(|| malformed("it does not say of which partition it is"))?;
        Ok(Self {
            from,
            heading: Heading {
                topic: topic.into(),
                partition,
                from: first,
                sync,
            },
            block: Vec::new(),
            read: 0,
            left: 0,
        })
    }

    /// Where its records lay.
    pub(crate) fn heading(&self) -> &Heading {
        &self.heading
    }

    /// The next record; none at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record>> {
        if self.left == 0 && !self.next_block()? {
            return Ok(None);
        }
        let mut rest = &self.block[self.read..];
        let record = self.record(&mut rest)?;
        self.read = self.block.len() - rest.len();
        self.left -= 1;
        if self.left == 0 && self.read != self.block.len() {
            return Err(malformed("a block is longer than its records"));
        }
        Ok(Some(record))
    }

    /// False at the end of the file.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut first = [0];
        if self.from.read(&mut first)? == 0 {
            return Ok(false);
        }
        self.left = read_long(&mut first.as_slice().chain(&mut self.from))?;
        let length = read_long(&mut self.from)?;
        let length = u64::try_from(length).map_err(|_| malformed("a length below nothing"))?;
        if self.left <= 0 {
            return Err(malformed("a block without records"));
        }
        self.block.clear();
        self.block.shrink_to(2 * BLOCK_BYTES);
        // What is read grows with what is there, and not with what a length claims.
        let found = (&mut self.from).take(length).read_to_end(&mut self.block)?;
        let mut sync = [0; SYNC_BYTES];
        self.from.read_exact(&mut sync)?;
        if found as u64 != length || sync != self.heading.sync {
            return Err(malformed("a block does not end where it should"));
        }
        self.read = 0;
        Ok(true)
    }

    fn record(&self, rest: &mut &[u8]) -> io::Result<Record> {
        let offset = read_long(rest)?;
        let timestamp = read_long(rest)?;
        let timestamp_type = match read_long(rest)? {
            0 => TimestampType::None,
            1 => TimestampType::CreateTime,
            2 => TimestampType::LogAppendTime,
            _ => return Err(malformed("a type of time that is none")),
        };
        let (key, value) = (read_nullable(rest)?, read_nullable(rest)?);
        let mut headers = Vec::new();
        loop {
            let count = bounded(read_long(rest)?)?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                headers.push(Header {
                    name: read_text(rest)?,
                    value: read_nullable(rest)?,
                });
            }
        }
        Ok(Record {
            topic: Arc::clone(&self.heading.topic),
            partition: self.heading.partition,
            offset,
            timestamp_ms: match timestamp_type {
                TimestampType::None => None,
                TimestampType::CreateTime | TimestampType::LogAppendTime => Some(timestamp),
            },
            timestamp_type,
            key,
            value,
            headers,
        })
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn bounded(count: i64) -> io::Result<i64> {
    // A negative count comes with a length in bytes: allowed by Avro, never written by us.
    if (0..=ITEMS_MAX).contains(&count) {
        Ok(count)
    } else {
        Err(malformed("a list of a length that cannot be"))
    }
}

fn read_long(from: &mut impl Read) -> io::Result<i64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        number |= u64::from(byte[0] & 0x7f) << (7 * place);
        if byte[0] & 0x80 == 0 {
            return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    Err(malformed("a number that is too long"))
}

fn read_bytes(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = read_long(from)?;
    let length = u64::try_from(length).map_err(|_| malformed("a length below nothing"))?;
    let mut content = Vec::new();
    let found = from.take(length).read_to_end(&mut content)?;
    if found as u64 == length {
        Ok(content)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn read_nullable(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    match read_long(from)? {
        0 => Ok(None),
        1 => read_bytes(from).map(Some),
        _ => Err(malformed("neither null nor bytes")),
    }
}

fn read_text(from: &mut impl Read) -> io::Result<String> {
    String::from_utf8(read_bytes(from)?).map_err(|_| malformed("a text that is none"))
}

#[cfg(test)]
mod tests {
    use apache_avro::types::Value;

    use super::*;

    fn heading() -> Heading {
        Heading {
            topic: "p.license.events.v1".into(),
            partition: 7,
            from: 40,
            sync: *b"0123456789abcdef",
        }
    }

    fn record(offset: i64, value: Option<Vec<u8>>) -> Record {
        let header = |name: &str, value: Option<&[u8]>| Header {
            name: name.to_owned(),
            value: value.map(<[u8]>::to_vec),
        };
        Record {
            topic: heading().topic,
            partition: 7,
            offset,
            timestamp_ms: Some(1_790_000_000_123 + offset),
            timestamp_type: TimestampType::LogAppendTime,
            key: (offset % 2 == 0).then(|| b"LIC-1".to_vec()),
            value,
            headers: vec![
                header("a", Some(b"1")),
                header("a", None),
                header("", Some(b"")),
                header("binary", Some(&[0, 255, 128])),
            ],
        }
    }

    fn records() -> Vec<Record> {
        let mut all: Vec<Record> = (40..400)
            .map(|offset| record(offset, Some(vec![offset as u8; 700])))
            .collect();
        all.push(record(500, None));
        all.push(record(501, Some(Vec::new())));
        all.push(record(502, Some(vec![9; 3 * BLOCK_BYTES])));
        all.push(Record {
            timestamp_ms: None,
            timestamp_type: TimestampType::None,
            headers: Vec::new(),
            ..record(503, Some(vec![1]))
        });
        all
    }

    fn file(records: &[Record]) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), &heading()).unwrap();
        for record in records {
            writer.write(record).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<Record>> {
        let mut reader = Reader::open(bytes)?;
        let mut all = Vec::new();
        while let Some(record) = reader.next()? {
            all.push(record);
        }
        Ok(all)
    }

    #[test]
    fn what_is_written_is_read_to_the_byte() {
        let file = file(&records());
        assert_eq!(read(&file).unwrap(), records());
        assert_eq!(Reader::open(file.as_slice()).unwrap().heading(), &heading());
        assert_eq!(read(&self::file(&[])).unwrap(), []);
    }

    #[test]
    fn another_reader_of_avro_reads_the_same() {
        let file = file(&records());
        let theirs = apache_avro::Reader::new(file.as_slice()).unwrap();
        let theirs: Vec<Value> = theirs.map(Result::unwrap).collect();
        assert_eq!(theirs.len(), records().len());
        for (value, record) in theirs.iter().zip(records()) {
            let Value::Record(fields) = value else {
                panic!("{value:?}")
            };
            let nullable = |bytes: &Option<Vec<u8>>| match bytes {
                None => Value::Union(0, Box::new(Value::Null)),
                Some(bytes) => Value::Union(1, Box::new(Value::Bytes(bytes.clone()))),
            };
            let field = |name: &str| &fields.iter().find(|(of, _)| of == name).unwrap().1;
            assert_eq!(field("offset"), &Value::Long(record.offset));
            let time = Value::TimestampMillis(record.timestamp_ms.unwrap_or(-1));
            assert_eq!(field("timestamp"), &time);
            assert_eq!(field("key"), &nullable(&record.key));
            assert_eq!(field("value"), &nullable(&record.value));
            let headers = record.headers.iter().map(|header| {
                Value::Record(vec![
                    ("name".to_owned(), Value::String(header.name.clone())),
                    ("value".to_owned(), nullable(&header.value)),
                ])
            });
            assert_eq!(field("headers"), &Value::Array(headers.collect()));
        }
    }

    #[test]
    fn a_file_that_is_cut_short_is_an_error_or_ends_between_two_blocks() {
        let all = records();
        let file = file(&all);
        // Each length of the beginning and of the end, and some between.
        let between = (0..file.len()).step_by(1009);
        let lengths = (0..3000).chain(between).chain(file.len() - 300..file.len());
        for length in lengths {
            if let Ok(found) = read(&file[..length]) {
                assert!(all.starts_with(&found) && found.len() < all.len());
            }
        }
    }

    #[test]
    fn bytes_that_are_others_never_panic_and_never_claim_memory() {
        let file = file(&records()[..20]);
        for place in 0..file.len() {
            for flip in [1, 0x40, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[place] ^= flip;
                let _ = read(&damaged);
            }
        }
    }
}
