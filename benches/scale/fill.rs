//! Deferred messages, put into a spool by its own interface.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use mail::{Address, BodyType, Envelope, Origin, Recipient, ReversePath, Timestamp, Wishes};
use serde::Serialize;
use spool::{Config, RecipientState, Settlement, Spool};
use telemetry::Registry;
use units::{ByteSize, Clock};

/// Messages on their way at the same time: they share batches.
const WRITERS: usize = 4096;

/// What a spool is filled with.
pub(crate) struct Fill<'a> {
    pub(crate) spool: &'a Path,
    pub(crate) messages: u64,
    pub(crate) domains: u64,
    pub(crate) octets: usize,
    pub(crate) due_in: Duration,
}

/// How long that took.
#[derive(Debug, Serialize)]
pub(crate) struct Filled {
    pub(crate) seconds: f64,
    pub(crate) messages_per_second: f64,
}

/// What all writers share.
struct Shared {
    spool: Spool,
    clock: Clock,
    next: AtomicU64,
    messages: u64,
    domains: u64,
    content: Bytes,
    due_in: Duration,
}

impl Fill<'_> {
    #[expect(clippy::cast_precision_loss, reason = "less than 2^52")]
    pub(crate) fn run(&self) -> Result<Filled> {
        let clock = Clock::system();
        let began = clock.now();
        let config = Config {
            path: self.spool.to_owned(),
            messages_max: u64::MAX,
            octets_max: ByteSize::mib(1 << 30),
            free_octets_min: ByteSize::mib(512),
            warm_octets_max: ByteSize::mib(1),
            ..Config::default()
        };
        let spool = Spool::open(&config, clock.clone(), 1, &Registry::new())?;
        let shared = Arc::new(Shared {
            spool,
            clock: clock.clone(),
            next: AtomicU64::new(0),
            messages: self.messages,
            domains: self.domains,
            content: content(self.octets),
            due_in: self.due_in,
        });
        tokio::runtime::Runtime::new()?.block_on(write_all(shared))?;
        let seconds = (clock.now() - began).as_secs_f64();
        Ok(Filled { seconds, messages_per_second: self.messages as f64 / seconds })
    }
}

async fn write_all(shared: Arc<Shared>) -> Result<()> {
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                loop {
                    let number = shared.next.fetch_add(1, Ordering::Relaxed);
                    if number >= shared.messages {
                        return anyhow::Ok(());
                    }
                    shared.write(number).await?;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await??;
    }
    let shared = Arc::into_inner(shared).context("a writer is left")?;
    shared.spool.close().await;
    Ok(())
}

impl Shared {
    /// Stores a message and writes down that its recipient was tried and waits.
    async fn write(&self, number: u64) -> Result<()> {
        let recipient = format!("recipient{number}@customer{}.example", number % self.domains);
        let envelope = Envelope {
            sender: ReversePath::Address(Address::parse("newsletter@sender.example")?),
            recipients: vec![Recipient::from(Address::parse(&recipient)?)],
            body_type: BodyType::SevenBit,
            needs_smtputf8: false,
            wishes: Wishes::default(),
            origin: Origin {
                client: Some([192, 0, 2, 1].into()),
                helo: "application.sender.example".into(),
                listener: "smtp".into(),
                connector: "applications".into(),
                tls: None,
            },
        };
        let mut writer = self.spool.writer(self.spool.reserve(None)?);
        writer.write(self.content.clone()).await?;
        let now = Timestamp::from_millis(self.clock.unix_millis());
        let id = writer.commit(envelope, now).await?.id;
        // Spread over a fifth, as jitter does.
        let earlier = self.due_in.mul_f64(0.2 * spread(number));
        let waiting = RecipientState::Waiting {
            tries: 3,
            next_try_at: now.plus(self.due_in.saturating_sub(earlier)),
            last: Some("451 4.7.1 greylisted, please try again later".into()),
        };
        let recipients = vec![(0, waiting)];
        let settlement = Settlement { id, recipients, is_finished: false, report: None };
        self.spool.settle(settlement).await?;
        Ok(())
    }
}

/// From 0 to 1, evenly, in no order.
#[expect(clippy::cast_precision_loss, reason = "it is spread, not counted")]
fn spread(number: u64) -> f64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64
}

fn content(octets: usize) -> Bytes {
    const HEAD: &str = "From: <newsletter@sender.example>\r\nSubject: scale\r\n\r\n";
    const LINE: &str = "The quick brown fox jumps over the lazy dog, and then once more.\r\n";
    let mut text = HEAD.to_owned();
    while text.len() + LINE.len() <= octets {
        text.push_str(LINE);
    }
    text.into()
}
