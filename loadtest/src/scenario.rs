//! A scenario: what is sent, how the next hop behaves, and what the relay must be set to.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use units::{ByteSize, Span};

use crate::load::Load;
use crate::sink::script::SinkScript;

/// One TOML file of `loadtest/scenarios`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Scenario {
    /// Short, as it is typed.
    pub(crate) name: String,
    /// A sentence on what it shows.
    pub(crate) about: String,
    pub(crate) load: Load,
    pub(crate) sink: SinkScript,
    pub(crate) relay: RelayNeeds,
    /// How long nothing may arrive, once all is accepted, until what is missing counts as lost.
    pub(crate) settle_wait_max: Span,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: String::new(),
            about: String::new(),
            load: Load::default(),
            sink: SinkScript::default(),
            relay: RelayNeeds::default(),
            settle_wait_max: Span::seconds(60),
        }
    }
}

/// What whoever starts a relay must switch on for the scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RelayNeeds {
    /// The listener offers STARTTLS, or speaks TLS at once where the load says implicit.
    pub(crate) tls_in: bool,
    /// The relay uses STARTTLS towards the next hop, whatever certificate that has.
    pub(crate) tls_out: bool,
    /// Connections that the relay may have to one next hop.
    pub(crate) connections_per_destination: u32,
    /// The longest rest before another try, of a message and of a next hop.
    pub(crate) retry_after: Span,
    /// Messages that must fit the queue.
    pub(crate) queue_messages: u64,
    /// The largest message that must be taken.
    pub(crate) message_size_max: ByteSize,
}

impl Default for RelayNeeds {
    fn default() -> Self {
        Self {
            tls_in: false,
            tls_out: false,
            connections_per_destination: 50,
            retry_after: Span::seconds(1),
            queue_messages: 1_000_000,
            message_size_max: ByteSize::mib(25),
        }
    }
}

impl Scenario {
    /// The scenario in the file at `path`.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the scenario {}", path.display()))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// The scenario in `text`; `origin` is named in errors.
    pub(crate) fn parse(text: &str, origin: &str) -> anyhow::Result<Self> {
        let scenario: Self =
            toml::from_str(text).with_context(|| format!("the scenario {origin} is wrong"))?;
        Ok(scenario)
    }

    /// The shipped scenario of that name.
    pub(crate) fn named(name: &str) -> anyhow::Result<Self> {
        let (_, text) =
            Self::shipped().iter().find(|(shipped, _)| *shipped == name).with_context(|| {
                let names: Vec<_> = Self::shipped().iter().map(|(name, _)| *name).collect();
                format!("no scenario `{name}` is shipped: there are {}", names.join(", "))
            })?;
        Self::parse(text, name)
    }

    /// Name and text of each scenario that comes with the program.
    pub(crate) fn shipped() -> &'static [(&'static str, &'static str)] {
        &[("reused", include_str!("../scenarios/reused.toml"))]
    }
}
