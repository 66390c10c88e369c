//! A process that a test starts, and that never outlives the test.
//!
//! Between the two stands a small shell. It reads from a pipe that only the test holds open:
//! however the test's process ends, by abort or kill -9 too, the pipe closes and the shell kills
//! its child. Nothing of this needs the test's help at the end.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::folder::Folder;
use super::wait;

/// Starts `$@` with its output in the files `$1` and `$2`, says its process id, and ends with
/// its exit code (128 and the signal's number, where a signal ended it). Signals are as they are by
/// default: a shell cannot trap what was ignored when it began, and whoever runs the tests may ignore
/// hang-ups.
const WRAPPER: &str = r#"
exec 3<&0
out="$1"; err="$2"; shift 2
env --default-signal "$@" </dev/null >"$out" 2>"$err" 3<&- &
child=$!
( read -r _ <&3; kill -9 $child ) >/dev/null 2>&1 &
watcher=$!
echo $child
exec >&- 3<&-
wait $child
code=$?
kill -9 $watcher 2>/dev/null
exit $code
"#;

/// What can be sent to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ends it at once, as a crash of the machine would.
    Kill,
    /// Asks it to end.
    Term,
    /// As from the keyboard.
    Interrupt,
    /// The terminal went away.
    HangUp,
    /// Freezes it.
    Stop,
    /// Lets a frozen one go on.
    Continue,
}

impl Signal {
    /// As `kill` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Term => "TERM",
            Self::Interrupt => "INT",
            Self::HangUp => "HUP",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// A running process with its output in files. Killed on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    wrapper: Child,
    /// Open as long as the process may live.
    lifeline: Option<ChildStdin>,
    id: u32,
    folder: Folder,
    exit_code: Option<i32>,
}

impl Process {
    /// Starts a command (program, arguments, environment and folder are taken from it; its
    /// standard streams are not). `name` is for messages.
    ///
    /// # Errors
    /// Where the program cannot be started at all.
    pub fn start(name: &str, command: &Command) -> anyhow::Result<Self> {
        let folder = Folder::new(name)?;
        let mut shell = Command::new("sh");
        shell
            .args(["-c", WRAPPER, "sh"])
            .arg(folder.path().join("stdout"))
            .arg(folder.path().join("stderr"))
            .arg(command.get_program())
            .args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        if let Some(path) = command.get_current_dir() {
            shell.current_dir(path);
        }
        // A group of its own, so that an interrupt for the test does not reach the shell first.
        let mut wrapper = shell
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let lifeline = wrapper.stdin.take();
        let mut line = String::new();
        let said = wrapper.stdout.take().context("the shell has no output")?;
        BufReader::new(said).read_line(&mut line)?;
        let id = line
            .trim()
            .parse()
            .with_context(|| format!("the shell of {name} said no process id"))?;
        Ok(Self {
            name: name.to_owned(),
            wrapper,
            lifeline,
            id,
            folder,
            exit_code: None,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// Where it is gone already.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        ensure!(self.is_running()?, "{} has ended already", self.name);
        let status = Command::new("kill")
            .arg(format!("-{}", signal.name()))
            .arg(self.id.to_string())
            .stderr(Stdio::null())
            .status()?;
        ensure!(
            status.success(),
            "cannot send {} to {}",
            signal.name(),
            self.name
        );
        Ok(())
    }

    /// kill -9, and waits until it is gone.
    ///
    /// # Errors
    /// Where it was gone already.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::Kill)?;
        self.wait(Duration::from_secs(10)).map(|_| ())
    }

    /// Waits for its end; its exit code, or 128 and the number of the signal that ended it.
    ///
    /// # Errors
    /// Where it has not ended before the deadline.
    pub fn wait(&mut self, deadline: Duration) -> anyhow::Result<i32> {
        let what = format!("the end of {}", self.name);
        wait::wait_for(&what, deadline, || self.ended().transpose())?
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.ended()?.is_none())
    }

    fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        if self.exit_code.is_none() {
            self.exit_code = self
                .wrapper
                .try_wait()?
                .map(|status| status.code().unwrap_or(-1));
        }
        Ok(self.exit_code)
    }

    /// What it wrote to its standard output so far.
    pub fn stdout(&self) -> String {
        self.written("stdout")
    }

    /// What it wrote to its standard error so far.
    pub fn stderr(&self) -> String {
        self.written("stderr")
    }

    /// The folder of the files `stdout` and `stderr`.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }

    fn written(&self, stream: &str) -> String {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(self.folder.path().join(stream)) {
            // What cannot be read now was not written for a test to see.
            let _ = file.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The most memory that it ever held, in bytes (`VmHWM`).
    ///
    /// # Errors
    /// Where it has ended.
    pub fn peak_memory_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id))
            .with_context(|| format!("{} has ended", self.name))?;
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .context("no VmHWM")?;
        Ok(kilobytes.trim().parse::<u64>()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The shell ends once its child has; nothing is left to do where that fails.
        let _ = self.wrapper.wait();
        if std::thread::panicking() {
            self.tell();
        }
    }
}

impl Process {
    /// The last words of a process whose test is failing.
    #[allow(clippy::print_stderr, reason = "a failing test shows its processes")]
    fn tell(&self) {
        for stream in ["stdout", "stderr"] {
            let written = self.written(stream);
            let lines: Vec<&str> = written.lines().collect();
            let last = &lines[lines.len().saturating_sub(40)..];
            eprintln!("--- {} of {}:\n{}", stream, self.name, last.join("\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("WORD", "hello");
        Process::start("shell", &command).unwrap()
    }

    #[test]
    fn output_and_exit_code_are_the_childs() {
        let mut process = shell("echo $WORD; echo oh >&2; exit 3");
        assert_eq!(process.wait(Duration::from_secs(10)).unwrap(), 3);
        assert_eq!(process.stdout(), "hello\n");
        assert_eq!(process.stderr(), "oh\n");
        assert!(process.signal(Signal::Term).is_err());
    }

    #[test]
    fn a_frozen_process_lives_and_a_killed_one_does_not() {
        let mut process = shell("exec sleep 100");
        process.signal(Signal::Stop).unwrap();
        assert!(process.is_running().unwrap());
        assert!(process.peak_memory_bytes().unwrap() > 0);
        process.signal(Signal::Continue).unwrap();
        process.kill().unwrap();
        assert_eq!(process.wait(Duration::from_secs(1)).unwrap(), 128 + 9);
    }

    #[test]
    fn dropping_it_ends_it() {
        let process = shell("exec sleep 100");
        let folder = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(folder.exists());
        drop(process);
        wait::wait_until("its end", Duration::from_secs(10), || !folder.exists()).unwrap();
    }
}
