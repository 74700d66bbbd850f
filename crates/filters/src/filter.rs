//! One filter: who it is, whether it may be asked, and what its silence means.

use std::sync::Arc;
use std::time::Duration;

use mail::{EnhancedStatus, Reply};
use telemetry::Registry;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use units::Clock;

use crate::answer::{Answer, Decision};
use crate::breaker::Breaker;
use crate::config::{Config, Kind, OnFailure, OnTooLarge, Stage};
use crate::error::{AskError, FiltersError};
use crate::hook::Hook;
use crate::metrics::{Ending, Metrics};
use crate::milter::{Dialogue, Milter};
use crate::question::Question;
use crate::rspamd::Rspamd;

/// A filter that all sessions share.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) name: Arc<str>,
    pub(crate) config: Config,
    way: Way,
    breaker: Arc<Breaker>,
    metrics: Metrics,
    clock: Clock,
}

/// How it is asked.
#[derive(Debug)]
enum Way {
    Milter(Milter),
    Rspamd(Rspamd, Semaphore),
    Hook(Box<Hook>, Semaphore),
}

/// What came of asking.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    pub(crate) health: Health,
}

/// Whether the filter itself has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Answered,
    /// `on_failure` has, or the limit on the content.
    Silent,
}

impl Filter {
    /// Reads the files of secrets, so it blocks.
    pub(crate) fn new(
        config: &Config,
        registry: &Registry,
        clock: &Clock,
    ) -> Result<Self, FiltersError> {
        let wrong = |(key, words)| FiltersError { filter: config.name.clone(), key, words };
        check(config).map_err(|(key, words)| wrong((key, words.to_owned())))?;
        let places = || Semaphore::new(usize::from(config.connections_max.max(1)));
        let way = match config.kind {
            Kind::Milter => Milter::new(config)
                .map(Way::Milter)
                .map_err(|words| wrong(("address", words.to_owned())))?,
            Kind::Rspamd => Way::Rspamd(Rspamd::new(config).map_err(wrong)?, places()),
            Kind::Http => {
                Way::Hook(Box::new(Hook::new(config, clock.clone()).map_err(wrong)?), places())
            }
        };
        let breaker = Arc::new(Breaker::new(config.failures_max, config.rest.as_duration()));
        let metrics = Metrics::register(registry, &config.name, config.stages());
        Metrics::watch(registry, &config.name, &breaker);
        let (name, config, clock) = (config.name.as_str().into(), config.clone(), clock.clone());
        Ok(Self { name, config, way, breaker, metrics, clock })
    }

    /// Whether it is asked at this stage.
    pub(crate) fn asks(&self, stage: Stage) -> bool {
        self.config.stages().contains(&stage)
    }

    /// Asks within the time limits; a failure becomes what `on_failure` says.
    pub(crate) async fn ask(
        &self,
        dialogue: &mut Option<Box<Dialogue>>,
        question: &Question<'_>,
    ) -> Outcome {
        let stage = question.stage;
        if let Some(answer) = self.too_large(question) {
            self.metrics.noted(stage, Ending::Skipped);
            return Outcome { answer, health: Health::Silent };
        }
        let begun = self.clock.now();
        if !self.breaker.lets_through(begun) {
            self.metrics.noted(stage, Ending::Failed);
            return self.failed(&AskError::Rests);
        }
        let asked = timeout(self.wait_max(stage), self.ask_now(dialogue, question)).await;
        let asked = asked.unwrap_or(Err(AskError::Late));
        let now = self.clock.now();
        let took = now.saturating_duration_since(begun);
        match asked {
            Ok(answer) => {
                self.breaker.worked();
                self.metrics.answered(stage, ending(&answer), took);
                Outcome { answer, health: Health::Answered }
            }
            Err(error) => {
                if error.is_failure() {
                    self.breaker.failed(now);
                }
                self.metrics.answered(stage, Ending::Failed, took);
                self.failed(&error)
            }
        }
    }

    /// Whether a session between two messages may keep its connection.
    pub(crate) fn has_room(&self) -> bool {
        match &self.way {
            Way::Milter(milter) => milter.has_room(),
            Way::Rspamd(..) | Way::Hook(..) => false,
        }
    }

    async fn ask_now(
        &self,
        dialogue: &mut Option<Box<Dialogue>>,
        question: &Question<'_>,
    ) -> Result<Answer, AskError> {
        match &self.way {
            Way::Milter(milter) => milter.ask(dialogue, question).await,
            Way::Rspamd(rspamd, places) => {
                let _place = self.place(places).await?;
                rspamd.ask(question).await
            }
            Way::Hook(hook, places) => {
                let _place = self.place(places).await?;
                hook.ask(question).await
            }
        }
    }

    async fn place<'a>(
        &self,
        places: &'a Semaphore,
    ) -> Result<tokio::sync::SemaphorePermit<'a>, AskError> {
        let place = timeout(self.config.answer_wait_max.as_duration(), places.acquire()).await;
        place.ok().and_then(Result::ok).ok_or(AskError::Busy)
    }

    fn wait_max(&self, stage: Stage) -> Duration {
        // A milter's single answers have a limit of their own, which progress extends.
        let is_short = !stage.has_content() && self.config.kind != Kind::Milter;
        let config = &self.config;
        if is_short { config.answer_wait_max } else { config.content_wait_max }.as_duration()
    }

    fn too_large(&self, question: &Question<'_>) -> Option<Answer> {
        let (content, octets_max) = (question.content?, self.config.content_octets_max);
        let octets = content.octets();
        if octets <= octets_max.as_octets() && content.header().is_some() {
            return None;
        }
        let words =
            format!("not asked: {octets} octets are more than the {octets_max} it is shown");
        let decision = match self.config.on_too_large {
            OnTooLarge::Skip => Decision::Continue,
            OnTooLarge::Refuse => {
                let text = format!("content that a filter must see may have {octets_max} at most");
                Decision::Refuse(Reply::new(552, Some(EnhancedStatus::new(5, 3, 4)), text))
            }
        };
        Some(Answer { decision, words, ..Answer::default() })
    }

    fn failed(&self, error: &AskError) -> Outcome {
        let (decision, follows) = match self.config.on_failure {
            OnFailure::Accept => (Decision::Continue, "goes on without it"),
            OnFailure::Tempfail => {
                let text = "a filter cannot be asked at the moment; try again later";
                let reply = Reply::new(451, Some(EnhancedStatus::FILTERED), text);
                (Decision::Refuse(reply), "refused for now")
            }
        };
        let words = format!("failed: {error}; {follows}");
        Outcome { answer: Answer { decision, words, ..Answer::default() }, health: Health::Silent }
    }
}

/// What is wrong with the settings besides addresses and files: the key, and words.
fn check(config: &Config) -> Result<(), (&'static str, &'static str)> {
    let kind = config.kind;
    let sees_content_alone = config.stages().iter().all(|stage| stage.has_content());
    let faults = [
        (config.name.is_empty(), "name", "is missing: it stands in logs and metrics"),
        (
            kind == Kind::Rspamd && !sees_content_alone,
            "stages",
            "of rspamd may only be \"data\" and \"delivery\"",
        ),
        (
            kind != Kind::Rspamd && config.password_file.is_some(),
            "password_file",
            "is for rspamd alone",
        ),
        (
            kind != Kind::Rspamd && config.settings_id.is_some(),
            "settings_id",
            "is for rspamd alone",
        ),
        (kind != Kind::Http && config.token_file.is_some(), "token_file", "is for hooks alone"),
        (
            kind != Kind::Http && config.signature_key_file.is_some(),
            "signature_key_file",
            "is for hooks alone",
        ),
        (config.connections_max == 0, "connections_max", "must be at least 1"),
    ];
    faults
        .into_iter()
        .find(|(is_wrong, ..)| *is_wrong)
        .map_or(Ok(()), |(_, key, words)| Err((key, words)))
}

fn ending(answer: &Answer) -> Ending {
    match &answer.decision {
        Decision::Continue if answer.hold.is_some() => Ending::Held,
        Decision::Continue => Ending::Continued,
        Decision::Accept => Ending::Accepted,
        Decision::Refuse(reply) if reply.is_permanent() => Ending::Refused,
        Decision::Refuse(_) => Ending::Deferred,
        Decision::Discard => Ending::Discarded,
    }
}
