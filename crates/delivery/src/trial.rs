//! A connector is tried as mail would use it, step by step, and nothing is sent.

mod application;
mod probe;
mod tlsa;
mod words;

use std::sync::Arc;
use std::time::Duration;

use auth::ReturnPaths;
use bytes::Bytes;
use mail::{
    Address, BodyType, Destination, Directions, MessageId, Recipient, ReversePath, Timestamp,
    Wishes,
};
use policy::config::{OutboundConnector, Timeouts};
use resolver::{Dice, Resolver};
use smtp_session::client::{Outgoing, envelope_commands};
use telemetry::Registry;
use units::{Clock, Span};

use crate::address::{Address as Place, Candidate};
use crate::application::Applications;
use crate::connect::{bind, plain};
use crate::dane::Demand;
use crate::handshakes::Handshakes;
use crate::hosts::{Host, NoHost, hosts};
use crate::login::Logins;
use crate::means::Means;
use crate::metrics::{ConnectorMetrics, Metrics};
use crate::open::{Opened, Opener};
use crate::rests::Rests;
use crate::return_path;
use crate::signing::{Desk, Signing};
use crate::trail::{Step, Trail, Verdict};

/// An operator waits: no step takes longer, whatever the connector's time limits are.
const STEP_WAIT_MAX: Span = Span::seconds(8);
/// And all of them together.
const WAIT_MAX: Duration = Duration::from_secs(25);
/// Addresses that are tried.
const ADDRESSES_MAX: usize = 5;

/// What connectors are tried with: the same that deliveries have, or what settings that are not in force say.
#[derive(Clone, Debug)]
pub struct Tester {
    /// What EHLO says.
    pub hostname: Box<str>,
    /// What time it is.
    pub clock: Clock,
    /// Decides the order among equal hosts.
    pub seed: u64,
    /// Who the hosts are.
    pub resolver: Resolver,
    /// How TLS is started.
    pub handshakes: Handshakes,
    /// How to log in.
    pub logins: Logins,
    /// Who signs the small message, if anybody does.
    pub signing: Option<Signing>,
    /// Who stands in MAIL in place of the sender, where the connector wants it.
    pub return_paths: ReturnPaths,
    /// Who takes messages without a mail server.
    pub applications: Applications,
}

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Whom MAIL names.
    pub sender: ReversePath,
    /// Whom RCPT names.
    pub recipient: Address,
    /// Whether a small message is sent in the end.
    pub probe: bool,
}

/// The small message, and what was decided about it.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its content, as if it had come in.
    pub content: Bytes,
    /// What changes when it leaves; none if nothing does.
    pub directions: Option<Box<Directions>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What all steps come to.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
    /// Each step, in the order in which they were done; those that were not come last.
    pub steps: Vec<Step>,
}

impl Tester {
    /// Tries `connector` for mail to `destination`, host by host in their order until one serves.
    pub async fn run(
        &self,
        connector: &OutboundConnector,
        destination: &Destination,
        (trial, letter): (&Trial, &Letter),
    ) -> Report {
        let connector = hurried(connector);
        let begun = self.clock.now();
        let trail = Trail::new(&self.clock);
        let means = Means {
            hostname: self.hostname.clone(),
            clock: self.clock.clone(),
            dice: Dice::new(self.seed),
            resolver: self.resolver.clone(),
            handshakes: self.handshakes.clone(),
            logins: self.logins.clone(),
            without_tls: Rests::new(Duration::ZERO),
        };
        // Nobody reads these: a trial is no delivery.
        let metrics = Metrics::register(&Arc::new(Registry::new()), &[]).of(&connector);
        let walk = Walk {
            means: &means,
            connector: &connector,
            metrics: &metrics,
            desk: &Desk::new(self.signing.clone()),
            trail: &trail,
            trial,
            letter,
            id: MessageId::new(self.clock.unix_millis(), means.dice.roll().into()),
            return_paths: &self.return_paths,
            applications: &self.applications,
        };
        let has_application = connector.application.is_some();
        let is_wanted = |name: &&str| match *name {
            Step::APPLICATION => has_application,
            _ if has_application => false,
            "probe" => trial.probe,
            "source" => !connector.source_addresses.is_empty(),
            "auth" => connector.login.is_some(),
            "tlsa" => connector.tls.is_dane(),
            _ => true,
        };
        let names: Vec<_> = Step::NAMES.into_iter().filter(is_wanted).collect();
        if tokio::time::timeout(WAIT_MAX, walk.hosts(destination)).await.is_err() {
            // Of the source nothing is waited for.
            let last = trail.steps().last().map_or("source", |step| step.name);
            let mut rest = Step::NAMES.into_iter().skip_while(|name| *name != last).skip(1);
            let name = rest.find(is_wanted).unwrap_or("reset");
            let words = format!("the test took more than {} s", WAIT_MAX.as_secs());
            trail.advise(name, Verdict::Fail, (&words, Some(words::SLOW)));
        }
        let mut steps = trail.steps();
        let verdict = steps.iter().map(|step| step.verdict).max().unwrap_or(Verdict::Fail);
        for name in names {
            if !steps.iter().any(|step| step.name == name) {
                let (verdict, took) = (Verdict::Skipped, Duration::ZERO);
                let words = "not reached".to_owned();
                steps.push(Step { name, verdict, took, host: None, words, advice: None });
            }
        }
        Report { verdict, took: self.clock.now().saturating_duration_since(begun), steps }
    }
}

/// The same connector with shorter time limits.
fn hurried(connector: &OutboundConnector) -> OutboundConnector {
    let Timeouts { connect, greeting, ehlo, mail, rcpt, data, block, dot } = connector.timeouts;
    let short = |span: Span| span.min(STEP_WAIT_MAX);
    OutboundConnector {
        timeouts: Timeouts {
            connect: short(connect),
            greeting: short(greeting),
            ehlo: short(ehlo),
            mail: short(mail),
            rcpt: short(rcpt),
            data: short(data),
            block: short(block),
            dot: short(dot),
        },
        ..connector.clone()
    }
}

/// One trial under way.
struct Walk<'a> {
    means: &'a Means,
    connector: &'a OutboundConnector,
    metrics: &'a Arc<ConnectorMetrics>,
    desk: &'a Desk,
    trail: &'a Trail,
    trial: &'a Trial,
    letter: &'a Letter,
    /// What the small message is called, in return paths and in the log.
    id: MessageId,
    return_paths: &'a ReturnPaths,
    applications: &'a Applications,
}

impl Walk<'_> {
    async fn hosts(&self, destination: &Destination) {
        if self.connector.application.is_some() {
            return self.application().await;
        }
        self.sources();
        let found = match hosts(destination, self.connector, self.means).await {
            Ok(found) => found,
            Err(NoHost::Never(reply) | NoHost::Later(reply)) => {
                return self.fail("dns", reply.text(), words::DNS);
            }
        };
        let mut tries_left = ADDRESSES_MAX;
        for host in found {
            for candidate in self.candidates(&host).await {
                if tries_left == 0 {
                    return;
                }
                tries_left -= 1;
                if self.candidate(&candidate).await {
                    return;
                }
            }
        }
    }

    /// Whether this machine has the source addresses.
    fn sources(&self) {
        let sources = &self.connector.source_addresses;
        let refusal = |source: &std::net::IpAddr| {
            bind(*source).err().map(|error| format!("{source}: {}", plain(&error)))
        };
        let refused: Vec<_> = sources.iter().filter_map(refusal).collect();
        if refused.len() == sources.len() && !sources.is_empty() {
            self.fail("source", &refused.join(", "), words::SOURCE);
        } else if !refused.is_empty() {
            let (words, advice) = (refused.join(", "), Some(words::SOURCE));
            self.trail.advise("source", Verdict::Warn, (&words, advice));
        } else if !sources.is_empty() {
            let sources: Vec<_> = sources.iter().map(ToString::to_string).collect();
            let words = format!("{} can be used", sources.join(", "));
            self.trail.note("source", Verdict::Pass, &words);
        }
    }

    async fn candidates(&self, host: &Host) -> Vec<Candidate> {
        self.trail.at(host.name.to_string());
        let addresses = match host.addresses(&self.means.resolver).await {
            Ok(addresses) => addresses,
            Err(error) => {
                self.fail("dns", &error.to_string(), words::DNS);
                return Vec::new();
            }
        };
        let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        self.trail.note("dns", Verdict::Pass, &texts.join(", "));
        let Some(demand) = self.demand(host).await else { return Vec::new() };
        let at = |address| {
            let (host, demand) = (host.name.clone(), demand.clone());
            Candidate { host, address, demand }
        };
        addresses.into_iter().map(at).collect()
    }

    /// Tries one address; false if the next one is to be tried, as a delivery would.
    async fn candidate(&self, candidate: &Candidate) -> bool {
        if let Place::Tcp(address) = &candidate.address {
            self.trail.at(format!("{}[{}]:{}", candidate.host, address.ip(), address.port()));
        }
        let (means, connector, metrics) = (self.means, self.connector, self.metrics);
        let opener = Opener { means, connector, metrics, trail: Some(self.trail) };
        match opener.reach(candidate).await {
            Ok(opened) => {
                // Mail goes this way, whatever the hosts before said.
                self.trail.forgive();
                self.envelope(&opener, opened).await;
                true
            }
            Err(refused) => {
                let (step, advice) = match candidate.demand {
                    Demand::Dane(_) => words::of_dane(refused.stage),
                    _ => words::of_stage(refused.stage),
                };
                self.fail(step, &refused.words, advice);
                false
            }
        }
    }

    /// Says MAIL and RCPT and takes them back; then sends the probe if it is wanted.
    async fn envelope(&self, opener: &Opener<'_>, mut opened: Opened) {
        let outgoing = self.outgoing(0);
        let lines = match envelope_commands(&outgoing, &opened.extensions) {
            Ok(lines) => lines,
            Err(reply) => return self.fail("mail", &reply.to_string(), words::MAIL),
        };
        let mut is_taken = true;
        let Timeouts { mail, rcpt, .. } = self.connector.timeouts;
        let steps = [("mail", mail, words::MAIL), ("rcpt", rcpt, words::RCPT)];
        for (line, (step, wait, advice)) in lines.iter().zip(steps) {
            match opened.hello.command(line, wait.as_duration()).await {
                Ok(reply) if reply.is_success() => {
                    let other = Some(&outgoing.sender).filter(|it| **it != self.trial.sender);
                    let other = other.filter(|_| step == "mail");
                    let other = other.map(|it| format!("; MAIL names {it}")).unwrap_or_default();
                    self.trail.note(step, Verdict::Pass, &format!("{reply}{other}"));
                }
                Ok(reply) => {
                    let advice = if reply.is_permanent() { advice } else { words::LATER };
                    self.fail(step, &reply.to_string(), advice);
                    is_taken = false;
                    break;
                }
                Err(error) => return self.fail(step, &error.to_string(), words::BROKEN),
            }
        }
        match opened.hello.command("RSET", self.connector.timeouts.mail.as_duration()).await {
            Ok(reply) if reply.is_success() => {
                self.trail.note("reset", Verdict::Pass, &reply.to_string());
            }
            Ok(reply) => self.trail.note("reset", Verdict::Warn, &reply.to_string()),
            Err(error) => {
                self.trail.note("reset", Verdict::Warn, &error.to_string());
                return;
            }
        }
        let mut connection = opener.ready(opened);
        if is_taken && self.trial.probe {
            self.probe(&mut connection).await;
        }
        connection.quit().await;
    }

    fn outgoing(&self, octets: u64) -> Outgoing {
        let Trial { sender, recipient, .. } = self.trial;
        let now = Timestamp::from_millis(self.means.clock.unix_millis());
        let mailed = (self.id, sender, self.letter.directions.as_deref());
        let sender = return_path::of(mailed, &[0], (self.connector, self.return_paths), now);
        let is_wide =
            !recipient.is_ascii() || sender.address().is_some_and(|address| !address.is_ascii());
        Outgoing {
            sender,
            recipients: vec![Recipient::from(recipient.clone())],
            octets,
            body_type: if is_wide { BodyType::EightBitMime } else { BodyType::SevenBit },
            needs_smtputf8: is_wide,
            wishes: Box::new(Wishes::default()),
            now,
        }
    }

    fn fail(&self, step: &'static str, words: &str, advice: &'static str) {
        self.trail.advise(step, Verdict::Fail, (words, Some(advice)));
    }
}
