//! The queue over a real spool, with the test in delivery's place and a clock that stands still.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop")]

mod limits;
mod owed;
mod wishes;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use channel::{Receiver, Sender};
use mail::{
    Accepted, Address, Attempt, AttemptEnd, BodyType, Domain, EnhancedStatus, Envelope, Fate,
    MessageId, Origin, Outcome, Peer, Recipient, RecipientOutcome, Reply, ReversePath, Timestamp,
};
use policy::config::OutboundConnector;
use policy::{Admission, Live, Policy, Router};
use queue::{Config, Handle, Parts, Request, Selection, State, Summary};
use spool::{Faults, Spool};
use telemetry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use units::{Clock, Span};

const MINUTE: Duration = Duration::from_mins(1);
const START_MILLIS: u64 = 1_795_286_760_000;
/// Longer than any step takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Relay {
    clock: Clock,
    spool: Spool,
    faults: Faults,
    registry: Arc<Registry>,
    queue: Handle,
    accepted: Sender<Accepted>,
    attempts: Receiver<Attempt>,
    ends: Option<Sender<AttemptEnd>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

struct Shape {
    config: Config,
    attempts_max: usize,
    transactions_max: usize,
    domains: Vec<String>,
    /// Outbound connectors besides the one for `domains`.
    further: Vec<OutboundConnector>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            config: Config::default(),
            attempts_max: 100,
            transactions_max: 1000,
            domains: vec!["*".to_owned()],
            further: Vec::new(),
        }
    }
}

impl Relay {
    fn start(folder: &Path, clock: &Clock, shape: Shape) -> Self {
        let registry = Arc::new(Registry::new());
        let faults = Faults::default();
        let config = spool::Config {
            path: folder.to_owned(),
            free_octets_min: units::ByteSize::octets(0),
            ..spool::Config::default()
        };
        let spool =
            Spool::open_with(&config, clock.clone(), 7, (&registry, faults.clone())).unwrap();
        let mut connector = OutboundConnector {
            name: "internet".to_owned(),
            recipient_domains: shape.domains,
            ..OutboundConnector::default()
        };
        connector.limits.connections_max = 4;
        let (accepted, accepted_out) = channel::bounded(1000);
        let (attempts_in, attempts) = channel::bounded(shape.attempts_max);
        let (ends, ends_out) = channel::bounded(1000);
        let (requests, requests_out) = channel::bounded::<Request>(10);
        let (stop, stopped) = watch::channel(false);
        let parts = Parts {
            config: shape.config,
            hostname: Domain::parse("relay.example").unwrap(),
            spool: spool.clone(),
            policy: Live::new(Policy::new(
                Admission::new(Vec::new()),
                Router::new([vec![connector], shape.further].concat()).unwrap(),
            )),
            clock: clock.clone(),
            random_seed: 3,
            accepted: accepted_out,
            attempts: attempts_in,
            ends: ends_out,
            requests: requests_out,
            transactions_max: shape.transactions_max,
            registry: Arc::clone(&registry),
        };
        let task = tokio::spawn(queue::run(parts, stopped));
        let queue = Handle::new(requests);
        let (clock, ends) = (clock.clone(), Some(ends));
        Self { clock, spool, faults, registry, queue, accepted, attempts, ends, stop, task }
    }

    /// Stores a message and tells the queue, as reception does.
    async fn accept(&self, sender: &str, recipients: &[&str]) -> MessageId {
        let accepted = self.store(sender, recipients).await;
        let id = accepted.id;
        self.accepted.send(accepted).await.unwrap();
        id
    }

    async fn store(&self, sender: &str, recipients: &[&str]) -> Accepted {
        self.store_with(sender, recipients, |_| {}).await
    }

    /// As [`Self::accept`], of a message of which MAIL and RCPT said more.
    async fn accept_with(&self, recipients: &[&str], change: impl Fn(&mut Envelope)) -> MessageId {
        let accepted = self.store_with("a@a.example", recipients, change).await;
        let id = accepted.id;
        self.accepted.send(accepted).await.unwrap();
        id
    }

    async fn store_with(
        &self,
        sender: &str,
        recipients: &[&str],
        change: impl Fn(&mut Envelope),
    ) -> Accepted {
        let recipient = |text: &&str| Recipient::from(Address::parse(text).unwrap());
        let mut envelope = Envelope {
            sender: match sender {
                "" => ReversePath::Null,
                sender => ReversePath::Address(Address::parse(sender).unwrap()),
            },
            recipients: recipients.iter().map(recipient).collect(),
            body_type: BodyType::SevenBit,
            needs_smtputf8: false,
            wishes: mail::Wishes::default(),
            origin: Origin {
                client: None,
                helo: "client.example".into(),
                listener: "smtp".into(),
                connector: "applications".into(),
                tls: None,
                login: None,
            },
            directions: None,
        };
        change(&mut envelope);
        let mut writer = self.spool.writer(self.spool.reserve(None).unwrap());
        writer.write("Message-ID: <1@a.example>\r\n\r\nhello\r\n".into()).await.unwrap();
        let at = Timestamp::from_millis(self.clock.unix_millis());
        writer.commit(envelope, at).await.unwrap()
    }

    async fn attempt(&mut self) -> Attempt {
        tokio::time::timeout(PATIENCE, self.attempts.recv()).await.expect("an attempt").unwrap()
    }

    /// Asserts that nothing is due, once the queue has looked.
    async fn no_attempt(&mut self) {
        self.queue.summary(0).await.unwrap();
        self.queue.summary(0).await.unwrap();
        assert!(self.attempts.try_recv().is_none());
    }

    async fn end(&self, attempt: Attempt, outcome: Outcome) {
        self.tell(end_of(attempt, outcome)).await;
    }

    async fn tell(&self, end: AttemptEnd) {
        self.ends.as_ref().unwrap().send(end).await.unwrap();
    }

    /// That hosts have taken these recipients of an attempt that goes on.
    async fn taken(&self, attempt: &Attempt, places: &[u32]) -> AttemptEnd {
        let envelope = self.spool.load(attempt.id).await.unwrap().envelope;
        let fates: Vec<_> = places.iter().map(|place| (*place, Fate::Delivered)).collect();
        let outcomes = outcomes(&fates);
        end_of(attempt.clone(), Outcome::Taken { outcomes, envelope, copy: None })
    }

    /// Waits until the queue stands so.
    async fn until(&self, what: &str, stands: impl Fn(&Summary) -> bool) {
        let looking = async {
            while !stands(&self.queue.summary(10).await.unwrap()) {
                tokio::task::yield_now().await;
            }
        };
        let is_so = tokio::time::timeout(PATIENCE, looking).await.is_ok();
        assert!(is_so, "{what}: {:?}", self.queue.summary(10).await);
    }

    async fn until_empty(&self) {
        self.until("the queue is empty", |it| it.messages == 0 && !it.is_recovering).await;
        assert_eq!(self.spool.counts().messages, 0, "the spool is empty too");
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Stops in order: delivery has ended, what it said is written down.
    async fn stop(mut self) {
        self.stop.send_replace(true);
        self.ends = None;
        tokio::time::timeout(PATIENCE, self.task).await.expect("the queue ends").unwrap();
        self.spool.close().await;
    }

    fn metric(&self, line: &str) {
        let text = self.registry.render();
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

fn end_of(attempt: Attempt, outcome: Outcome) -> AttemptEnd {
    AttemptEnd {
        attempt,
        outcome,
        held: None,
        is_further: false,
        connect_wait: Duration::from_millis(30),
        transmit_wait: Duration::from_millis(70),
    }
}

fn outcome(recipient: u32, fate: Fate, reply: Reply) -> RecipientOutcome {
    let peer = Peer {
        host: "mx.x.example".into(),
        address: "192.0.2.1:25".parse().unwrap(),
        tls: None,
        offers_dsn: false,
        is_final: false,
        offers_deliver_by: false,
    };
    RecipientOutcome { recipient, fate, reply, peer: Some(Arc::new(peer)) }
}

fn answered(fates: &[(u32, Fate)]) -> Outcome {
    Outcome::Answered(outcomes(fates))
}

fn outcomes(fates: &[(u32, Fate)]) -> Vec<RecipientOutcome> {
    let each = fates.iter().map(|(recipient, fate)| {
        let reply = match fate {
            Fate::Delivered => Reply::new(250, None, "queued"),
            Fate::Deferred => {
                Reply::new(451, Some(EnhancedStatus::new(4, 7, 1)), "come back later")
            }
            Fate::Failed => Reply::new(550, Some(EnhancedStatus::new(5, 1, 1)), "no such user"),
        };
        outcome(*recipient, *fate, reply)
    });
    each.collect()
}

fn unreachable() -> Outcome {
    let reply = Reply::new(451, Some(EnhancedStatus::new(4, 4, 1)), "mx.x.example: refused");
    Outcome::Unreachable { reply, peer: None }
}

fn clock() -> Clock {
    Clock::manual(START_MILLIS)
}

/// Recipients that a report names, each with the action.
fn told(report: &str) -> Vec<(String, String)> {
    let groups = report.split("\r\n\r\n").filter_map(|group| {
        let value = |name: &str| {
            let line = group.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::to_owned)
        };
        Some((value("Final-Recipient: rfc822; ")?, value("Action: ")?))
    });
    groups.collect()
}

async fn content(spool: &Spool, id: MessageId) -> String {
    let mut content = spool.load(id).await.unwrap().content();
    let mut text = Vec::new();
    while let Some(chunk) = content.next().await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivered_message_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    let id = relay.accept("a@a.example", &["b@x.example"]).await;
    let attempt = relay.attempt().await;
    assert_eq!((attempt.id, attempt.tries), (id, 0));
    assert_eq!(attempt.destination.to_string(), "internet/x.example");
    relay.advance(Duration::from_millis(150));
    relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.metric("chasqui_delivery_total{connector=\"internet\",result=\"delivered\"} 1");
    relay.metric("chasqui_delivery_stage_seconds_sum{stage=\"queue\"} 0.05");
    relay.metric("chasqui_delivery_stage_seconds_sum{stage=\"transmit\"} 0.07");
    relay.stop().await;
}

/// Of three recipients at two destinations one is delivered, one fails and is reported at once, one
/// waits; nobody is tried again who need not be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_recipient_has_its_own_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    let recipients = ["b@x.example", "c@y.example", "d@x.example"];
    let id = relay.accept("a@a.example", &recipients).await;
    let (one, other) = (relay.attempt().await, relay.attempt().await);
    let (x, y) = if one.destination.to_string().ends_with("x.example") {
        (one, other)
    } else {
        (other, one)
    };
    relay.end(x, answered(&[(0, Fate::Delivered), (2, Fate::Failed)])).await;
    let report = relay.attempt().await;
    assert_eq!(report.destination.to_string(), "internet/a.example");
    let stored = relay.spool.load(report.id).await.unwrap();
    assert_eq!(stored.envelope.sender, ReversePath::Null);
    let text = content(&relay.spool, report.id).await;
    let parsed = mail_parser::MessageParser::default().parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.subject(), Some("Your message could not be delivered"));
    assert!(
        text.contains(
            "Final-Recipient: rfc822; d@x.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        )
    );
    assert!(
        text.contains("550 5.1.1 no such user") && text.contains("Remote-MTA: dns; mx.x.example")
    );
    assert!(!text.contains("rfc822; b@x.example") && !text.contains("rfc822; c@y.example"));
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.end(y, answered(&[(1, Fate::Deferred)])).await;
    relay.until("one rests", |it| it.resting == 1 && it.messages == 1).await;
    relay.no_attempt().await;
    let shown = relay.queue.show(id).await.unwrap().unwrap();
    let states: Vec<_> = shown.recipients.iter().map(|it| it.state).collect();
    assert_eq!(states, [None, Some(State::Resting), None]);
    relay.advance(7 * MINUTE);
    relay.queue.summary(0).await.unwrap();
    let again = relay.attempt().await;
    assert_eq!((again.destination.to_string().as_str(), again.tries), ("internet/y.example", 1));
    relay.end(again, answered(&[(1, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.metric("chasqui_dsn_total{action=\"failed\"} 1");
    relay.metric("chasqui_delivery_total{connector=\"internet\",result=\"deferred\"} 1");
    relay.stop().await;
}

/// Whom a host has taken is written down while the attempt goes on, so a crash then has nobody tried again who was
/// taken; and meanwhile nothing of it is handed out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_is_written_while_the_attempt_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    let recipients: Vec<_> = (0..40).map(|number| format!("r{number}@x.example")).collect();
    let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
    let id = relay.accept("a@a.example", &recipients).await;
    let attempt = relay.attempt().await;
    for place in 0..38 {
        let end = relay.taken(&attempt, &[place]).await;
        relay.tell(AttemptEnd { is_further: place > 0, ..end }).await;
    }
    let waiting = async |relay: &Relay| {
        let stored = relay.spool.load(id).await.unwrap();
        stored.recipients.iter().filter(|it| it.is_waiting()).count()
    };
    let writing = async {
        while waiting(&relay).await != 2 {
            relay.queue.summary(0).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, writing).await.unwrap();
    relay.until("it is under way", |it| (it.ready, it.resting, it.in_flight) == (0, 0, 1)).await;
    relay.no_attempt().await;
    // The end never comes.
    relay.stop().await;

    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    let attempt = relay.attempt().await;
    assert_eq!((attempt.id, attempt.tries, waiting(&relay).await), (id, 0, 2));
    relay.tell(relay.taken(&attempt, &[38]).await).await;
    let end = end_of(attempt, answered(&[(39, Fate::Failed)]));
    relay.tell(AttemptEnd { is_further: true, ..end }).await;
    let report = relay.attempt().await;
    assert_eq!(told(&content(&relay.spool, report.id).await).len(), 1);
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.no_attempt().await;
    relay.stop().await;
}

/// What filters refuse or discard before a host is asked ends there, and says nothing of the destination.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_decided_here_says_nothing_of_the_destination() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    for recipient in ["b@x.example", "c@x.example", "d@x.example"] {
        relay.accept("a@a.example", &[recipient]).await;
    }
    let [unreached, refused, discarded] =
        [relay.attempt().await, relay.attempt().await, relay.attempt().await];
    relay.end(unreached, unreachable()).await;
    relay.until("the destination rests", |it| it.destinations[0].rests_until.is_some()).await;
    relay.end(discarded, Outcome::Discarded).await;
    relay.until("one is gone", |it| it.messages == 2).await;
    relay.no_attempt().await;
    let reply = Reply::new(550, Some(EnhancedStatus::new(5, 7, 1)), "not from here");
    let refusal = RecipientOutcome { peer: None, ..outcome(0, Fate::Failed, reply) };
    relay.end(refused, Outcome::Decided(vec![refusal])).await;
    let report = relay.attempt().await;
    assert_eq!(report.destination.to_string(), "internet/a.example");
    let text = content(&relay.spool, report.id).await;
    assert!(text.contains("not from here") && text.contains("Status: 5.7.1\r\n"), "{text}");
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.until("one rests", |it| (it.messages, it.resting) == (1, 1)).await;
    let summary = relay.queue.summary(10).await.unwrap();
    assert_eq!(summary.destinations[0].connect_failures, 1);
    assert!(summary.destinations[0].rests_until.is_some());
    relay.metric("chasqui_delivery_total{connector=\"internet\",result=\"discarded\"} 1");
    relay.advance(MINUTE);
    relay.queue.summary(0).await.unwrap();
    let probe = relay.attempt().await;
    assert_eq!(probe.tries, 1);
    relay.end(probe, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_null_sender_gets_no_report() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    relay.accept("", &["b@x.example"]).await;
    let attempt = relay.attempt().await;
    relay.end(attempt, answered(&[(0, Fate::Failed)])).await;
    relay.until_empty().await;
    relay.no_attempt().await;
    relay.metric("chasqui_dsn_total{action=\"dropped\"} 1");
    relay.metric("chasqui_dsn_total{action=\"failed\"} 0");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_is_reported_with_the_last_reply() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { expire_after: Span::minutes(10), ..Config::default() };
    let mut relay = Relay::start(folder.path(), &clock(), Shape { config, ..Shape::default() });
    relay.accept("a@a.example", &["b@x.example"]).await;
    let mut tries = 0;
    let report = loop {
        let attempt = relay.attempt().await;
        if attempt.destination.to_string() == "internet/a.example" {
            break attempt;
        }
        assert_eq!(attempt.tries, tries);
        tries += 1;
        relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
        relay.until("it rests or is reported", |it| it.resting == 1 || it.in_flight == 1).await;
        relay.advance(5 * MINUTE);
        relay.queue.summary(0).await.unwrap();
    };
    assert!(tries >= 2);
    let text = content(&relay.spool, report.id).await;
    assert!(text.contains("\r\nStatus: 4.4.7\r\n"), "{text}");
    assert!(text.contains("Diagnostic-Code: smtp; 451 4.7.1 come back later"));
    assert!(text.contains("times in 1"), "{text}");
    relay.end(report, answered(&[(0, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.metric("chasqui_delivery_total{connector=\"internet\",result=\"expired\"} 1");
    relay.stop().await;
}

/// What was settled stays settled over a restart, what waits comes back with its tries and its rest,
/// and new mail is taken meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    let id = relay.accept("a@a.example", &["b@x.example", "c@x.example"]).await;
    let attempt = relay.attempt().await;
    relay.end(attempt, answered(&[(0, Fate::Delivered), (1, Fate::Deferred)])).await;
    relay.until("it rests", |it| it.resting == 1).await;
    // One is handed out and never ends, one is stored and the queue never hears of it.
    let lost = relay.accept("a@a.example", &["b@y.example"]).await;
    assert_eq!(relay.attempt().await.id, lost);
    let unheard = relay.store("a@a.example", &["b@z.example"]).await;
    relay.stop().await;

    clock.advance(MINUTE);
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    let (one, two) = (relay.attempt().await, relay.attempt().await);
    let mut ids = [one.id, two.id];
    ids.sort();
    assert_eq!(ids, [lost.min(unheard.id), lost.max(unheard.id)]);
    relay.until("all is recovered", |it| !it.is_recovering && it.messages == 3).await;
    let resting = relay.queue.list(Selection::default(), 10).await.unwrap().lines;
    let line = resting.iter().find(|line| line.id == id).unwrap();
    assert_eq!((line.state, line.tries, line.recipients), (State::Resting, 1, Some(1)));
    assert_eq!(line.last_reply.as_deref(), Some("451 4.7.1 come back later"));
    relay.end(one, answered(&[(0, Fate::Delivered)])).await;
    relay.end(two, answered(&[(0, Fate::Delivered)])).await;
    relay.advance(6 * MINUTE);
    relay.queue.summary(0).await.unwrap();
    let again = relay.attempt().await;
    assert_eq!((again.id, again.tries), (id, 1));
    relay.end(again, answered(&[(1, Fate::Delivered)])).await;
    relay.until_empty().await;
    relay.metric("chasqui_queue_recovered_total 3");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_cannot_be_reached_rests_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    for _ in 0..6 {
        relay.accept("a@a.example", &["b@x.example"]).await;
    }
    let mut under_way = Vec::new();
    for _ in 0..4 {
        under_way.push(relay.attempt().await);
    }
    relay.no_attempt().await;
    for attempt in under_way {
        relay.end(attempt, unreachable()).await;
    }
    relay.until("all rest", |it| it.resting == 6 && it.in_flight == 0).await;
    relay.no_attempt().await;
    let summary = relay.queue.summary(10).await.unwrap();
    let place = &summary.destinations[0];
    assert_eq!((place.connect_failures, place.ready), (1, 6));
    assert_eq!(place.last_failure.as_deref(), Some("451 4.4.1 mx.x.example: refused"));
    let lines = relay.queue.list(Selection::default(), 10).await.unwrap().lines;
    assert!(lines.iter().all(|line| line.state == State::Resting && line.next_try_at.is_some()));
    assert!(lines.iter().all(|line| line.last_reply.is_some()), "{lines:?}");
    relay.advance(2 * MINUTE);
    relay.queue.summary(0).await.unwrap();
    let probe = relay.attempt().await;
    relay.no_attempt().await;
    relay.end(probe, answered(&[(0, Fate::Delivered)])).await;
    for _ in 0..5 {
        let attempt = relay.attempt().await;
        relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    }
    relay.until_empty().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_looks_retries_and_cancels() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    let mut ids = Vec::new();
    for domain in ["x", "y", "z"] {
        relay.advance(MINUTE / 60);
        ids.push(relay.accept("a@a.example", &[&format!("b@{domain}.example")]).await);
        let attempt = relay.attempt().await;
        relay.end(attempt, answered(&[(0, Fate::Deferred)])).await;
        relay.until("it rests", |it| it.resting == it.messages).await;
    }
    let list = relay.queue.list(Selection::default(), 2).await.unwrap();
    assert_eq!((list.found, list.lines.len(), list.lines[0].id), (3, 2, ids[0]));
    assert_eq!(list.lines[0].octets, Some(36));
    assert_eq!(list.lines[0].sender.as_ref().unwrap().to_string(), "<a@a.example>");
    let y = Selection { destination: Some("internet/y.example".into()), ..Selection::default() };
    assert_eq!(relay.queue.list(y.clone(), 9).await.unwrap().lines[0].id, ids[1]);
    let none = Selection { destination: Some("internet/q.example".into()), ..Selection::default() };
    assert_eq!(relay.queue.list(none.clone(), 9).await.unwrap().found, 0);
    assert_eq!(relay.queue.retry(none).await.unwrap().retried, 0);
    assert_eq!(relay.queue.retry(y.clone()).await.unwrap().retried, 1);
    let retried = relay.attempt().await;
    assert_eq!((retried.id, retried.tries), (ids[1], 1));
    // Cancelled while it is tried: what that try leaves waiting goes, and nobody is told.
    assert_eq!(relay.queue.cancel(y).await.unwrap().after_this_try, 1);
    relay.end(retried, answered(&[(0, Fate::Deferred)])).await;
    relay.until("it is gone", |it| it.messages == 2).await;
    assert!(relay.queue.show(ids[1]).await.unwrap().is_none());
    let first = Selection { ids: vec![ids[0]], ..Selection::default() };
    assert_eq!(relay.queue.cancel(first).await.unwrap().cancelled, 1);
    let rest = Selection {
        connector: Some("internet".into()),
        state: Some(State::Resting),
        ..Selection::default()
    };
    assert_eq!(relay.queue.cancel(rest).await.unwrap().cancelled, 1);
    relay.until_empty().await;
    relay.no_attempt().await;
    relay.metric("chasqui_delivery_total{connector=\"internet\",result=\"cancelled\"} 3");
    relay.stop().await;
}

/// What goes through the whole queue is done slice by slice, and comes to the same as in one go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_about_a_long_queue_is_answered_whole() {
    const MESSAGES: usize = 1300;
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    let recipients = ["b@x.example", "c@y.example"];
    let stores = (0..MESSAGES).map(|_| relay.store("a@a.example", &recipients));
    for accepted in futures_util::future::join_all(stores).await {
        relay.accepted.send(accepted).await.unwrap();
    }
    relay.accept("a@a.example", &["d@z.example"]).await;
    // Four of each destination are under way, one of the third.
    relay.until("all are there", |it| it.messages == MESSAGES + 1 && it.in_flight == 9).await;
    let list = |selection, limit| relay.queue.list(selection, limit);
    let oldest = list(Selection::default(), 5).await.unwrap();
    assert_eq!((oldest.found, oldest.lines.len()), (2 * MESSAGES + 1, 5));
    assert!(oldest.lines.is_sorted_by_key(|line| line.id));
    let at = |name: &str| Selection { destination: Some(name.into()), ..Selection::default() };
    let found = list(at("internet/y.example"), 3).await.unwrap();
    assert_eq!((found.found, found.lines.len()), (MESSAGES, 3));
    assert!(found.lines.iter().all(|line| line.destination.to_string() == "internet/y.example"));
    let ready = || Selection { state: Some(State::Ready), ..Selection::default() };
    let ready_at_y = Selection { state: Some(State::Ready), ..at("internet/y.example") };
    assert_eq!(list(ready(), 0).await.unwrap().found, 2 * MESSAGES - 8);
    let ids = found.lines.iter().map(|line| line.id).chain([oldest.lines[0].id]).collect();
    let named = Selection { ids, ..ready_at_y.clone() };
    assert_eq!(list(named, 9).await.unwrap().found, 0, "the oldest ones are under way");
    let summary = relay.queue.summary(2).await.unwrap();
    let largest: Vec<_> =
        summary.destinations.iter().map(|it| (it.destination.to_string(), it.in_flight)).collect();
    let want = ["internet/x.example", "internet/y.example"].map(|it| (it.to_owned(), 4));
    assert_eq!((largest, summary.destinations_total), (want.to_vec(), 3));
    assert_eq!(relay.queue.retry(ready_at_y).await.unwrap().retried, MESSAGES - 4);
    assert_eq!(relay.queue.cancel(ready()).await.unwrap().cancelled, 2 * MESSAGES - 8);
    relay.until("what was not tried is gone", |it| it.ready == 0 && it.messages <= 9).await;
    for _ in 0..9 {
        let attempt = relay.attempt().await;
        let recipient = u32::from(attempt.destination.to_string() == "internet/y.example");
        relay.end(attempt, answered(&[(recipient, Fate::Delivered)])).await;
    }
    relay.until_empty().await;
    relay.stop().await;
}

/// More attempts than delivery carries out at once are not handed out: they would wait behind slow ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delivery_gets_no_more_than_it_carries_out() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { transactions_max: 4, ..Shape::default() };
    let mut relay = Relay::start(folder.path(), &clock(), shape);
    for domain in ["v", "w", "x", "y", "z"] {
        relay.accept("a@a.example", &[&format!("b@{domain}.example")]).await;
    }
    relay.until("all are there", |it| it.messages == 5).await;
    // Three quarters for those of which nothing is known.
    let under_way = [relay.attempt().await, relay.attempt().await, relay.attempt().await];
    relay.no_attempt().await;
    for attempt in under_way {
        relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    }
    for _ in 0..2 {
        let attempt = relay.attempt().await;
        relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    }
    relay.until_empty().await;
    relay.stop().await;
}

/// While the device is full a report cannot be stored: nothing new is tried, nothing is lost, and
/// both the settlement and the report are written when there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_device_loses_no_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    relay.accept("a@a.example", &["b@x.example"]).await;
    let attempt = relay.attempt().await;
    let waiting = relay.store("a@a.example", &["b@y.example"]).await;
    relay.faults.fill();
    relay.end(attempt, answered(&[(0, Fate::Failed)])).await;
    let is_refusing = || relay.spool.health() != spool::Health::Ready;
    let looking = async {
        while !is_refusing() {
            relay.queue.summary(0).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap();
    relay.accepted.send(waiting).await.unwrap();
    relay.no_attempt().await;
    relay.faults.empty();
    relay.spool.tick().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        // The settlement is done again a second later, by the clock.
        let attempt = loop {
            relay.advance(Duration::from_secs(2));
            relay.queue.summary(0).await.unwrap();
            if let Some(attempt) = relay.attempts.try_recv() {
                break attempt;
            }
            tokio::task::yield_now().await;
        };
        seen.push(attempt.destination.to_string());
        relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    }
    seen.sort();
    assert_eq!(seen, ["internet/a.example", "internet/y.example"]);
    relay.until_empty().await;
    relay.metric("chasqui_dsn_total{action=\"failed\"} 1");
    assert!(!relay.registry.render().contains("chasqui_queue_settle_failures_total 0"));
    relay.stop().await;
}

/// The write of a settlement and its report fails in a way that leaves open whether it was done: there
/// is one report in the end, and it is delivered without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_the_device_makes_one_report() {
    for point in 1..=4 {
        let folder = tempfile::tempdir().unwrap();
        let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
        relay.accept("a@a.example", &["b@x.example"]).await;
        let attempt = relay.attempt().await;
        relay.faults.fail_nth_and_fill(point);
        relay.end(attempt, answered(&[(0, Fate::Failed)])).await;
        for _ in 0..200 {
            relay.queue.summary(0).await.unwrap();
        }
        relay.faults.empty();
        relay.spool.tick().await;
        let waiting = async {
            loop {
                relay.clock.advance(Duration::from_secs(2));
                relay.queue.summary(0).await.unwrap();
                if let Some(report) = relay.attempts.try_recv() {
                    break report;
                }
                // The fault may come as late as now, and fill the device.
                relay.faults.empty();
                relay.spool.tick().await;
            }
        };
        let report = tokio::time::timeout(PATIENCE, waiting).await.expect("a report");
        assert_eq!(report.destination.to_string(), "internet/a.example");
        relay.end(report, answered(&[(0, Fate::Delivered)])).await;
        relay.until("the report is settled", |it| it.messages == 0).await;
        // Later points fail when the report itself is settled.
        relay.faults.empty();
        relay.spool.tick().await;
        relay.until_empty().await;
        relay.no_attempt().await;
        assert!(relay.faults.has_failed());
        relay.stop().await;
    }
}

/// Two hundred messages meet every kind of answer, over restarts: each recipient is delivered once or
/// reported once, and nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recipient_ends_once() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    let mut random = 1_u64;
    let mut next = |of: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % of
    };
    for number in 0..200 {
        let recipients = [
            format!("r{number}a@d{}.example", next(5)),
            format!("r{number}b@d{}.example", next(5)),
            format!("r{number}c@d{}.example", next(5)),
        ];
        relay.accept("a@sender.example", &recipients.each_ref().map(String::as_str)).await;
    }
    let [mut ended, mut late] = [const { BTreeMap::<String, u32>::new() }; 2];
    let mut steps = 0;
    loop {
        relay.advance(Duration::from_secs(20));
        let summary = relay.queue.summary(0).await.unwrap();
        if summary.messages == 0 && !summary.is_recovering {
            break;
        }
        let Some(attempt) = relay.attempts.try_recv() else { continue };
        steps += 1;
        assert!(steps < 20_000, "it does not end");
        let stored = relay.spool.load(attempt.id).await.unwrap();
        if stored.envelope.sender == ReversePath::Null {
            let text = content(&relay.spool, attempt.id).await;
            for (recipient, action) in told(&text) {
                let count = if action == "failed" { &mut ended } else { &mut late };
                *count.entry(recipient).or_default() += 1;
            }
            relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
        } else if next(10) == 0 {
            relay.end(attempt, unreachable()).await;
        } else {
            let domain = attempt.destination.domain().unwrap().to_string();
            let mut fates = Vec::new();
            let all = (0..).zip(stored.envelope.recipients.iter().zip(&stored.recipients));
            for (place, (recipient, state)) in all {
                let address = recipient.address.as_str();
                if !state.is_waiting() || !address.ends_with(&domain) {
                    continue;
                }
                let fate = [Fate::Delivered, Fate::Deferred, Fate::Failed]
                    [usize::try_from(next(3)).unwrap()];
                if fate == Fate::Delivered {
                    *ended.entry(address.to_owned()).or_default() += 1;
                }
                fates.push((place, fate));
            }
            relay.end(attempt, answered(&fates)).await;
        }
        drop(stored);
        if steps % 150 == 0 {
            // A stop in order: what was answered is written down, so nothing is doubled.
            while let Some(attempt) = relay.attempts.try_recv() {
                drop(attempt);
            }
            relay.stop().await;
            relay = Relay::start(folder.path(), &clock, Shape::default());
        }
    }
    assert_eq!(relay.spool.counts().messages, 0);
    assert_eq!(ended.len(), 600);
    assert!(ended.values().all(|times| *times == 1), "{ended:?}");
    assert!(late.values().all(|times| *times == 1), "{late:?}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_spool_has_no_more_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    let id = relay.accept("a@a.example", &["b@x.example", "b@y.example"]).await;
    let (one, other) = (relay.attempt().await, relay.attempt().await);
    let gone =
        spool::Settlement { id, recipients: vec![], is_finished: true, report: None, tally: None };
    relay.spool.settle(gone).await.unwrap();
    relay.end(one, Outcome::Missing).await;
    relay.end(other, answered(&[(0, Fate::Deferred), (1, Fate::Deferred)])).await;
    relay.until_empty().await;
    relay.no_attempt().await;
    relay.metric("chasqui_queue_missing_total 2");
    relay.stop().await;
}

/// Recipients that no connector takes wait, as after a mistake in the settings; they are not bounced
/// before their time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_route_mail_waits() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { domains: vec!["x.example".to_owned()], ..Shape::default() };
    let mut relay = Relay::start(folder.path(), &clock(), shape);
    relay.accept("a@a.example", &["b@y.example", "b@x.example"]).await;
    let attempt = relay.attempt().await;
    assert_eq!(attempt.destination.to_string(), "internet/x.example");
    relay.end(attempt, answered(&[(1, Fate::Delivered)])).await;
    relay.until("one rests", |it| it.resting == 1 && it.in_flight == 0).await;
    let line = relay.queue.list(Selection::default(), 1).await.unwrap().lines.remove(0);
    let words = "451 4.4.4 no outbound connector takes this mail for this recipient's domain";
    assert_eq!(line.last_reply.as_deref(), Some(words));
    relay.stop().await;
}

/// Delivery has room for one attempt at a time, and still every message gets there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_channel_only_slows_down() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { attempts_max: 1, ..Shape::default() };
    let mut relay = Relay::start(folder.path(), &clock(), shape);
    let mut ids = std::collections::BTreeSet::new();
    for number in 0..60 {
        ids.insert(relay.accept("a@a.example", &[&format!("b@d{}.example", number % 7)]).await);
    }
    for _ in 0..60 {
        let attempt = relay.attempt().await;
        assert!(ids.remove(&attempt.id), "twice");
        relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    }
    relay.until_empty().await;
    relay.stop().await;
}

/// An attempt that ends after the stop is still written down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_waits_for_what_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let mut relay = Relay::start(folder.path(), &clock, Shape::default());
    relay.accept("a@a.example", &["b@x.example"]).await;
    let attempt = relay.attempt().await;
    relay.stop.send_replace(true);
    let no_more = tokio::time::timeout(PATIENCE, relay.attempts.recv()).await.unwrap();
    assert!(no_more.is_err(), "delivery is told that no more come");
    assert!(!relay.task.is_finished());
    relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    relay.stop().await;
    let relay = Relay::start(folder.path(), &clock, Shape::default());
    relay.until_empty().await;
    relay.stop().await;
}

/// A message that our own machine cannot send, for whatever reason, rests by itself: the destination's other mail
/// goes on, and what is known of the destination stays known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_our_own_holds_up_one_message_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::start(folder.path(), &clock(), Shape::default());
    let bad = relay.accept("a@a.example", &["b@x.example"]).await;
    let attempt = relay.attempt().await;
    assert_eq!(attempt.id, bad);
    let words = Reply::new(451, Some(EnhancedStatus::new(4, 3, 0)), "internal error");
    relay.end(attempt, Outcome::Hindered { reply: words.clone() }).await;
    relay.until("it rests", |it| it.resting == 1 && it.in_flight == 0).await;
    let good = relay.accept("a@a.example", &["c@x.example"]).await;
    let attempt = relay.attempt().await;
    assert_eq!(attempt.id, good);
    relay.end(attempt, unreachable()).await;
    relay.until("both rest", |it| it.resting == 2 && it.in_flight == 0).await;
    relay.advance(2 * MINUTE);
    relay.queue.summary(0).await.unwrap();
    let probe = relay.attempt().await;
    assert_eq!(probe.id, good);
    relay.end(probe, Outcome::Hindered { reply: words }).await;
    relay.until("both rest", |it| it.resting == 2 && it.in_flight == 0).await;
    let summary = relay.queue.summary(10).await.unwrap();
    assert_eq!(summary.destinations[0].connect_failures, 1);
    relay.advance(30 * MINUTE);
    relay.queue.summary(0).await.unwrap();
    for _ in 0..2 {
        let attempt = relay.attempt().await;
        relay.end(attempt, answered(&[(0, Fate::Delivered)])).await;
    }
    relay.until_empty().await;
    relay.stop().await;
}
