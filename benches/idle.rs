//! What an idle connection costs: opens many to a relay that runs, and reads the relay's resident memory.
//!
//! **Takes** the relay's address, its process id and how many connections. **Gives** a line per number of connections:
//! resident memory in KiB, and the KiB per connection.
//! **Never** sends mail. `cargo run --release -p benches --bin idle -- --help`

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use procfs::process::Process;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tls::client::{Config, Connectors, Verification};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Opens idle connections to a relay and says what each costs it.
#[derive(Debug, Parser)]
#[command(name = "idle", max_term_width = 100)]
struct Arguments {
    /// The relay's listener, on this machine. Its `connections_max` and `connections_per_client_max` must be high
    /// enough.
    #[arg(long, default_value = "127.0.0.1:2525")]
    target: SocketAddr,
    /// The relay's process id.
    #[arg(long)]
    pid: i32,
    /// Connections open at each reading.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    connections: Vec<usize>,
    /// Whether and how TLS is begun.
    #[arg(long, value_enum, default_value_t = Tls::None)]
    tls: Tls,
}

/// Whether and how TLS is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tls {
    None,
    Starttls,
    Implicit,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A client that has said EHLO.
struct Client {
    stream: Box<dyn Stream>,
}

/// Descriptors besides the connections.
const OTHERS: usize = 64;
/// Longest reply that is looked at.
const REPLY_OCTETS_MAX: usize = 4096;
/// Between two readings of a memory that has to come to rest.
const REST: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let most = arguments.connections.iter().copied().max().unwrap_or(0);
    raise(most + OTHERS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> Result<()> {
    let connectors = Connectors::open(&Config { roots: None, trusts_system: false })?;
    let relay = Process::new(arguments.pid).context("no such process")?;
    // What the first connection brings with it, such as a thread's own memory, is no connection's cost.
    drop(Client::connect(arguments, &connectors).await?);
    let before_kib = resident_kib(&relay).await?;
    let mut out = std::io::stdout();
    writeln!(out, "connections  resident_KiB  KiB_each")?;
    writeln!(out, "{:>11}  {before_kib:>12}  {:>8}", 0, "-")?;
    let mut clients = Vec::new();
    for wanted in &arguments.connections {
        while clients.len() < *wanted {
            clients.push(Client::connect(arguments, &connectors).await?);
        }
        let now_kib = resident_kib(&relay).await?;
        let each = tenths(now_kib.saturating_sub(before_kib), clients.len());
        writeln!(out, "{:>11}  {now_kib:>12}  {each:>8}", clients.len())?;
    }
    for client in &mut clients {
        client.say("NOOP", "250").await?;
    }
    writeln!(out, "each of them still gets its answer")?;
    Ok(())
}

impl Client {
    async fn connect(arguments: &Arguments, connectors: &Connectors) -> Result<Self> {
        let tcp = TcpStream::connect(arguments.target).await.context("cannot connect")?;
        tcp.set_nodelay(true)?;
        if arguments.tls == Tls::Implicit {
            let mut client = Self::shake_hands(connectors, Box::new(tcp)).await?;
            client.expect("220").await?;
            client.say("EHLO idle.example", "250").await?;
            return Ok(client);
        }
        let mut client = Self { stream: Box::new(tcp) };
        client.expect("220").await?;
        client.say("EHLO idle.example", "250").await?;
        if arguments.tls == Tls::Starttls {
            client.say("STARTTLS", "220").await?;
            client = Self::shake_hands(connectors, client.stream).await?;
            client.say("EHLO idle.example", "250").await?;
        }
        Ok(client)
    }

    async fn shake_hands(connectors: &Connectors, stream: Box<dyn Stream>) -> Result<Self> {
        let stream = connectors.connect(Verification::None, "localhost", stream).await?;
        Ok(Self { stream: Box::new(stream) })
    }

    async fn say(&mut self, line: &str, want: &str) -> Result<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        self.expect(want).await
    }

    /// Reads one reply.
    async fn expect(&mut self, want: &str) -> Result<()> {
        let mut reply = Vec::new();
        while !is_whole(&reply) {
            ensure!(reply.len() < REPLY_OCTETS_MAX, "an endless reply");
            if self.stream.read_buf(&mut reply).await? == 0 {
                bail!("closed after {:?}", String::from_utf8_lossy(&reply));
            }
        }
        ensure!(reply.starts_with(want.as_bytes()), "{:?}", String::from_utf8_lossy(&reply));
        Ok(())
    }
}

/// Whether the last line of `reply` is there.
fn is_whole(reply: &[u8]) -> bool {
    let Some(lines) = reply.strip_suffix(b"\r\n") else { return false };
    let last = lines.rsplit(|octet| *octet == b'\n').next().unwrap_or_default();
    last.get(3) == Some(&b' ')
}

/// The resident memory once it has come to rest.
async fn resident_kib(relay: &Process) -> Result<u64> {
    let read = || relay.status()?.vmrss.context("the process has ended");
    let mut last = read()?;
    loop {
        sleep(REST).await;
        let now = read()?;
        if now.abs_diff(last) <= now / 200 {
            return Ok(now);
        }
        last = now;
    }
}

/// `total` over `count`, with one decimal.
fn tenths(total: u64, count: usize) -> String {
    let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
    let tenths = total.saturating_mul(10) / count;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn raise(wanted: usize) -> Result<()> {
    let wanted = u64::try_from(wanted)?;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
            .context("too few open files allowed (ulimit -Hn)")?;
    }
    Ok(())
}
