//! Foreign programs, started in folders of their own on ports that are free (tests/packages.txt).
#![expect(
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop here, and say why"
)]

pub mod opendkim;
pub mod rspamd;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// A running program; dropping it ends it and what it started, and it ends when the tests are killed.
#[derive(Debug)]
pub struct Daemon {
    /// Where it listens.
    pub address: SocketAddr,
    folder: TempDir,
    child: Child,
}

/// Long enough for anything that works, on a busy machine.
const TRIES: usize = 4500;
const STEP: Duration = Duration::from_millis(10);

impl Daemon {
    /// Starts the program called `name` and waits until it listens; `prepare` fills its folder for an address, and gives
    /// the command.
    pub fn start(name: &str, prepare: impl Fn(&Path, SocketAddr) -> Vec<String>) -> Self {
        // No port can be kept for a foreign program: another one may take it first, so try again.
        let started = (0..5).find_map(|_| Self::try_start(name, &prepare));
        started.unwrap_or_else(|| {
            panic!("no {name} could be started (tests/packages.txt; it needs root)")
        })
    }

    fn try_start(name: &str, prepare: impl Fn(&Path, SocketAddr) -> Vec<String>) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("chasqui-{name}-")).tempdir().ok()?;
        let address = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?;
        let command = prepare(folder.path(), address);
        let log = File::create(folder.path().join("log")).ok()?;
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "KILL", "--"]).args(&command).process_group(0);
        tied.stdin(Stdio::null()).stdout(log.try_clone().ok()?).stderr(log);
        let child = tied.spawn().unwrap_or_else(|error| panic!("setpriv: {error}"));
        let mut daemon = Self { address, folder, child };
        for _ in 0..TRIES {
            if TcpStream::connect(address).is_ok() {
                return Some(daemon);
            }
            if daemon.child.try_wait().ok()?.is_some() {
                daemon.show_log();
                return None;
            }
            thread::sleep(STEP);
        }
        None
    }

    fn show_log(&self) {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        eprintln!("--- what the daemon said ---\n{log}\n---");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The whole group: rspamd has workers. `kill` as a program needs no unsafe.
        let mut kill = Command::new("kill");
        kill.args(["-KILL", "--", &format!("-{}", self.child.id())]).stderr(Stdio::null());
        kill.status().ok();
        self.child.wait().ok();
        if thread::panicking() {
            self.show_log();
        }
    }
}
