//! The source: sends the messages of a plan over many connections.

mod session;
mod turns;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::task::JoinSet;

pub(crate) use self::session::Door;
use self::session::{Ending, Session};
use self::turns::{Turn, Turns};
use crate::load::Load;
use crate::tally::{Fate, Tally};

/// A relay that refuses connections for longer ends the run.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

/// Between tries to connect.
const CONNECT_REST: Duration = Duration::from_millis(20);

/// Whether anything is answered is looked at so often.
const LOOK: Duration = Duration::from_millis(100);

/// A relay does not stall before so many looks found nothing new: it may be this program that was held up.
const LOOKS: u32 = 3;

/// A message whose connection breaks so often before its content is refused.
const TRIES_MAX: u32 = 3;

/// A load on its way.
pub(crate) struct Source {
    senders: JoinSet<anyhow::Result<()>>,
    notes: Vec<Arc<Mutex<Notes>>>,
}

/// What one connection's sender notes.
#[derive(Clone)]
pub(crate) struct Notes {
    /// Microseconds to the 250.
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) last_accepted_at: Option<Instant>,
    /// The last refusal in words.
    pub(crate) last_refusal: Option<String>,
}

impl Notes {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { latency_us: Histogram::new(3)?, last_accepted_at: None, last_refusal: None })
    }
}

impl Source {
    /// Begins to send; the first message of an open loop is due now.
    pub(crate) fn start(
        load: &Load,
        target: SocketAddr,
        tally: &Arc<Tally>,
    ) -> anyhow::Result<Self> {
        let door = Arc::new(Door::new(load, target)?);
        let turns = Turns::start(&tally.plan, load.connections, &tally.clock);
        let mut source = Self { senders: JoinSet::new(), notes: Vec::new() };
        for _ in 0..load.connections {
            let notes = Arc::new(Mutex::new(Notes::new()?));
            source.notes.push(Arc::clone(&notes));
            let sender = Sender {
                door: Arc::clone(&door),
                turns: Arc::clone(&turns),
                tally: Arc::clone(tally),
                notes,
                per_connection: load.per_connection,
                session: None,
            };
            source.senders.spawn(sender.send_all());
        }
        Ok(source)
    }

    /// Waits until all are sent, or gives up when nothing was answered for `stall_wait_max`.
    ///
    /// # Errors
    /// If the relay cannot be reached, or does not speak as it should at the start of a connection.
    pub(crate) async fn finish(
        &mut self,
        tally: &Tally,
        stall_wait_max: Duration,
    ) -> anyhow::Result<()> {
        let (mut answered, mut answered_at, mut looks) = (0, tally.clock.now(), 0);
        loop {
            let look = tokio::time::sleep(stall_wait_max.min(LOOK));
            tokio::select! {
                ended = self.senders.join_next() => match ended {
                    None => return Ok(()),
                    Some(ended) => ended.context("a sender broke")??,
                },
                () = look => {
                    let (now, count) = (tally.clock.now(), tally.watch.accepted() + tally.watch.refused());
                    looks += 1;
                    if count != answered {
                        (answered, answered_at, looks) = (count, now, 0);
                    } else if looks >= LOOKS
                        && now.duration_since(answered_at) >= stall_wait_max
                    {
                        self.senders.shutdown().await;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// What all senders noted so far.
    pub(crate) fn notes(&self) -> anyhow::Result<Notes> {
        let mut sum = Notes::new()?;
        for notes in &self.notes {
            let notes = notes.lock();
            sum.latency_us.add(&notes.latency_us)?;
            if notes.last_refusal.is_some() {
                sum.last_refusal.clone_from(&notes.last_refusal);
            }
            sum.last_accepted_at = sum.last_accepted_at.max(notes.last_accepted_at);
        }
        Ok(sum)
    }
}

/// What sends over one connection at a time.
struct Sender {
    door: Arc<Door>,
    turns: Arc<Turns>,
    tally: Arc<Tally>,
    notes: Arc<Mutex<Notes>>,
    per_connection: u64,
    session: Option<Session>,
}

impl Sender {
    async fn send_all(mut self) -> anyhow::Result<()> {
        while let Some(turn) = self.turns.next().await {
            self.send(turn).await?;
            if let Some(session) = self.session.take_if(|session| {
                self.per_connection > 0 && session.carried >= self.per_connection
            }) {
                session.quit().await;
            }
        }
        if let Some(session) = self.session.take() {
            session.quit().await;
        }
        Ok(())
    }

    async fn send(&mut self, turn: Turn) -> anyhow::Result<()> {
        let Turn { number, due_at } = turn;
        // An open loop counts from when the message was due, however long it waited for this sender.
        let begun_at = due_at.unwrap_or_else(|| self.tally.clock.now());
        self.tally.begin(number, begun_at);
        let mut broken = String::new();
        for _ in 0..TRIES_MAX {
            let mut session = match self.session.take() {
                Some(session) => session,
                None => self.open().await?,
            };
            match session.transact(&self.tally, number).await {
                Ok(Ending::Accepted) => {
                    self.accept(number, begun_at);
                    self.session = Some(session);
                    return Ok(());
                }
                Ok(Ending::Refused(text)) => {
                    self.refuse(number, text);
                    self.session = session.is_open.then_some(session);
                    return Ok(());
                }
                Err(error) if self.tally.fate(number) == Fate::InDoubt => {
                    self.notes.lock().last_refusal = Some(format!("{error:#}"));
                    return Ok(());
                }
                // An old connection may have been closed by a relay that is in its right: again over a new one.
                Err(error) => broken = format!("{error:#}"),
            }
        }
        let text = format!("the connection broke {TRIES_MAX} times before the content: {broken}");
        self.refuse(number, text);
        Ok(())
    }

    /// Connects, with patience: a relay may be at its limit of connections, or just starting again.
    async fn open(&self) -> anyhow::Result<Session> {
        let clock = &self.tally.clock;
        let begun_at = clock.now();
        loop {
            match Session::open(&self.door).await {
                Ok(session) => return Ok(session),
                Err(error) if clock.now().duration_since(begun_at) >= CONNECT_WAIT_MAX => {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(CONNECT_REST).await,
            }
        }
    }

    fn accept(&self, number: u64, begun_at: Instant) {
        let now = self.tally.clock.now();
        let micros = now.saturating_duration_since(begun_at).as_micros();
        let mut notes = self.notes.lock();
        // It grows as needed: recording cannot fail.
        notes.latency_us.record(u64::try_from(micros).unwrap_or(u64::MAX)).ok();
        notes.last_accepted_at = Some(now);
        drop(notes);
        self.tally.decide(number, Fate::Accepted);
    }

    fn refuse(&self, number: u64, text: String) {
        self.notes.lock().last_refusal = Some(text);
        self.tally.decide(number, Fate::Refused);
    }
}
