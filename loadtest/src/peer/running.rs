//! A relay that this program has started.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use units::Clock;

use crate::load::SourceTls;
use crate::peer::Chosen;
use crate::peer::guard::Guard;
use crate::peer::render::{Values, render};
use crate::peer::values::{Place, values};
use crate::scenario::Scenario;
use crate::sink::Route;
use crate::stop::Stop;
use crate::tls::Pair;

/// Stopped, and its folder removed, when it is dropped, and also when this program is killed.
#[derive(Debug)]
pub(crate) struct Running {
    address: SocketAddr,
    folder: PathBuf,
    pid: i32,
    child: Child,
    guard: Guard,
}

/// What a relay is started with.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// Where its own folder is made.
    pub(crate) folder: &'a Path,
    /// Whether that stays when all is over.
    pub(crate) keeps_folder: bool,
    pub(crate) sink: SocketAddr,
    pub(crate) routes: &'a [Route],
    pub(crate) clock: &'a Clock,
    pub(crate) stop: &'a Stop,
}

/// How long a relay may take until it greets.
const READY_WAIT_MAX: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(20);
/// How often a start is tried: another program may take the port that was free.
const TRIES: u32 = 2;

/// What a relay's sessions begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    WithGreeting,
    /// It is ready as soon as it can be connected to.
    WithTls,
}

impl Begins {
    fn of(scenario: &Scenario) -> Self {
        match scenario.load.tls {
            SourceTls::Implicit => Self::WithTls,
            SourceTls::Off | SourceTls::Starttls => Self::WithGreeting,
        }
    }
}

const LOG: &str = "relay.log";

impl Running {
    /// Starts `chosen` as `scenario` needs it and waits until it greets.
    pub(crate) fn start(
        chosen: &Chosen,
        scenario: &Scenario,
        around: &Surroundings<'_>,
    ) -> anyhow::Result<Self> {
        if let Some(obstacle) = chosen.obstacle() {
            bail!(obstacle);
        }
        let mut tries = TRIES;
        loop {
            match Self::try_start(chosen, scenario, around) {
                Ok(running) => return Ok(running),
                Err(error) if tries <= 1 || around.stop.is_asked() => return Err(error),
                Err(_) => tries -= 1,
            }
        }
    }

    fn try_start(
        chosen: &Chosen,
        scenario: &Scenario,
        around: &Surroundings<'_>,
    ) -> anyhow::Result<Self> {
        let folder = make_folder(around.folder)?;
        let removed = RemovedUnlessTaken(Some(folder.clone()));
        let place = Place {
            listen: free_address()?,
            sink: around.sink,
            routes: around.routes,
            folder: &folder,
        };
        let values = values(chosen, scenario, &place)?;
        let name = &chosen.peer.name;
        let command = |text: &str| render(text, &values, &format!("a command of {name}"));
        write_certificate(&folder)?;
        write_files(chosen, &values, &folder)?;
        run(&command(&chosen.peer.setup)?, &folder)
            .with_context(|| format!("{name} cannot be set up"))?;
        let (start, stop) = (command(&chosen.peer.start)?, command(&chosen.peer.stop)?);
        let failed = || format!("{name} cannot be started");
        let mut child = spawn(&start, &folder).with_context(failed)?;
        let removes = (!around.keeps_folder).then_some(folder.as_path());
        let guard = Guard::over(child.id(), &stop, removes)?;
        let go = child.stdin.take().map(|mut input| input.write_all(b"go\n"));
        go.transpose().with_context(failed)?;
        removed.taken();
        let pid = i32::try_from(child.id()).context("the process number is too large")?;
        let mut running = Self { address: place.listen, folder, pid, child, guard };
        let begins = Begins::of(scenario);
        if let Err(error) = running.wait_until_ready(begins, around) {
            return Err(error.context(format!("{name} does not start\n{}", running.last_words())));
        }
        if !chosen.peer.pid_file.is_empty() {
            running.pid = read_pid(&command(&chosen.peer.pid_file)?)?;
        }
        Ok(running)
    }

    fn wait_until_ready(
        &mut self,
        begins: Begins,
        around: &Surroundings<'_>,
    ) -> anyhow::Result<()> {
        let started_at = around.clock.now();
        loop {
            if is_ready(self.address, begins) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("its process ended ({status})");
            }
            ensure!(!around.stop.is_asked(), "interrupted");
            let waited = around.clock.now().duration_since(started_at);
            ensure!(waited < READY_WAIT_MAX, "it does not greet at {} within 60 s", self.address);
            std::thread::sleep(PAUSE);
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of its main process.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The last lines that it wrote to its standard output and error.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(self.folder.join(LOG)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.guard.act();
        // Both must be waited for, or the guard would see the relay's process for as long as nobody has.
        loop {
            let child_ended = !matches!(self.child.try_wait(), Ok(None));
            match (self.guard.is_done(), child_ended) {
                (true, true) => return,
                // The guard has not managed it.
                (true, false) => self.child.kill().unwrap_or_default(),
                (false, _) => {}
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Removes a folder for which no guard stands yet.
struct RemovedUnlessTaken(Option<PathBuf>);

impl RemovedUnlessTaken {
    fn taken(mut self) {
        self.0 = None;
    }
}

impl Drop for RemovedUnlessTaken {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            // What cannot be removed is left; the error that brought us here matters more.
            fs::remove_dir_all(folder).ok();
        }
    }
}

fn make_folder(parent: &Path) -> anyhow::Result<PathBuf> {
    let made = tempfile::Builder::new().prefix("chasqui-loadtest-").tempdir_in(parent);
    let folder = made
        .with_context(|| {
            format!("no folder can be made in {}: name another with --folder", parent.display())
        })?
        .keep();
    // Relays run parts of themselves as other users.
    fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
    Ok(folder)
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(listener.local_addr()?)
}

/// For a relay that is to speak TLS.
fn write_certificate(folder: &Path) -> anyhow::Result<()> {
    let pair = Pair::self_signed("relay.example.com")?;
    fs::write(folder.join("certificate.pem"), pair.certificate)?;
    Ok(fs::write(folder.join("key.pem"), pair.key)?)
}

fn write_files(chosen: &Chosen, values: &Values, folder: &Path) -> anyhow::Result<()> {
    for file in &chosen.peer.files {
        let text = render(&file.text, values, &format!("{} of {}", file.path, chosen.peer.name))?;
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

fn shell(command: &str, folder: &Path) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).current_dir(folder).stdin(Stdio::null());
    // Settings of allocators that a build may have left in the environment are none of the relay's.
    shell.env_remove("MALLOC_CONF").env_remove("GLIBC_TUNABLES");
    shell
}

/// Runs a command to its end.
fn run(command: &str, folder: &Path) -> anyhow::Result<()> {
    if command.is_empty() {
        return Ok(());
    }
    let output = shell(command, folder).output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "`{command}` failed: {}",
        String::from_utf8_lossy(&said).trim()
    );
    Ok(())
}

/// Runs the command once a line is written to the child's input; if none comes, nothing is started.
fn spawn(command: &str, folder: &Path) -> anyhow::Result<Child> {
    let log = fs::File::create(folder.join(LOG))?;
    let mut shell = shell("read -r go || exit 1; exec /bin/sh -c \"$1\" </dev/null", folder);
    shell.arg("start").arg(command).stdin(Stdio::piped());
    // A group of its own, so that all of it can be stopped.
    shell.process_group(0).stdout(log.try_clone()?).stderr(log);
    Ok(shell.spawn()?)
}

fn is_ready(address: SocketAddr, begins: Begins) -> bool {
    let wait = Duration::from_secs(5);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, wait) else { return false };
    if begins == Begins::WithTls {
        return true;
    }
    let mut code = [0; 3];
    let is_bounded = stream.set_read_timeout(Some(wait)).is_ok();
    is_bounded && stream.read_exact(&mut code).is_ok() && code == *b"220"
}

fn read_pid(path: &str) -> anyhow::Result<i32> {
    let text = fs::read_to_string(path).with_context(|| format!("no process number in {path}"))?;
    text.trim().parse().with_context(|| format!("{path} holds no process number"))
}
