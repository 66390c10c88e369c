//! How a command ends: 0 done, 1 failed, 2 wrong use; and the one place where an
//! error is told to whoever typed the command.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// The end of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failed,
    WrongUse,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::WrongUse => Self::from(2),
        }
    }
}

/// An error that the command line, the environment or the settings file caused.
#[derive(Debug)]
pub(crate) struct WrongUse(Box<dyn Error + Send + Sync>);

impl WrongUse {
    pub(crate) fn of(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for WrongUse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Error for WrongUse {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Tells an error with its causes, and says how the command ends by it.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    let reader_left = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe);
    if reader_left {
        // `licenseflow … | head` has what it wanted.
        return Exit::Done;
    }
    // Nothing is left to say it with if standard error is closed.
    let _ = writeln!(io::stderr(), "licenseflow: {error:#}");
    if error.is::<WrongUse>() {
        Exit::WrongUse
    } else {
        Exit::Failed
    }
}
