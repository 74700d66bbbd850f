//! Real filters, started in folders of their own on ports that are free.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A running program; dropping it ends it and what it started, and it ends when the tests are killed.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    folder: TempDir,
    child: Child,
}

/// Fills a program's folder for an address, and gives the command.
type Prepare = fn(&Path, SocketAddr) -> Vec<String>;

/// Long enough for anything that works, on a busy machine.
const TRIES: usize = 4500;
const STEP: Duration = Duration::from_millis(10);

impl Daemon {
    pub(crate) async fn start(name: &str, prepare: Prepare) -> Self {
        // No port can be kept for a foreign program: another one may take it first, so try again.
        for _ in 0..5 {
            if let Some(daemon) = Self::try_start(name, prepare).await {
                return daemon;
            }
        }
        panic!("no {name} could be started (tests/packages.txt; it needs root)")
    }

    async fn try_start(name: &str, prepare: Prepare) -> Option<Self> {
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
            if TcpStream::connect(address).await.is_ok() {
                return Some(daemon);
            }
            if daemon.child.try_wait().ok()?.is_some() {
                daemon.show_log();
                return None;
            }
            tokio::time::sleep(STEP).await;
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
        if let Some(id) = self.child.id() {
            let mut kill = std::process::Command::new("kill");
            kill.args(["-KILL", "--", &format!("-{id}")]).stderr(Stdio::null()).status().ok();
        }
        if std::thread::panicking() {
            self.show_log();
        }
    }
}
