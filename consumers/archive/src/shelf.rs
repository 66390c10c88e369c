//! An archive that is open: its place and its manifest, and the two orders that keep it whole.
//!
//! Writing: the part first, then the manifest that names it. Reading: the checksum first, then what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use licenseflow_core::crash;

use crate::manifest::{self, FILE, FORMAT, Manifest, Part};
use crate::part::{self, Records};
use crate::place::Place;
use crate::{Error, Result};

/// The manifest is written again once so many times its own length was copied: so writing it stays little beside
/// the parts, however many they are.
const COPIED_PER_MANIFEST: u64 = 20;

/// An open archive.
#[derive(Debug)]
pub struct Shelf {
    place: Place,
    manifest: Manifest,
    /// The manifest as it lies there; none where none does.
    written: Option<Bytes>,
    /// What was copied since it was written.
    unnamed_bytes: u64,
}

impl Shelf {
    /// Opens the archive that is there.
    ///
    /// # Errors
    /// There is none, it is damaged, or of a later form.
    pub fn open(place: Place) -> Result<Shelf> {
        let absent = Error::NoArchive {
            place: place.to_string(),
            file: FILE,
        };
        let written = place.get(FILE)?.ok_or(absent)?;
        Shelf::of(place, written)
    }

    /// Opens the archive of a log that is there, or begins it.
    ///
    /// # Errors
    /// It is of another log, damaged, or of a later form.
    pub fn begin(place: Place, cluster_id: &str, prefix: &str) -> Result<Shelf> {
        let Some(written) = place.get(FILE)? else {
            return Ok(Shelf {
                place,
                manifest: Manifest::new(cluster_id, prefix),
                written: None,
                unnamed_bytes: 0,
            });
        };
        let shelf = Shelf::of(place, written)?;
        let log = |cluster: &str, prefix: &str| {
            format!("the cluster {cluster} with the topic prefix \"{prefix}\"")
        };
        let (found, wanted) = (
            log(&shelf.manifest.cluster_id, &shelf.manifest.prefix),
            log(cluster_id, prefix),
        );
        if found == wanted {
            Ok(shelf)
        } else {
            let place = shelf.place.to_string();
            Err(Error::OtherLog {
                place,
                found,
                wanted,
            })
        }
    }

    fn of(place: Place, written: Bytes) -> Result<Shelf> {
        let decoded = Manifest::decode(&written).map_err(|reason| Error::Damaged {
            file: place.named(FILE),
            reason,
        });
        let manifest = decoded?;
        if manifest.format > FORMAT {
            return Err(Error::LaterFormat {
                place: place.to_string(),
                format: manifest.format,
                known: FORMAT,
            });
        }
        Ok(Shelf {
            place,
            manifest,
            written: Some(written),
            unnamed_bytes: 0,
        })
    }

    /// What is in it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Changes what is said beside the parts; it is written with the next of them, or by [`Shelf::name`].
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Manifest)) {
        change(&mut self.manifest);
    }

    /// The spans of parts that were written from an offset on, and are not named: left by a run that died.
    pub(crate) fn unnamed(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
    ) -> Result<BTreeMap<i64, i64>> {
        let files = self.place.list(&manifest::folder(topic, partition))?;
        let spans = files.iter().filter_map(|(file, _)| manifest::span(file));
        Ok(spans.filter(|(begin, _)| *begin >= from).collect())
    }

    /// Adds a part behind those of its partition.
    pub(crate) fn add(&mut self, part: Part, content: Bytes) -> Result<()> {
        self.write(&part, content)?;
        self.manifest.parts.push(part);
        let length = self.written.as_ref().map_or(0, Bytes::len) as u64;
        if self.unnamed_bytes >= COPIED_PER_MANIFEST * length {
            self.name()?;
        }
        Ok(())
    }

    /// Puts one part in the place of all others of its partition, which are taken away.
    pub(crate) fn replace(&mut self, part: Part, content: Bytes) -> Result<()> {
        self.write(&part, content)?;
        let of = |other: &Part| other.topic == part.topic && other.partition == part.partition;
        let before: Vec<String> = self
            .manifest
            .parts
            .iter()
            .filter(|other| of(other) && other.file != part.file)
            .map(|other| other.file.clone())
            .collect();
        self.manifest.parts.retain(|other| !of(other));
        self.manifest.parts.push(part);
        self.name()?;
        before.iter().try_for_each(|file| self.place.delete(file))
    }

    fn write(&mut self, part: &Part, content: Bytes) -> Result<()> {
        self.unnamed_bytes += content.len() as u64;
        self.place.put(&part.file, content)?;
        crash::point(crash::AFTER_PART);
        Ok(())
    }

    /// Writes the manifest, where it says something new.
    pub(crate) fn name(&mut self) -> Result<()> {
        let content = self.manifest.encode().map_err(|error| Error::Damaged {
            file: self.place.named(FILE),
            reason: error.to_string(),
        })?;
        let content = Bytes::from(content);
        if self.written.as_ref() == Some(&content) {
            return Ok(());
        }
        if self.place.get(FILE)? != self.written {
            return Err(Error::Written(self.place.to_string()));
        }
        self.place.put(FILE, content.clone())?;
        self.written = Some(content);
        self.unnamed_bytes = 0;
        Ok(())
    }

    /// The records of a part, once its checksum was compared.
    pub(crate) fn records(&self, part: &Part) -> Result<Records> {
        let content = self.checked(part)?;
        Records::open(part, content).map_err(|error| self.damaged(part, &error))
    }

    /// A part's bytes, once its checksum was compared.
    pub(crate) fn checked(&self, part: &Part) -> Result<Bytes> {
        let missing = || Error::Missing {
            file: self.place.named(&part.file),
        };
        let content = self.place.get(&part.file)?.ok_or_else(missing)?;
        match part::fault(part, &content) {
            None => Ok(content),
            Some(reason) => Err(Error::Damaged {
                file: self.place.named(&part.file),
                reason,
            }),
        }
    }

    /// The error of a part whose checksum fits and whose content does not.
    pub(crate) fn damaged(&self, part: &Part, error: &io::Error) -> Error {
        Error::Damaged {
            file: self.place.named(&part.file),
            reason: error.to_string(),
        }
    }

    /// Whether all files are there that the manifest names, with the lengths that it says. Little is read for it.
    ///
    /// # Errors
    /// The first that is not.
    pub(crate) fn check_lengths(&self) -> Result<()> {
        let places: BTreeSet<(&str, i32)> = self
            .manifest
            .parts
            .iter()
            .map(|part| (part.topic.as_str(), part.partition))
            .collect();
        let mut found = BTreeMap::new();
        for (topic, partition) in places {
            found.extend(self.place.list(&manifest::folder(topic, partition))?);
        }
        for part in &self.manifest.parts {
            let file = self.place.named(&part.file);
            match found.get(&part.file) {
                None => return Err(Error::Missing { file }),
                Some(length) if *length != part.bytes => {
                    let reason = format!("it has {length} bytes instead of {}", part.bytes);
                    return Err(Error::Damaged { file, reason });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
