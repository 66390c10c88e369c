//! What an archive says is in it: which log it is of, its topics, and their parts, in order.
//!
//! It is one file, written anew after the parts that it names are there. It carries its own checksum over
//! exactly the bytes of its object, and is read strictly: what does not fit together is damage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The manifest's name.
pub(crate) const FILE: &str = "manifest.json";

/// The form of archives that this release writes, and the latest that it reads.
pub(crate) const FORMAT: u32 = 1;

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// The registry's own log. It is compacted, so it is copied as a whole whenever it has grown.
    Schemas,
    /// The interactive lane.
    Interactive,
    /// The bulk lane.
    Bulk,
}

/// A topic of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Its name in the cluster.
    pub name: String,
    /// What it is for.
    pub holds: Holds,
    /// Where each of its partitions ended when the latest run began: what that run was to come to.
    pub ends: Vec<i64>,
}

/// A span of offsets of one partition, in a file of its own that is never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset of the span.
    pub from: i64,
    /// The offset after the span.
    pub to: i64,
    /// How many records there are in it: fewer than offsets where some were transaction markers, records of
    /// aborted transactions, or compacted away.
    pub records: i64,
    /// The first offset of the span without a record; `to` where all have one.
    pub unbroken_to: i64,
    /// The file's length.
    pub bytes: u64,
    /// The latest time of a record in it, in milliseconds; none without records.
    pub last_timestamp_ms: Option<i64>,
    /// The file's SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
    /// The file's name in the archive.
    pub file: String,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of the archive.
    pub format: u32,
    /// The id of the cluster that the log lay in.
    pub cluster_id: String,
    /// The prefix of its topics.
    pub prefix: String,
    /// Its topics.
    pub topics: Vec<Topic>,
    /// Their parts; those of one partition in the order of their offsets.
    pub parts: Vec<Part>,
}

impl Manifest {
    /// That of an archive in which nothing is yet.
    pub(crate) fn new(cluster_id: &str, prefix: &str) -> Manifest {
        Manifest {
            format: FORMAT,
            cluster_id: cluster_id.to_owned(),
            prefix: prefix.to_owned(),
            topics: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// The parts of one partition, in order.
    pub fn parts_of<'a>(
        &'a self,
        topic: &'a str,
        partition: i32,
    ) -> impl DoubleEndedIterator<Item = &'a Part> {
        let of = move |part: &&Part| part.topic == topic && part.partition == partition;
        self.parts.iter().filter(of)
    }

    /// How many records of a partition there are.
    pub fn records_of(&self, topic: &str, partition: i32) -> i64 {
        self.parts_of(topic, partition)
            .map(|part| part.records)
            .sum()
    }

    /// How many offsets the latest run was to copy and did not come to.
    pub fn missing(&self) -> i64 {
        let topics = self.topics.iter().flat_map(|topic| {
            (0..).zip(&topic.ends).map(|(partition, end)| {
                let last = self.parts_of(&topic.name, partition).next_back();
                (end - last.map_or(0, |part| part.to)).max(0)
            })
        });
        topics.sum()
    }

    /// The file's bytes: one part a line.
    pub(crate) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let body = self.body()?;
        let sha256 = hex(&Sha256::digest(body.as_bytes()));
        Ok(format!("{BEFORE}{body}{BETWEEN}{sha256}{AFTER}").into_bytes())
    }

    fn body(&self) -> serde_json::Result<String> {
        let topics: Vec<String> = lines(&self.topics)?;
        let parts: Vec<String> = lines(&self.parts)?;
        Ok(format!(
            "{{\"format\":{},\"cluster_id\":{},\"prefix\":{},\"topics\":[\n{}\n],\"parts\":[\n{}\n]}}",
            self.format,
            serde_json::to_string(&self.cluster_id)?,
            serde_json::to_string(&self.prefix)?,
            topics.join(",\n"),
            parts.join(",\n"),
        ))
    }

    /// Reads the file's bytes; of a later form nothing but that it is one.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Manifest, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
        let whole = text
            .strip_prefix(BEFORE)
            .and_then(|rest| rest.strip_suffix(AFTER))
            .and_then(|rest| rest.rsplit_once(BETWEEN));
        let (body, sha256) = whole.ok_or("it is cut short, or no manifest")?;
        if hex(&Sha256::digest(body.as_bytes())) != sha256 {
            return Err("its checksum is another".to_owned());
        }
        let failed = |error: serde_json::Error| error.to_string();
        let Form { format } = serde_json::from_str(body).map_err(failed)?;
        if format > FORMAT {
            return Ok(Manifest {
                format,
                ..Manifest::new("", "")
            });
        }
        let manifest: Manifest = serde_json::from_str(body).map_err(failed)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Whether the parts of each partition follow one another.
    fn check(&self) -> Result<(), String> {
        let mut next: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for part in &self.parts {
            let topic = self.topics.iter().find(|topic| topic.name == part.topic);
            let count = topic.map_or(0, |topic| topic.ends.len());
            let is_known = usize::try_from(part.partition).is_ok_and(|number| number < count);
            let before = next.insert((&part.topic, part.partition), part.to);
            let follows = before.is_none_or(|before| before == part.from);
            let span = part.to - part.from;
            let unbroken = part.unbroken_to - part.from;
            let fits = part.from >= 0
                && span > 0
                && (0..=span).contains(&part.records)
                && (0..=part.records).contains(&unbroken);
            if !(is_known && follows && fits && part.file == part.name()) {
                return Err(format!("{} does not follow the part before it", part.file));
            }
        }
        Ok(())
    }
}

impl Part {
    /// The name of a file, by what is in it: two files of one name have the same content.
    pub(crate) fn name(&self) -> String {
        name(&self.topic, self.partition, self.from, self.to)
    }
}

pub(crate) fn name(topic: &str, partition: i32, from: i64, to: i64) -> String {
    format!("{}/{from:020}-{to:020}{SUFFIX}", folder(topic, partition))
}

/// Where the files of a partition lie.
pub(crate) fn folder(topic: &str, partition: i32) -> String {
    format!("{topic}/{partition}")
}

/// The span of a file, by its name.
pub(crate) fn span(file: &str) -> Option<(i64, i64)> {
    let (_, name) = file.rsplit_once('/')?;
    let (from, to) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

/// What a part's name ends with: Avro's container, compressed as a whole.
const SUFFIX: &str = ".avro.zst";
const BEFORE: &str = "{\"manifest\":";
const BETWEEN: &str = ",\n\"sha256\":\"";
const AFTER: &str = "\"}\n";

/// Only the form, whatever else there is.
#[derive(Deserialize)]
struct Form {
    format: u32,
}

fn lines<T: Serialize>(all: &[T]) -> serde_json::Result<Vec<String>> {
    all.iter().map(serde_json::to_string).collect()
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(partition: i32, from: i64, to: i64) -> Part {
        let topic = "license.events.v1";
        Part {
            topic: topic.to_owned(),
            partition,
            from,
            to,
            records: to - from,
            unbroken_to: to,
            bytes: 10,
            last_timestamp_ms: Some(5),
            sha256: "ab".to_owned(),
            file: name(topic, partition, from, to),
        }
    }

    fn manifest(parts: &[Part]) -> Manifest {
        let topic = Topic {
            name: "license.events.v1".to_owned(),
            holds: Holds::Interactive,
            ends: vec![20, 9],
        };
        Manifest {
            topics: vec![topic],
            parts: parts.to_vec(),
            ..Manifest::new("cluster \"a\"", "p.")
        }
    }

    #[test]
    fn what_is_written_is_read_and_counts_what_is_missing() {
        let manifest = manifest(&[part(0, 3, 7), part(1, 0, 9), part(0, 7, 12)]);
        let bytes = manifest.encode().unwrap();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
        assert_eq!(manifest.missing(), 8);
        assert_eq!(manifest.records_of("license.events.v1", 0), 9);
        // Anybody's JSON reads it.
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["manifest"]["parts"][2]["to"], 12);
    }

    #[test]
    fn every_byte_that_is_another_is_seen() {
        let bytes = manifest(&[part(0, 0, 7)]).encode().unwrap();
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert!(Manifest::decode(&damaged).is_err(), "byte {place}");
            assert!(Manifest::decode(&bytes[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn parts_that_do_not_follow_one_another_are_refused_even_where_the_checksum_fits() {
        let renamed = Part {
            file: "../../etc/passwd".to_owned(),
            ..part(0, 0, 7)
        };
        let too_many = Part {
            records: 8,
            ..part(0, 0, 7)
        };
        let unbroken_beyond = Part {
            unbroken_to: 6,
            records: 5,
            ..part(0, 0, 7)
        };
        for parts in [
            vec![part(0, 0, 7), part(0, 8, 9)],
            vec![part(0, 0, 7), part(0, 6, 9)],
            vec![part(0, 7, 7)],
            vec![part(2, 0, 7)],
            vec![part(-1, 0, 7)],
            vec![renamed],
            vec![too_many],
            vec![unbroken_beyond],
        ] {
            let bytes = manifest(&parts).encode().unwrap();
            assert!(Manifest::decode(&bytes).is_err(), "{parts:?}");
        }
    }

    #[test]
    fn a_later_form_is_told_as_one_whatever_is_in_it() {
        let body = "{\"format\":2,\"shelves\":[]}";
        let sha256 = hex(&Sha256::digest(body.as_bytes()));
        let text = format!("{BEFORE}{body}{BETWEEN}{sha256}{AFTER}");
        assert_eq!(Manifest::decode(text.as_bytes()).unwrap().format, 2);
    }

    #[test]
    fn a_span_is_read_from_a_name_and_from_no_other() {
        let file = name("t", 3, 0, 1042);
        assert_eq!(
            file,
            "t/3/00000000000000000000-00000000000000001042.avro.zst"
        );
        assert_eq!(span(&file), Some((0, 1042)));
        for other in ["manifest.json", "t/3/x", "t/3/1-x.avro.zst", "t/3/1-2.avro"] {
            assert_eq!(span(other), None, "{other}");
        }
    }
}
