//! The sink: the relay's next hop, which counts each message by its number.

pub(crate) mod script;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use units::Clock;

use crate::load::NUMBER_HEADER;
use crate::scenario::Scenario;
use crate::timeline::Watch;
use crate::wire::Wire;

/// Counts what arrives.
#[derive(Clone)]
pub(crate) struct Sink(Arc<Counts>);

/// Where mail of a class of domains must be sent by the relay under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The class: recipients are at any name that ends in `.CLASS.example`.
    pub(crate) class: String,
    /// The next hop for them.
    pub(crate) address: SocketAddr,
}

struct Counts {
    run: u64,
    address: SocketAddr,
    watch: Arc<Watch>,
    /// Recipients delivered, by message number.
    copies: Vec<AtomicU32>,
    total: AtomicU64,
    unknown: AtomicU64,
    last_at: Mutex<Option<Instant>>,
    changed: Notify,
    clock: Clock,
}

/// The number stands among the first headers, behind at most a few trace headers.
const HEAD_OCTETS: usize = 8 * 1024;

impl Sink {
    /// Takes connections until the program ends.
    pub(crate) async fn listen(
        address: SocketAddr,
        scenario: &Scenario,
        run: u64,
        watch: &Arc<Watch>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the sink cannot listen on {address}"))?;
        let copies = (0..scenario.load.messages).map(|_| AtomicU32::new(0)).collect();
        let sink = Self(Arc::new(Counts {
            run,
            address: listener.local_addr()?,
            watch: Arc::clone(watch),
            copies,
            total: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            last_at: Mutex::new(None),
            changed: Notify::new(),
            clock: Clock::system(),
        }));
        let counter = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counter = counter.clone();
                tokio::spawn(async move { counter.converse(stream).await });
            }
        });
        Ok(sink)
    }

    /// Where it listens, with the port that it was given.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Next hops that the relay must know beside [`Self::address`]: those of the classes with an own one.
    pub(crate) fn routes(&self) -> Vec<Route> {
        Vec::new()
    }

    /// Tells this run's messages from those of other runs.
    pub(crate) fn run(&self) -> u64 {
        self.0.run
    }

    /// Waits until `copies` recipients have their message.
    pub(crate) async fn wait_for(&self, copies: u64) {
        loop {
            let changed = self.0.changed.notified();
            if self.0.total.load(Ordering::Acquire) >= copies {
                return;
            }
            changed.await;
        }
    }

    /// When the last message came.
    pub(crate) fn last_at(&self) -> Option<Instant> {
        *self.0.last_at.lock()
    }

    /// Messages with fewer than `copies` recipients delivered, and copies beyond that.
    pub(crate) fn lost_and_doubled(&self, copies: u32) -> (u64, u64) {
        self.0.copies.iter().fold((0, 0), |(lost, doubled), count| {
            let count = count.load(Ordering::Acquire);
            (lost + u64::from(count < copies), doubled + u64::from(count.saturating_sub(copies)))
        })
    }

    /// Messages without a known number, such as failure reports.
    pub(crate) fn unknown(&self) -> u64 {
        self.0.unknown.load(Ordering::Relaxed)
    }

    async fn converse(&self, stream: TcpStream) -> anyhow::Result<()> {
        let mut wire = Wire::new(stream);
        wire.send(b"220 sink.example ESMTP\r\n").await?;
        let mut recipients = 0;
        while let Some(line) = wire.line().await? {
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            let reply: &[u8] = match verb.as_str() {
                "EHLO" => b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n",
                "DATA" => {
                    wire.send(b"354 go ahead\r\n").await?;
                    let number = content(&mut wire, self.0.run).await?;
                    self.count(number, recipients);
                    b"250 2.0.0 taken\r\n"
                }
                "MAIL" => {
                    recipients = 0;
                    b"250 2.1.0 ok\r\n"
                }
                "RCPT" => {
                    recipients += 1;
                    b"250 2.1.5 ok\r\n"
                }
                "QUIT" => {
                    wire.send(b"221 2.0.0 bye\r\n").await?;
                    break;
                }
                _ => b"250 2.0.0 ok\r\n",
            };
            wire.send(reply).await?;
        }
        Ok(())
    }

    fn count(&self, number: Option<u64>, recipients: u32) {
        let copies = number.and_then(|number| self.0.copies.get(usize::try_from(number).ok()?));
        if let Some(copies) = copies {
            copies.fetch_add(recipients, Ordering::AcqRel);
            *self.0.last_at.lock() = Some(self.0.clock.now());
            self.0.total.fetch_add(u64::from(recipients), Ordering::AcqRel);
            self.0.watch.add_delivered(u64::from(recipients));
            self.0.changed.notify_waiters();
        } else {
            self.0.unknown.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Reads content up to its final dot and gives its number; keeps no more than the head.
async fn content(wire: &mut Wire, run: u64) -> anyhow::Result<Option<u64>> {
    let mut number = None;
    let mut is_head = true;
    // Pretends that a line ended before, so that an empty content ends too.
    wire.buffer().splice(..0, *b"\r\n");
    loop {
        let buffer = wire.buffer();
        if is_head
            && (buffer.len() >= HEAD_OCTETS || memchr::memmem::find(buffer, b"\r\n.\r\n").is_some())
        {
            number = find_number(buffer, run);
            is_head = false;
        }
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n.\r\n") {
            buffer.drain(..end + 5);
            return Ok(number);
        }
        if !is_head {
            // The end may be cut: keep its length less one.
            let done = buffer.len().saturating_sub(4);
            buffer.drain(..done);
        }
        anyhow::ensure!(wire.fill().await?, "the relay closed in the middle of a message");
    }
}

fn find_number(head: &[u8], run: u64) -> Option<u64> {
    let mark = format!("{NUMBER_HEADER}{run}-");
    let at = memchr::memmem::find(head, mark.as_bytes())? + mark.len();
    let digits = head.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(head.get(at..at + digits)?).ok()?.parse().ok()
}
