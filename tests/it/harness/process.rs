//! Child processes that never outlive their test.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::harness::wait::{PATIENCE, within};

/// A running program with a process group of its own; dropping it kills the whole group.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command` with both outputs appended to `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log).expect("log file");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("log file")).stderr(file);
        command.process_group(0);
        let name = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { child, name }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the program itself, not to its group.
    pub(crate) fn signal(&self, signal: &str) {
        signal_to(&self.id().to_string(), signal);
    }

    /// SIGKILL to the whole group, and the wait for the end of the program.
    pub(crate) fn kill(&mut self) {
        signal_to(&format!("-{}", self.id()), "KILL");
        self.child.wait().expect("wait for a killed child");
    }

    /// The exit status, if the program has ended.
    pub(crate) fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for a child")
    }

    /// Waits for the program's own end.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let status = within(limit, || self.status());
        status.unwrap_or_else(|| panic!("still running after {limit:?}: {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        } else {
            // The program is gone; what it started may not be.
            signal_to(&format!("-{}", self.id()), "KILL");
        }
    }
}

fn signal_to(target: &str, signal: &str) {
    // `kill` as a program: no unsafe and no extra crate for one call.
    let mut command = Command::new("kill");
    command.args([&format!("-{signal}"), "--", target]).stderr(Stdio::null());
    command.status().expect("the kill program");
}

/// A command whose process dies with the test's thread even if the tests themselves are killed.
pub(crate) fn tied(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The standard output of a program that must succeed.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        let Self { status, stdout, stderr } = self;
        assert!(status.success(), "{status}\nstdout: {stdout}\nstderr: {stderr}");
        stdout
    }
}

/// Runs a program to its end with `input` as its standard input, at most for [`PATIENCE`].
#[track_caller]
pub(crate) fn run(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let name = format!("{command:?}");
    let mut child = command.spawn().unwrap_or_else(|error| {
        panic!("{name}: {error} (tests/packages.txt lists what the tests need)")
    });
    let stdout = drain(child.stdout.take().expect("piped"));
    let stderr = drain(child.stderr.take().expect("piped"));
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    // A program may end without reading its input; that is its own affair.
    let feeder = thread::spawn(move || stdin.write_all(&input).is_ok());
    let mut process = Process { child, name };
    let status = process.wait(PATIENCE);
    feeder.join().expect("feeder");
    Output {
        status,
        stdout: stdout.join().expect("reader"),
        stderr: stderr.join().expect("reader"),
    }
}

fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut octets = Vec::new();
        pipe.read_to_end(&mut octets).expect("a pipe that can be read");
        String::from_utf8_lossy(&octets).into_owned()
    })
}
