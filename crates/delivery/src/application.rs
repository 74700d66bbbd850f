//! Applications as next hops: opened at the start and at reload.

mod answer;
mod command;
mod copy;
mod handed;
mod line;
mod post;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use filters::poster::{Poster, Target};
use mail::Address;
use policy::config::{self, OutboundConnector};
use spool::ReadError;
use units::Clock;

use crate::words::{OUR_SIDE, later, span};

pub(crate) use answer::Answer;
pub(crate) use copy::copy;
pub(crate) use handed::{Handed, Said, Seen, Verdict};

/// The applications of the outbound connectors. Cheap to clone; all clones see a change at once.
#[derive(Clone, Debug, Default)]
pub struct Applications(Arc<ArcSwap<HashMap<Box<str>, Arc<Application>>>>);

/// An application, ready to be handed messages.
#[derive(Debug)]
pub(crate) struct Application {
    settings: config::Application,
    pub(crate) address: Address,
    way: Way,
}

/// How it is handed a message.
#[derive(Debug)]
enum Way {
    Post(Box<Poster>),
    Command(command::Program),
}

/// Why an application cannot be used; the operator mends the file or the settings.
#[derive(Debug, thiserror::Error)]
#[error("the application of outbound connector `{connector}` cannot be used: {key} {words}")]
pub struct ApplicationError {
    /// Whose.
    pub connector: String,
    /// The key of `application` that is wrong.
    pub key: &'static str,
    /// What is wrong with it.
    pub words: String,
}

impl Applications {
    /// Reads the secrets of all enabled connectors that lead to applications. Blocks on files.
    ///
    /// # Errors
    /// At the first application that cannot be used.
    pub fn open(connectors: &[OutboundConnector], clock: &Clock) -> Result<Self, ApplicationError> {
        let mut all = HashMap::new();
        for connector in connectors.iter().filter(|connector| connector.enabled) {
            let Some(settings) = &connector.application else { continue };
            let application = Application::open(settings, connector, clock);
            let application = application.map_err(|(key, words)| ApplicationError {
                connector: connector.name.clone(),
                key,
                words,
            })?;
            all.insert(connector.name.as_str().into(), Arc::new(application));
        }
        Ok(Self(Arc::new(ArcSwap::from_pointee(all))))
    }

    /// Uses what `other` was opened with from now on, as do all clones.
    pub fn replace(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// The application of the connector called `name`.
    pub(crate) fn of(&self, name: &str) -> Option<Arc<Application>> {
        self.0.load().get(name).cloned()
    }
}

impl Application {
    fn open(
        settings: &config::Application,
        connector: &OutboundConnector,
        clock: &Clock,
    ) -> Result<Self, (&'static str, String)> {
        let address = settings.parsed().map_err(|words| ("address", words.to_owned()))?;
        let way = match (&settings.url, settings.command.as_slice()) {
            (Some(url), []) => {
                let target = Target {
                    url,
                    token_file: settings.token_file.as_deref(),
                    signature_key_file: settings.signature_key_file.as_deref(),
                    idle_max: usize::try_from(connector.limits.connections_max)
                        .unwrap_or(usize::MAX),
                };
                let poster = Poster::open(&target, clock.clone());
                Way::Post(Box::new(poster.map_err(|error| (error.key, error.words))?))
            }
            (None, [program, arguments @ ..]) => {
                Way::Command(command::Program::new(program, arguments))
            }
            _ => return Err(("url", "must be there, or `command` in its place".to_owned())),
        };
        Ok(Self { settings: settings.clone(), address, way })
    }

    /// Looks whether it is there, and hands it nothing.
    pub(crate) async fn look(&self, wait: Duration) -> Seen {
        match &self.way {
            Way::Post(poster) => post::look(poster, wait).await,
            Way::Command(program) => program.look().await,
        }
    }

    /// Hands it a message; whatever it does, this ends in its time.
    ///
    /// # Errors
    /// When the content cannot be read.
    pub(crate) async fn ask(&self, handed: &Handed<'_>) -> Result<Said, ReadError> {
        let followers_max = self.settings.followers_max;
        let wait = self.settings.answer_wait_max.as_duration();
        let late = || {
            let words = format!("the application took longer than {}", span(wait));
            Said { verdict: Verdict::Later(later(OUR_SIDE, words)), peer: None }
        };
        match &self.way {
            Way::Post(poster) => {
                let posting = post::post(poster, handed, followers_max);
                tokio::time::timeout(wait, posting).await.unwrap_or_else(|_| Ok(late()))
            }
            Way::Command(program) => {
                let said = program.run(handed, (followers_max, wait)).await?;
                Ok(said.unwrap_or_else(late))
            }
        }
    }
}

impl fmt::Display for Application {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Post(poster) => out.write_str(poster.host()),
            Way::Command(program) => out.write_str(program.name()),
        }
    }
}
