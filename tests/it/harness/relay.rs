//! The relay under test: the real program, started, killed and asked as an operator would.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::http::{self, Answer};
use crate::harness::process::{Output, Process, run, tied};
use crate::harness::settings::Settings;
use crate::harness::smtp::Smtp;
use crate::harness::wait::{PATIENCE, wait_for, within};

/// Where cargo has put the program for these tests.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_chasqui");

/// How a relay is started.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    /// Environment variables of the program.
    pub(crate) environment: Vec<(String, String)>,
    /// Words before the program, such as `nsenter …`.
    pub(crate) wrapper: Vec<String>,
}

impl From<Settings> for Plan {
    fn from(settings: Settings) -> Self {
        Self { settings, environment: Vec::new(), wrapper: Vec::new() }
    }
}

/// One relay with a folder of its own. Dropping it kills the program and removes the folder.
#[derive(Debug)]
pub(crate) struct Relay {
    folder: TempDir,
    plan: Plan,
    process: Option<Process>,
    ready: Value,
}

impl Relay {
    /// Starts a relay that sends everything to `next_hop`.
    pub(crate) fn towards(next_hop: SocketAddr) -> Self {
        Self::start(Settings::towards(next_hop))
    }

    pub(crate) fn start(plan: impl Into<Plan>) -> Self {
        let mut relay = Self::stopped(plan);
        relay.restart();
        relay
    }

    /// A relay with its folder and settings, not yet running.
    pub(crate) fn stopped(plan: impl Into<Plan>) -> Self {
        let folder = tempfile::Builder::new().prefix("chasqui-it-").tempdir().expect("a folder");
        Self { folder, plan: plan.into(), process: None, ready: Value::Null }
    }

    /// The settings of the next start.
    pub(crate) fn settings(&self) -> &Settings {
        &self.plan.settings
    }

    /// Other settings for the next start.
    pub(crate) fn set_settings(&mut self, settings: Settings) {
        self.plan.settings = settings;
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn spool_folder(&self) -> PathBuf {
        self.folder().join("spool")
    }

    pub(crate) fn settings_path(&self) -> PathBuf {
        self.folder().join("chasqui.toml")
    }

    /// Starts the program in the same folder and waits until it takes mail.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    /// Starts the program without waiting for anything.
    pub(crate) fn spawn(&mut self) {
        assert!(self.process.is_none(), "the relay is running already");
        fs::remove_file(self.ready_path()).ok();
        fs::write(self.settings_path(), self.plan.settings.text(self.folder())).expect("settings");
        let mut words = self.plan.wrapper.iter().map(String::as_str).chain([PROGRAM]);
        let mut command = tied(words.next().expect("a program"));
        command.args(words).arg("serve");
        command.arg("--config").arg(self.settings_path());
        command.arg("--ready-file").arg(self.ready_path());
        command.envs(self.plan.environment.iter().cloned()).current_dir(self.folder());
        self.process = Some(Process::start(command, &self.log_path()));
    }

    /// Waits for the ready file of a program that [`Self::spawn`] started.
    #[track_caller]
    pub(crate) fn wait_ready(&mut self) {
        let path = self.ready_path();
        let process = self.process.as_mut().expect("a started relay");
        let ready = within(PATIENCE, || {
            if let Some(status) = process.status() {
                return Some(Err(status));
            }
            fs::read(&path).ok().map(|octets| Ok(serde_json::from_slice(&octets).expect("JSON")))
        });
        match ready {
            Some(Ok(ready)) => self.ready = ready,
            Some(Err(status)) => panic!("the relay ended with {status}\n{}", self.log_tail()),
            None => panic!("the relay was not ready in {PATIENCE:?}\n{}", self.log_tail()),
        }
    }

    fn ready_path(&self) -> PathBuf {
        self.folder().join("ready.json")
    }

    fn log_path(&self) -> PathBuf {
        self.folder().join("relay.log")
    }

    /// Everything that the program has written to its outputs.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// The log, once it contains this: lines are written some at a time.
    pub(crate) fn log_with(&self, words: &str) -> String {
        wait_for(words, || Some(self.log()).filter(|log| log.contains(words)))
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// The first listener.
    pub(crate) fn smtp(&self) -> SocketAddr {
        self.listener("smtp")
    }

    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        let listeners = self.ready["listeners"].as_array().expect("listeners in the ready file");
        let listener = listeners.iter().find(|listener| listener["name"] == name);
        let address = listener.and_then(|listener| listener["address"].as_str());
        address.expect("the listener's address").parse().expect("an address")
    }

    /// The read-only HTTP listener.
    pub(crate) fn http(&self) -> SocketAddr {
        let address = self.ready["admin"]["http"].as_str().expect("an HTTP address");
        address.parse().expect("an address")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        http::request(self.http(), "GET", path)
    }

    /// The sum of all series of a family.
    pub(crate) fn metric_sum(&self, family: &str) -> f64 {
        let text = self.get("/metrics").body;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(family)?;
            let rest = if rest.starts_with('{') { rest.rsplit_once('}')?.1 } else { rest };
            rest.strip_prefix(' ')?.trim().parse::<f64>().ok()
        });
        values.sum()
    }

    /// One series, named with its labels as `/metrics` shows it; it must be there.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").body;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series}:\n{text}"))
    }

    /// One series must show exactly this count.
    #[track_caller]
    pub(crate) fn assert_metric(&self, series: &str, count: f64) {
        let shown = self.metric(series);
        assert!((shown - count).abs() < 0.5, "{series}: {shown} instead of {count}");
    }

    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().expect("a running relay")
    }

    /// An open session with the first listener.
    #[track_caller]
    pub(crate) fn session(&self) -> Smtp {
        Smtp::open(self.smtp())
    }

    /// One message in a session of its own; it must be taken.
    #[track_caller]
    pub(crate) fn submit(&self, sender: &str, recipients: &[&str], content: &[u8]) {
        let mut session = self.session();
        let reply = session.deliver(sender, recipients, content);
        assert_eq!(reply.code, 250, "{reply:?}\n{}", self.log_tail());
        session.quit();
    }

    /// A client command of the program against this relay.
    pub(crate) fn cli(&self, words: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(words).arg("--config").arg(self.settings_path());
        run(command, b"")
    }

    /// As [`Self::cli`] with `--json`; it must succeed.
    #[track_caller]
    pub(crate) fn cli_json(&self, words: &[&str]) -> Value {
        let words = [words, &["--json"]].concat();
        let text = self.cli(&words).succeeded();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}\n{text}"))
    }

    /// What `route` or `explain-connection` say; their exit code says whether something is refused.
    #[track_caller]
    pub(crate) fn asked(&self, words: &[&str]) -> Value {
        let output = self.cli(&[words, &["--json"]].concat());
        let said: Value = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("{words:?}: {error}\n{output:?}"));
        let mut ways = said["recipients"].as_array().into_iter().flatten();
        let is_refused = said["refusal"].is_string() || ways.any(|it| it["refusal"].is_string());
        assert_eq!(output.status.code(), Some(i32::from(is_refused)), "{words:?}: {output:?}");
        said
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM and the wait for the end.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a running relay");
        process.signal("TERM");
        process.wait(PATIENCE)
    }

    /// The end of a program that ends by itself.
    #[track_caller]
    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        self.process.take().expect("a started relay").wait(PATIENCE)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.status().is_none())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- end of the relay's log ---\n{}\n---", self.log_tail());
        }
    }
}
