//! One start of the relay, watched from outside.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::Value;
use units::Clock;

/// What one start shows. Times in milliseconds since the start, memory in KiB.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    /// Until a client was greeted.
    pub(crate) first_220_ms: f64,
    /// Until a message was accepted.
    pub(crate) first_250_ms: f64,
    /// Until every message was in the queue again.
    pub(crate) whole_ms: f64,
    /// Resident memory when it was ready.
    pub(crate) rss_ready_kib: u64,
    /// Resident memory when the queue was whole.
    pub(crate) rss_whole_kib: u64,
    /// The most it had until then.
    pub(crate) peak_kib: u64,
    /// Resident memory some time later.
    pub(crate) rss_kib: u64,
    /// Processor time until the queue was whole.
    pub(crate) processor_ms: u64,
}

/// How long is waited for anything.
const PATIENCE: Duration = Duration::from_mins(10);
/// The event of the log that says that the queue is whole.
const WHOLE: &str = "spool recovered";

/// Starts the relay on `spool`, measures, and stops it.
pub(crate) fn measure(
    program: &Path,
    spool: &Path,
    messages: u64,
    rest: Duration,
) -> Result<Measured> {
    let folder = spool.parent().context("the spool has no folder")?;
    let (config, ready) = (folder.join("relay.toml"), folder.join("ready.json"));
    std::fs::write(&config, settings(spool, &folder.join("admin.sock")))?;
    let _was_there = std::fs::remove_file(&ready).is_ok();
    let clock = Clock::system();
    let began = clock.now();
    let child = Command::new(program)
        .args(["serve", "--config"])
        .arg(&config)
        .arg("--ready-file")
        .arg(&ready)
        .env_remove("MALLOC_CONF")
        .env_remove("GLIBC_TUNABLES")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let mut relay = Relay { child, began, clock };
    let whole = relay.watch_log()?;
    let listener = relay.listener(&ready)?;
    let rss_ready_kib = relay.memory()?.0;
    let (first_220_ms, first_250_ms) = relay.send_one(listener)?;
    let line = whole.recv_timeout(PATIENCE).context("the queue was not whole in time")?;
    let whole_ms = relay.millis();
    let line: Value = serde_json::from_str(&line)?;
    let recovered = find(&line, "messages").context("the log gives no count")?;
    // Each start leaves a message of its own.
    ensure!(recovered >= messages, "{recovered} messages of {messages} are in the queue");
    let (rss_whole_kib, peak_kib) = relay.memory()?;
    let processor_ms = relay.processor_ms()?;
    std::thread::sleep(rest);
    let rss_kib = relay.memory()?.0;
    relay.stop()?;
    Ok(Measured {
        first_220_ms,
        first_250_ms,
        whole_ms,
        rss_ready_kib,
        rss_whole_kib,
        peak_kib,
        rss_kib,
        processor_ms,
    })
}

/// A number of an event, wherever it stands in it.
fn find(event: &Value, name: &str) -> Option<u64> {
    event.get(name).and_then(Value::as_u64).or_else(|| {
        let parts = event.as_object()?.values();
        parts.filter(|part| part.is_object()).find_map(|part| find(part, name))
    })
}

fn settings(spool: &Path, socket: &Path) -> String {
    let mut text = String::from("hostname = \"relay.example\"\n");
    let socket = if socket.is_absolute() { socket.to_owned() } else { absolute(socket) };
    // A string cannot fail to take more.
    let _is_written = write!(
        text,
        r#"
[log]
format = "json"
[spool]
path = "{}"
messages_max = 100000000
octets_max = "1024GiB"
free_octets_min = "512MiB"
[admin]
socket = "{}"
listen = "127.0.0.1:0"
[[listener]]
name = "smtp"
address = "127.0.0.1:0"
[[inbound]]
name = "applications"
sender_ip_addresses = ["127.0.0.0/8"]
[[outbound]]
name = "internet"
[resolver]
servers = ["127.0.0.1:9"]
"#,
        absolute(spool).display(),
        socket.display()
    )
    .is_ok();
    text
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A relay that runs; killed when dropped.
struct Relay {
    child: Child,
    began: Instant,
    clock: Clock,
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _is_killed = self.child.kill().is_ok();
        let _is_over = self.child.wait().is_ok();
    }
}

impl Relay {
    #[expect(clippy::cast_precision_loss, reason = "less than 2^52")]
    fn millis(&self) -> f64 {
        (self.clock.now() - self.began).as_micros() as f64 / 1000.0
    }

    fn process(&self) -> Result<Process> {
        Ok(Process::new(i32::try_from(self.child.id())?)?)
    }

    /// Resident memory now and the most so far, in KiB.
    fn memory(&self) -> Result<(u64, u64)> {
        let status = self.process()?.status()?;
        let memory = status.vmrss.zip(status.vmhwm);
        memory.context("the system does not tell the relay's memory")
    }

    fn processor_ms(&self) -> Result<u64> {
        let stat = self.process()?.stat()?;
        Ok((stat.utime + stat.stime) * 1000 / procfs::ticks_per_second())
    }

    /// Reads the log to its end; what comes back receives the line that says that the queue is whole.
    fn watch_log(&mut self) -> Result<mpsc::Receiver<String>> {
        let (sender, whole) = mpsc::sync_channel(1);
        let out = self.child.stdout.take().context("no output")?;
        let errors = self.child.stderr.take().context("no output")?;
        let watch = |lines: Box<dyn BufRead + Send>, sender: mpsc::SyncSender<String>| {
            std::thread::spawn(move || {
                for line in lines.lines().map_while(Result::ok) {
                    let is_bad = line.contains("\"ERROR\"") || !line.starts_with('{');
                    if is_bad {
                        let _is_written = writeln!(std::io::stderr(), "{line}").is_ok();
                    }
                    if line.contains(WHOLE) && sender.send(line).is_err() {
                        return;
                    }
                }
            });
        };
        watch(Box::new(BufReader::new(out)), sender.clone());
        watch(Box::new(BufReader::new(errors)), sender);
        Ok(whole)
    }

    fn listener(&mut self, ready: &Path) -> Result<SocketAddr> {
        while self.clock.now() - self.began < PATIENCE {
            if let Ok(text) = std::fs::read_to_string(ready) {
                let ready: Value = serde_json::from_str(&text)?;
                let address = ready.pointer("/listeners/0/address").and_then(Value::as_str);
                return Ok(address.context("no listener")?.parse()?);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the relay ended: {status}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the relay was not ready in time")
    }

    /// Sends a message; returns when the greeting and when the 250 came.
    fn send_one(&self, listener: SocketAddr) -> Result<(f64, f64)> {
        let mut stream = TcpStream::connect(listener)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut replies = BufReader::new(stream.try_clone()?);
        expect(&mut replies, "220")?;
        let greeted = self.millis();
        let commands = [
            ("HELO client.example", "250"),
            ("MAIL FROM:<a@sender.example>", "250"),
            ("RCPT TO:<b@probe.example>", "250"),
            ("DATA", "354"),
            ("Subject: scale\r\n\r\nhello\r\n.", "250"),
        ];
        for (command, reply) in commands {
            stream.write_all(format!("{command}\r\n").as_bytes())?;
            expect(&mut replies, reply)?;
        }
        Ok((greeted, self.millis()))
    }

    fn stop(mut self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the relay ended: {status}");
        Ok(())
    }
}

fn expect(replies: &mut impl BufRead, code: &str) -> Result<()> {
    let mut line = String::new();
    replies.read_line(&mut line)?;
    ensure!(line.starts_with(code), "{code} was awaited, {line:?} came");
    Ok(())
}
