//! The source: sends numbered messages over many connections, each as fast as the relay answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use tokio::net::TcpStream;
use units::Clock;

use crate::load::Load;
use crate::timeline::Watch;
use crate::wire::Wire;

/// What became of the messages that were sent.
pub(crate) struct Sent {
    /// Messages that got their 250.
    pub(crate) accepted: u64,
    /// Messages that got another answer, or none.
    pub(crate) refused: u64,
    /// The last refusal in words.
    pub(crate) refusal: Option<String>,
    /// Microseconds from the first octet of MAIL (or of the connection) to the 250.
    pub(crate) latency_us: Histogram<u64>,
}

impl Sent {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { accepted: 0, refused: 0, refusal: None, latency_us: Histogram::new(3)? })
    }

    fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.refusal = other.refusal.or(self.refusal.take());
        Ok(self.latency_us.add(&other.latency_us)?)
    }
}

/// Sends all messages of `load`.
pub(crate) async fn send_all(
    load: &Arc<Load>,
    target: SocketAddr,
    run: u64,
    clock: &Clock,
    watch: &Arc<Watch>,
) -> anyhow::Result<Sent> {
    let next = Arc::new(AtomicU64::new(0));
    let connections: Vec<_> = (0..load.connections.max(1))
        .map(|_| {
            let (load, next, clock, watch) =
                (Arc::clone(load), Arc::clone(&next), clock.clone(), Arc::clone(watch));
            tokio::spawn(
                async move { send_some((&load, target, run), &next, &clock, &watch).await },
            )
        })
        .collect();
    let mut sent = Sent::new()?;
    for connection in connections {
        sent.add(connection.await??)?;
    }
    Ok(sent)
}

async fn send_some(
    (load, target, run): (&Load, SocketAddr, u64),
    next: &AtomicU64,
    clock: &Clock,
    watch: &Watch,
) -> anyhow::Result<Sent> {
    let mut sent = Sent::new()?;
    let mut wire: Option<Wire> = None;
    let mut carried = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= load.messages {
            break;
        }
        let content = load.content(number, run);
        let started_at = clock.now();
        let mut open = match wire.take() {
            Some(open) => open,
            None => connect(target).await?,
        };
        match transact(&mut open, load, number, &content).await {
            Ok(()) => {
                sent.accepted += 1;
                let micros = clock.now().duration_since(started_at).as_micros();
                sent.latency_us.record(u64::try_from(micros).unwrap_or(u64::MAX))?;
                carried += 1;
            }
            Err(error) => {
                sent.refused += 1;
                watch.add_refused();
                sent.refusal = Some(format!("{error:#}"));
                carried = 0;
                continue;
            }
        }
        watch.add_accepted();
        if load.per_connection > 0 && carried >= load.per_connection {
            open.send(b"QUIT\r\n").await?;
            carried = 0;
        } else {
            wire = Some(open);
        }
    }
    Ok(sent)
}

async fn connect(target: SocketAddr) -> anyhow::Result<Wire> {
    let stream = TcpStream::connect(target)
        .await
        .with_context(|| format!("cannot connect to {}", target))?;
    let mut wire = Wire::new(stream);
    expect(&mut wire, 220).await?;
    wire.send(b"EHLO source.example\r\n").await?;
    expect(&mut wire, 250).await?;
    Ok(wire)
}

async fn transact(wire: &mut Wire, load: &Load, number: u64, content: &[u8]) -> anyhow::Result<()> {
    let mut commands = load.envelope(number);
    commands.push("DATA\r\n".to_owned());
    if load.pipelining {
        wire.send(commands.concat().as_bytes()).await?;
    }
    for (place, command) in commands.iter().enumerate() {
        if !load.pipelining {
            wire.send(command.as_bytes()).await?;
        }
        expect(wire, if place + 1 == commands.len() { 354 } else { 250 }).await?;
    }
    wire.send(content).await?;
    expect(wire, 250).await
}

async fn expect(wire: &mut Wire, want: u16) -> anyhow::Result<()> {
    let (code, line) = wire.reply().await?;
    if code == want { Ok(()) } else { bail!("the relay said `{line}` where {want} was due") }
}
