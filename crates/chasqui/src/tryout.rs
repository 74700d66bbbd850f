//! Outbound connectors are tried: by the running relay, or from the settings' files alone.

use std::path::Path;

use admin::Failure;
use admin::view::{Edit, Trial, TrialStep, Tried};
use auth::ReturnPaths;
use delivery::{Applications, Handshakes, Logins, Report, Signing, Step, Tester};
use mail::{Directions, Domain, Recipient};
use policy::config::OutboundConnector;
use policy::{Admission, Policy, Protection, Router};
use resolver::Resolver;
use settings::Settings;
use telemetry::Registry;
use units::Clock;

use crate::random::random;
use crate::refused::{blocking, not_edited, not_loaded, unusable};
use crate::{decisions, given, look, return_paths, signing, trial};

/// What every trial needs.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) hostname: Domain,
    pub(crate) clock: Clock,
    pub(crate) resolver: Resolver,
    pub(crate) signing: Signing,
    pub(crate) return_paths: ReturnPaths,
}

/// What shows next hops who the relay is.
pub(crate) struct Keys {
    pub(crate) handshakes: Handshakes,
    pub(crate) logins: Logins,
    pub(crate) applications: Applications,
}

impl Bench {
    /// Tries `connector` with these keys, for mail that `policy` decides about.
    pub(crate) async fn run(
        &self,
        (policy, connector): (&Policy, &OutboundConnector),
        keys: Keys,
        wish: &delivery::Trial,
    ) -> Result<Tried, Failure> {
        let destination = policy.router.by(connector, &wish.recipient).map_err(|error| {
            Failure::wrong(error.to_string(), "name a recipient with a domain in `to`")
        })?;
        let tester = Tester {
            hostname: self.hostname.as_str().into(),
            clock: self.clock.clone(),
            seed: random(),
            resolver: self.resolver.clone(),
            handshakes: keys.handshakes,
            logins: keys.logins,
            applications: keys.applications,
            signing: Some(self.signing.clone()),
            return_paths: self.return_paths.clone(),
        };
        let letter = tester.letter(&connector.name, wish);
        let directions = directions(policy, wish, &letter);
        let letter = delivery::Letter { directions, ..letter };
        let report = tester.run(connector, &destination, (wish, &letter)).await;
        tracing::info!(connector = connector.name, verdict = %report.verdict, "connector tried");
        Ok(view(&connector.name, report))
    }

    /// Tries the connector called `name` of `settings`, be it enabled or not, with what they say.
    pub(crate) async fn run_of(
        &self,
        mut settings: Settings,
        name: &str,
        wish: &delivery::Trial,
    ) -> Result<Tried, Failure> {
        find(&settings.outbound, name)?;
        let named = settings.outbound.iter_mut().filter(|it| it.name == name);
        named.for_each(|it| it.enabled = true);
        let connector = find(&settings.outbound, name)?.clone();
        let (clock, only) = (self.clock.clone(), vec![connector.clone()]);
        let hostname = self.hostname.clone();
        let opened = blocking(move || -> anyhow::Result<_> {
            let keys = Keys {
                handshakes: Handshakes::open(&settings.tls, &only)?,
                logins: Logins::open(&only, &clock)?,
                applications: Applications::open(&only, &clock)?,
            };
            // Where rules are wrong they change nothing; the connector is tried all the same.
            let policy = if let Ok(policy) = decisions::policy(&settings, &hostname) {
                policy
            } else {
                let router = Router::new(only)?.with_hostname(hostname);
                Policy::new(Admission::new(Vec::new()), router)
            };
            Ok((policy, keys, return_paths::open(&settings)?))
        });
        let (policy, keys, return_paths) = opened.await?.map_err(|error| unusable(&error))?;
        let bench = Self { return_paths, ..self.clone() };
        bench.run((&policy, &connector), keys, wish).await
    }
}

/// What would change in a message of `wish` when it leaves.
fn directions(
    policy: &Policy,
    wish: &delivery::Trial,
    letter: &delivery::Letter,
) -> Option<Box<Directions>> {
    let message = trial::Trial {
        client: None,
        listener: "",
        connector: "",
        sender: wish.sender.clone(),
        recipients: vec![Recipient::from(wish.recipient.clone())],
        header: letter.content.to_vec(),
        // Nothing is looked up for it.
        protection: Some(Protection::Open),
    };
    message.decide(policy).directions
}

/// Tries a connector of the settings in `file`, while no relay runs.
pub(crate) async fn of_file(file: &Path, name: &str, trial: Trial) -> Result<Tried, Failure> {
    let wish = read(&trial)?;
    let direction = admin::view::Direction::Outbound;
    let edit = trial.action.map(|action| Edit { direction, name: name.to_owned(), action });
    let settings = settings(file, edit)?;
    let hostname = Domain::parse(&settings.hostname)
        .map_err(|error| Failure::wrong(error.to_string(), "correct `hostname`"))?;
    let resolver = Resolver::open(&settings.resolver, random(), &Registry::new())
        .map_err(|error| Failure::wrong(error.to_string(), "correct `[resolver]`"))?;
    let (clock, registry) = (Clock::system(), Registry::new());
    let signing = signing::open(&settings, &clock, &registry)
        .map_err(|error| Failure::wrong(format!("{error:#}"), "correct `[[dkim]]`"))?;
    let return_paths = ReturnPaths::default();
    let bench = Bench { hostname, clock, resolver, signing, return_paths };
    bench.run_of(settings, name, &wish).await
}

/// What a trial's words mean.
pub(crate) fn read(trial: &Trial) -> Result<delivery::Trial, Failure> {
    let wrong = |key: &str, error: anyhow::Error| {
        Failure::wrong(format!("`{key}`: {error}"), "write an address such as alice@example.com")
    };
    let sender = given::sender(&trial.from).map_err(|error| wrong("from", error))?;
    let recipient = given::address(&trial.to).map_err(|error| wrong("to", error))?;
    Ok(delivery::Trial { sender, recipient, probe: trial.probe })
}

/// The outbound connector called `name`.
pub(crate) fn find<'a>(
    all: &'a [OutboundConnector],
    name: &str,
) -> Result<&'a OutboundConnector, Failure> {
    all.iter().find(|one| one.name == name).ok_or_else(|| {
        let words = format!("there is no outbound connector `{name}`");
        Failure::missing(words, "`chasqui connector list` names them")
    })
}

/// The settings in `file`, as they would be after `edit`. Blocks on files.
pub(crate) fn settings(file: &Path, edit: Option<Edit>) -> Result<Settings, Failure> {
    match edit {
        Some(edit) => settings::plan(file, &[edit], look::all, |_| Vec::new())
            .map(|plan| plan.settings)
            .map_err(|error| not_edited(&error)),
        None => settings::load(file).map_err(|error| not_loaded(&error)),
    }
}

fn view(connector: &str, report: Report) -> Tried {
    let millis = |took: std::time::Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let step = |step: Step| TrialStep {
        step: step.name.to_owned(),
        verdict: step.verdict.name().to_owned(),
        milliseconds: millis(step.took),
        host: step.host.map(Into::into),
        text: step.words,
        advice: step.advice.map(str::to_owned),
    };
    Tried {
        connector: connector.to_owned(),
        verdict: report.verdict.name().to_owned(),
        milliseconds: millis(report.took),
        steps: report.steps.into_iter().map(step).collect(),
    }
}
