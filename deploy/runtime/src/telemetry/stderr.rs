//! Standard error for log lines. Whoever says one does not wait until the system has it: a thread of this
//! module's own writes what has gathered, many lines with one call. A warning or an error is written at
//! once, with all that was said before it, so that what went wrong is there whatever ends the process.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines gather. Nobody reads sooner.
const GATHERING: Duration = Duration::from_millis(2);

/// Where standard error takes no more, as a pipe that nobody reads, lines wait up to these bytes; then
/// whoever says one waits too.
const BYTES_MAX: usize = 1024 * 1024;

/// The writer of the subscriber.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    gathered: Mutex<Gathered>,
    is_more: Condvar,
    /// Held by whoever writes, so that lines stay in their order.
    sink: Mutex<Sink>,
}

struct Sink {
    writing: Vec<u8>,
    to: Box<dyn Write + Send>,
}

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    is_over: bool,
}

/// Log lines of the whole process. Dropped, it has written all that was said.
pub struct Logs {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
}

impl Logs {
    pub(super) fn start() -> io::Result<Self> {
        Self::start_to(Box::new(io::stderr()))
    }

    fn start_to(to: Box<dyn Write + Send>) -> io::Result<Self> {
        let writing = Vec::new();
        let lines = Lines(Arc::new(Shared {
            gathered: Mutex::default(),
            is_more: Condvar::new(),
            sink: Mutex::new(Sink { writing, to }),
        }));
        let shared = Arc::clone(&lines.0);
        let thread = std::thread::Builder::new().name("logs".to_owned());
        let thread = thread.spawn(move || shared.write_until_over())?;
        Ok(Self {
            lines,
            thread: Some(thread),
        })
    }

    pub(super) fn lines(&self) -> Lines {
        self.lines.clone()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        lock(&self.lines.0.gathered).is_over = true;
        self.lines.0.is_more.notify_one();
        // It ends by itself; had it panicked, there were nobody left to tell.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn write_until_over(&self) {
        let mut is_over = false;
        while !is_over {
            let is_quiet = |it: &mut Gathered| it.bytes.is_empty() && !it.is_over;
            let woken = self.is_more.wait_while(lock(&self.gathered), is_quiet);
            is_over = woken.unwrap_or_else(PoisonError::into_inner).is_over;
            if !is_over {
                std::thread::sleep(GATHERING);
            }
            self.write();
        }
    }

    fn write(&self) {
        let mut sink = lock(&self.sink);
        let Sink { writing, to } = &mut *sink;
        std::mem::swap(writing, &mut lock(&self.gathered).bytes);
        // Where standard error is gone, there is nobody to tell.
        let _ = to.write_all(writing);
        writing.clear();
    }

    fn say(&self, line: &[u8], is_urgent: bool) {
        let (is_first, is_much) = {
            let mut gathered = lock(&self.gathered);
            let is_first = gathered.bytes.is_empty();
            gathered.bytes.extend_from_slice(line);
            // With the thread gone, whoever speaks writes.
            (
                is_first,
                gathered.is_over || gathered.bytes.len() > BYTES_MAX,
            )
        };
        if is_urgent || is_much {
            self.write();
        } else if is_first {
            self.is_more.notify_one();
        }
    }
}

/// No change can end in the middle.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One line.
pub(super) struct Line<'l> {
    shared: &'l Shared,
    is_urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.shared.say(bytes, self.is_urgent);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'l> MakeWriter<'l> for Lines {
    type Writer = Line<'l>;

    fn make_writer(&'l self) -> Line<'l> {
        Line {
            shared: &self.0,
            is_urgent: true,
        }
    }

    fn make_writer_for(&'l self, about: &Metadata<'_>) -> Line<'l> {
        Line {
            shared: &self.0,
            is_urgent: *about.level() <= Level::WARN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use tracing::subscriber::with_default;
    use tracing_subscriber::fmt;

    struct Told(Sender<String>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .send(String::from_utf8_lossy(bytes).into_owned())
                .unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn said(with: impl FnOnce(&Receiver<String>)) -> String {
        let (told, lines) = channel();
        let logs = Logs::start_to(Box::new(Told(told))).unwrap();
        let subscriber = fmt().with_ansi(false).with_writer(logs.lines()).finish();
        with_default(subscriber, || with(&lines));
        drop(logs);
        lines.try_iter().collect()
    }

    #[test]
    fn what_was_said_is_written_by_the_end_in_its_order() {
        let all = said(|_| (0..1000).for_each(|number| tracing::info!(number, "a line")));
        let numbers = all.lines().map(|line| line.rsplit_once('=').unwrap().1);
        assert!(numbers.eq((0..1000).map(|number| number.to_string())));
    }

    #[test]
    fn a_warning_is_written_at_once_and_what_was_said_before_comes_before_it() {
        said(|lines| {
            tracing::info!("first");
            tracing::warn!("second");
            let written: String = lines.try_iter().collect();
            let (first, second) = written.split_once('\n').unwrap();
            assert!(first.ends_with("first"), "{written}");
            assert!(second.trim_end().ends_with("second"), "{written}");
        });
    }
}
