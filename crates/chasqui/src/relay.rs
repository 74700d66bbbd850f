//! The relay as operators see it: the admin's questions, answered by queue and spool.

mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use admin::{Failure, Relay, view};
use channel::Depth;
use mail::{MessageId, Timestamp};
use queue::{Gone, Handle, Look, Parties, Party, Selection};
use sasl::Authenticator;
use spool::{Health, Spool};
use telemetry::Registry;
use tokio::sync::watch;
use tokio::time::timeout;
use units::Clock;

use self::words::{entry, intake, message, usage};
use crate::logins;
use crate::reload::Reloading;

/// The queue answers in microseconds unless it is in trouble.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// A look for senders and recipients reads so many envelopes at a time; the queue does its work between two of these.
const LOOK_MESSAGES: usize = 1000;
/// And so many in all: they are read from the device.
const LOOKED_AT_MAX: usize = 100_000;

/// A message of this size is looked for room when somebody asks whether the relay takes mail: next to a limit on octets
/// an empty one would always fit.
pub(crate) const ORDINARY_OCTETS: u64 = 64 << 10;

/// What does not change while the relay runs.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) hostname: String,
    pub(crate) listeners: Vec<view::Listener>,
    pub(crate) spool_path: PathBuf,
    /// [`ORDINARY_OCTETS`], or less where the whole spool holds less.
    pub(crate) ordinary_octets: u64,
    pub(crate) started_at: Instant,
    /// Tells which limits of the listeners refuse.
    pub(crate) limits: smtp_server::Limits,
    /// Tells what inbound connectors with limits have taken.
    pub(crate) intakes: smtp_server::Intakes,
}

/// How full the queues between the parts are.
#[derive(Clone, Debug)]
pub(crate) struct Channels(Arc<[(&'static str, Depth)]>);

impl Channels {
    pub(crate) fn new(channels: Vec<(&'static str, Depth)>) -> Self {
        Self(channels.into())
    }

    /// Shows each as a metric.
    pub(crate) fn register(&self, registry: &Registry) {
        #[expect(clippy::cast_precision_loss, reason = "a channel holds far less than 2^52")]
        for (name, depth) in self.0.iter() {
            let labels = [("channel", *name)];
            let depth = depth.clone();
            let capacity =
                registry.gauge("channel_capacity", "Values that fit between two parts.", &labels);
            capacity.set(depth.capacity() as f64);
            registry.reading(
                "channel_depth",
                "Values that wait between two parts.",
                &labels,
                move || depth.len() as f64,
            );
        }
    }

    fn view(&self) -> Vec<view::Channel> {
        let view = |(name, depth): &(&'static str, Depth)| view::Channel {
            name: (*name).to_owned(),
            depth: count(depth.len()),
            capacity: count(depth.capacity()),
        };
        self.0.iter().map(view).collect()
    }
}

/// The running relay behind the control API.
#[derive(Debug)]
pub(crate) struct Operated {
    pub(crate) facts: Arc<Facts>,
    pub(crate) queue: Handle,
    pub(crate) spool: Spool,
    /// The channel from reception to the queue.
    pub(crate) accepted: Depth,
    pub(crate) channels: Channels,
    pub(crate) clock: Clock,
    pub(crate) logins: Arc<Authenticator>,
    pub(crate) reloading: Reloading,
    pub(crate) stopped: watch::Receiver<bool>,
}

impl Operated {
    /// Whether the queue answers within `wait_max`: what a watchdog wants to know.
    pub(crate) async fn answers(&self, wait_max: Duration) -> bool {
        matches!(timeout(wait_max, self.queue.summary(0)).await, Ok(Ok(_)))
    }

    async fn asked<T>(&self, answer: impl Future<Output = Result<T, Gone>>) -> Result<T, Failure> {
        match timeout(ANSWER_WAIT_MAX, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Gone)) => Err(Failure::Busy("the relay is stopping".to_owned())),
            Err(_) => Err(Failure::Busy("the queue does not answer".to_owned())),
        }
    }

    /// Looks through the queue for messages of these parties, whose envelopes the spool has to be asked for.
    async fn looked(
        &self,
        selection: Selection,
        parties: Parties,
        limit: usize,
    ) -> Result<view::QueueList, Gone> {
        let (mut messages, mut looked_at) = (Vec::new(), 0_usize);
        let mut look = Look { parties, after: None };
        loop {
            let page = self.queue.look(selection.clone(), look.clone(), LOOK_MESSAGES).await?;
            messages.extend(page.lines.into_iter().map(entry));
            looked_at = looked_at.saturating_add(page.looked_at);
            look.after = page.next;
            let is_over = page.next.is_none();
            if is_over || messages.len() > limit || looked_at >= LOOKED_AT_MAX {
                let more = messages.len() > limit || !is_over;
                messages.truncate(limit);
                let looked_at = (!is_over).then_some(count(looked_at));
                return Ok(view::QueueList { messages, more, looked_at });
            }
        }
    }

    /// Why MAIL is refused at present, if it is: the questions are those that reception asks.
    fn refusal(&self) -> Option<String> {
        // Its words say more than those of the limit.
        if let Health::Refusing { cause } = self.spool.health() {
            return Some(cause.into());
        }
        if self.accepted.is_nearly_full() {
            return Some("the queue has not caught up with accepted mail".to_owned());
        }
        let full = self.spool.reserve(Some(self.facts.ordinary_octets)).err()?;
        Some(full.cause.to_string())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.unix_millis())
    }
}

fn limit(shed: smtp_server::Shed) -> view::Limit {
    view::Limit {
        listener: shed.listener,
        cause: shed.cause.to_owned(),
        count: shed.count,
        seconds_ago: shed.ago.as_secs(),
    }
}

impl Relay for Operated {
    async fn status(&self) -> Result<view::Status, Failure> {
        let summary = self.asked(self.queue.summary(0)).await?;
        let counts = self.spool.counts();
        let age = |at: Timestamp| self.now().since(at).as_secs();
        Ok(view::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: self.facts.hostname.clone(),
            pid: std::process::id(),
            uptime_seconds: self.clock.now().duration_since(self.facts.started_at).as_secs(),
            health: self.health(),
            listeners: self.facts.listeners.clone(),
            spool: view::Spool {
                path: self.facts.spool_path.clone(),
                messages: counts.messages,
                octets: counts.octets,
                body_io: self.spool.body_io().to_string(),
            },
            queue: view::Queue {
                messages: count(summary.messages),
                ready: count(summary.ready),
                resting: count(summary.resting),
                in_flight: count(summary.in_flight),
                destinations: count(summary.destinations_total),
                oldest_seconds: summary.oldest_at.map(age),
            },
            channels: self.channels.view(),
            limits: self.facts.limits.refusing().into_iter().map(limit).collect(),
            intakes: self.facts.intakes.lines().into_iter().map(intake).collect(),
        })
    }

    fn health(&self) -> view::Health {
        let mut reasons = Vec::new();
        if *self.stopped.borrow() {
            reasons.push("the relay is stopping".to_owned());
        }
        reasons.extend(self.refusal());
        view::Health { ready: reasons.is_empty(), reasons }
    }

    async fn list(&self, filter: view::Filter) -> Result<view::QueueList, Failure> {
        let destination = filter.destination.map(String::into_boxed_str);
        let selection = Selection { destination, ..Selection::default() };
        let party = |text: Option<String>| text.as_deref().map(Party::parse);
        let parties = Parties { sender: party(filter.sender), recipient: party(filter.recipient) };
        if parties != Parties::default() {
            return self.asked(self.looked(selection, parties, filter.limit)).await;
        }
        let listing = self.asked(self.queue.list(selection, filter.limit)).await?;
        let more = listing.found > listing.lines.len();
        let messages = listing.lines.into_iter().map(entry).collect();
        Ok(view::QueueList { messages, more, looked_at: None })
    }

    async fn show(&self, id: String) -> Result<view::Message, Failure> {
        const HINT: &str = "`chasqui queue list` names what is queued; a message that was delivered or failed for all its recipients is no longer kept";
        let shown = self.asked(self.queue.show(read_id(&id)?)).await?;
        let policy = self.reloading.policy.hold();
        shown
            .map(|shown| message(shown, &policy.router))
            .ok_or_else(|| Failure::missing(format!("there is no message {id}"), HINT))
    }

    async fn retry(&self, selection: view::Selection) -> Result<view::Changed, Failure> {
        let tried = self.asked(self.queue.retry(read_selection(selection)?)).await?;
        Ok(view::Changed { messages: count(tried.retried), held: count(tried.held) })
    }

    async fn cancel(&self, selection: view::Selection) -> Result<view::Changed, Failure> {
        let cancelled = self.asked(self.queue.cancel(read_selection(selection)?)).await?;
        let messages = count(cancelled.cancelled + cancelled.after_this_try);
        Ok(view::Changed { messages, held: 0 })
    }

    fn bans(&self) -> view::Bans {
        logins::bans(&self.logins, &self.clock)
    }

    fn unban(&self, unban: view::Unban) -> Result<view::Lifted, Failure> {
        Ok(logins::unban(&self.logins, &unban))
    }

    async fn connectors(&self) -> Result<view::Connectors, Failure> {
        let mut listed = self.reloading.connectors().await?;
        let limits = self.asked(self.queue.summary(0)).await?.limits;
        let intakes: Vec<_> = self.facts.intakes.lines().into_iter().map(intake).collect();
        for connector in &mut listed.connectors {
            let mut own = intakes.iter().filter(|it| it.connector == connector.name);
            let is_inbound = connector.direction == view::Direction::Inbound;
            connector.intake = own.next().filter(|_| is_inbound).map(|it| it.intake.clone());
            let is_it = |line: &&queue::LimitLine| *line.connector == *connector.name;
            let is_outbound = connector.direction == view::Direction::Outbound;
            connector.usage = limits.iter().find(is_it).filter(|_| is_outbound).map(usage);
        }
        Ok(listed)
    }

    async fn examine(&self, domain: String) -> Result<view::DomainReport, Failure> {
        self.reloading.examine(&domain).await
    }

    async fn edit(&self, edits: Vec<view::Edit>, run: view::Run) -> Result<view::Changes, Failure> {
        self.reloading.edit(edits, run).await
    }

    async fn test(&self, name: String, trial: view::Trial) -> Result<view::Tried, Failure> {
        self.reloading.test(name, trial).await
    }

    async fn export(&self, format: view::ExportFormat) -> Result<String, Failure> {
        self.reloading.export(format).await
    }

    async fn import(&self, text: String, run: view::Run) -> Result<view::Changes, Failure> {
        self.reloading.import(text, run).await
    }

    async fn reload(&self) -> Result<view::Reloaded, Failure> {
        self.reloading.reload().await
    }
}

fn read_id(text: &str) -> Result<MessageId, Failure> {
    text.parse().map_err(|error| {
        Failure::wrong(
            format!("`{text}` is not a message id: {error}"),
            "copy an id from `chasqui queue list`",
        )
    })
}

fn read_selection(selection: view::Selection) -> Result<Selection, Failure> {
    let ids = selection.ids.iter().map(|id| read_id(id)).collect::<Result<_, _>>()?;
    let destination = selection.destination.map(String::into_boxed_str);
    Ok(Selection { ids, destination, ..Selection::default() })
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
