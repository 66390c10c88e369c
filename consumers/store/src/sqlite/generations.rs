//! The generations of a store in files: each is a file of its own, and the book lies beside the first.
//!
//! ```text
//! licenseflow.db                 generation 1
//! licenseflow.db.g2              generation 2
//! licenseflow.db.generations     the book; there is none before a second generation is begun
//! ```
//!
//! The book is replaced as a whole by a rename, which is how the pointer moves in one step. Whoever changes
//! it holds a lock meanwhile, over processes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use licenseflow_core::crash;

use super::audit::SqliteAudit;
use super::collected::Collected;
use super::connection::SqliteOptions;
use super::hold::Hold;
use super::letters::SqliteLetters;
use super::loading::loading_of;
use super::lookup::SqliteLookup;
use super::rewrite;
use super::takeover;
use super::writer::SqliteModel;
use crate::generations::{
    Begin, Book, Change, FIRST, Generation, Generations, Made, Model, Number, Refused, SwitchError,
};
use crate::loading::{Loading, check_loaded};
use crate::rewrite::{Rewrite, Rewritten};
use crate::{Audit, DeadLetters, Error, Lookup};

/// The generations of a file.
#[derive(Debug)]
pub struct SqliteGenerations {
    path: PathBuf,
    options: SqliteOptions,
    /// The book as it was last read, and which file that was.
    seen: Mutex<Option<(Version, Arc<Book>)>>,
}

/// Tells a file from whichever took its place.
type Version = Option<(u64, i64, i64, u64)>;

impl SqliteGenerations {
    /// Those of the store at this path; nothing is opened.
    #[must_use]
    pub fn of(path: &Path, options: SqliteOptions) -> Self {
        Self {
            path: path.to_owned(),
            options,
            seen: Mutex::default(),
        }
    }

    /// The file of a generation.
    #[must_use]
    pub fn file(&self, number: Number) -> PathBuf {
        match number {
            FIRST => self.path.clone(),
            number => self.beside(&format!("g{number}")),
        }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        beside(&self.path, ending)
    }

    fn read(&self) -> Result<Arc<Book>, Error> {
        let path = self.beside("generations");
        let version = version(&path)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, book)) = seen.as_ref()
            && *known == version
        {
            return Ok(Arc::clone(book));
        }
        let book = match version {
            None => Book::default(),
            Some(_) => {
                let text = std::fs::read(&path).map_err(|error| away(&path, error))?;
                serde_json::from_slice(&text).map_err(|error| {
                    Error::Unusable(format!("{} cannot be read: {error}", path.display()))
                })?
            }
        };
        let book = Arc::new(book);
        *seen = Some((version, Arc::clone(&book)));
        Ok(book)
    }

    /// Puts another book in its place, in one step that lasts.
    fn write(&self, book: &Book) -> Result<(), Error> {
        let (path, new) = (self.beside("generations"), self.beside("generations.new"));
        let failed = |error| away(&path, error);
        let text = serde_json::to_vec_pretty(book).map_err(|it| Error::Broken(it.into()))?;
        let mut file = File::create(&new).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&new, &path).map_err(failed)?;
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        folder.sync_all().map_err(failed)
    }

    /// Held while the book is changed.
    fn lock(&self) -> Result<File, Error> {
        let path = self.beside("generations.lock");
        let mut open = OpenOptions::new();
        let open = open.create(true).truncate(false).write(true);
        let file = open.open(&path).map_err(|error| away(&path, error))?;
        file.lock().map_err(|error| away(&path, error))?;
        Ok(file)
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    with_ending(path, &format!(".{ending}"))
}

/// None: there is no such file.
fn version(path: &Path) -> Result<Version, Error> {
    match std::fs::metadata(path) {
        Ok(it) => Ok(Some((it.ino(), it.mtime(), it.mtime_nsec(), it.size()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(away(path, error)),
    }
}

fn away(path: &Path, error: std::io::Error) -> Error {
    Error::Away(format!("{}: {error}", path.display()).into())
}

impl Generations for SqliteGenerations {
    fn book(&self) -> Result<Arc<Book>, Error> {
        self.read()
    }

    fn change(&self, change: Change<'_>) -> Result<Result<Arc<Book>, Refused>, Error> {
        let _held = self.lock()?;
        let mut book = Book::clone(&*self.read()?);
        if let Err(refused) = change(&mut book) {
            return Ok(Err(refused));
        }
        self.write(&book)?;
        Ok(Ok(self.read()?))
    }

    fn open(&self, generation: &Generation, begin: Begin) -> Result<Box<dyn Model>, Error> {
        let options = SqliteOptions {
            generation: generation.number,
            collects: begin == Begin::Collecting,
            ..self.options
        };
        let mut model = SqliteModel::open(&self.file(generation.number), options)?;
        if let Made::Part { begin } = &generation.of {
            model.begin_at(begin)?;
        }
        Ok(Box::new(model))
    }

    fn take_post(&self, number: Number) -> Result<Option<Box<dyn Send>>, Error> {
        match Hold::take(&beside(&self.file(number), "post")) {
            Ok(hold) => Ok(Some(Box::new(hold))),
            Err(Error::Held { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lookup(&self, number: Number, readers: usize) -> Result<Arc<dyn Lookup>, Error> {
        Ok(Arc::new(SqliteLookup::open(&self.file(number), readers)?))
    }

    fn audit(&self, number: Number) -> Result<Box<dyn Audit>, Error> {
        check_loaded(number, self.loading(number)?)?;
        Ok(Box::new(SqliteAudit::open(&self.file(number))?))
    }

    fn letters(&self, number: Number) -> Result<Arc<dyn DeadLetters>, Error> {
        Ok(Arc::new(SqliteLetters::open(&self.file(number))?))
    }

    fn rewrite(&self, number: Number, of: &Rewrite<'_>, now: i64) -> Result<Rewritten, Error> {
        rewrite::rewrite(&self.file(number), of, now)
    }

    fn switch(&self, to: Number, now: i64) -> Result<(), SwitchError> {
        let _held = self.lock()?;
        let mut book = Book::clone(&*self.read()?);
        let live = book.live;
        book.switch(to, now)?;
        check_loaded(to, self.loading(to)?)?;
        // Nothing is written to the live one from here on until the pointer has moved.
        let mut between = takeover::Between::begin(&self.file(live), &self.file(to))?;
        if let Some(position) = between.lead()? {
            return Err(SwitchError::Behind(position));
        }
        between.take_marks()?;
        crash::point(crash::BEFORE_SWITCH);
        self.write(&book)?;
        crash::point(crash::AFTER_SWITCH);
        drop(between);
        Ok(())
    }

    fn loading(&self, number: Number) -> Result<Option<Loading>, Error> {
        loading_of(&self.file(number))
    }

    fn remove(&self, number: Number) -> Result<(), Error> {
        let file = self.file(number);
        remove_all(&Collected::files(&file))?;
        remove_all(&[
            beside(&file, "post.lock"),
            beside(&file, "lock"),
            with_ending(&file, "-wal"),
            with_ending(&file, "-shm"),
            file,
        ])
    }
}

/// Removes files, where they are there.
pub(super) fn remove_all(paths: &[PathBuf]) -> Result<(), Error> {
    for path in paths {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(away(path, error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
