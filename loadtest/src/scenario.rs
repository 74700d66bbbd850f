//! A scenario: what is sent, how the next hop behaves, and what the relay must be set to.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use units::{ByteSize, Span};

use crate::load::Load;
use crate::plan::Plan;
use crate::sink::faults::Faults;
use crate::sink::script::SinkScript;

/// Name and text of each file of `loadtest/scenarios`.
macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../scenarios/", $name, ".toml")))),*]
    };
}

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
        scenario.check().with_context(|| format!("the scenario {origin} is wrong"))?;
        Ok(scenario)
    }

    /// Whether everything in it makes sense: a mistake shall show before a relay is started.
    fn check(&self) -> anyhow::Result<()> {
        Plan::new(&self.load, &self.sink.classes, 0)?;
        Faults::new(&self.sink, &self.load)?;
        Ok(())
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
        shipped![
            "small",
            "reused",
            "medium",
            "large",
            "domains",
            "recipients",
            "distant",
            "down",
            "failing",
            "failing-not",
            "tls",
            "tls-small",
            "million",
            "day",
            "steady",
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::script::DomainClass;

    #[test]
    fn each_shipped_scenario_makes_sense_and_has_its_files_name() {
        for (name, _) in Scenario::shipped() {
            let scenario = Scenario::named(name).unwrap();
            assert_eq!(scenario.name, *name);
            assert!(!scenario.about.is_empty() && scenario.about.len() < 90, "{name}");
        }
    }

    #[test]
    fn each_file_is_shipped_and_says_what_it_shows() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let names = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string());
        let mut files: Vec<_> = names
            .filter_map(|name| name.unwrap().strip_suffix(".toml").map(str::to_owned))
            .collect();
        files.sort_unstable();
        let mut shipped: Vec<_> = Scenario::shipped().iter().map(|(name, _)| *name).collect();
        shipped.sort_unstable();
        assert_eq!(files, shipped);
        assert!(Scenario::shipped().iter().all(|(_, text)| text.starts_with("# ")));
    }

    #[test]
    fn the_good_are_the_same_with_and_without_bad_ones() {
        let [bad, not] = ["failing", "failing-not"].map(|name| Scenario::named(name).unwrap());
        let classes = |scenario: &Scenario| -> Vec<_> {
            let classes = scenario.sink.classes.iter();
            classes
                .map(|class| (class.name.clone(), class.domains.clone(), class.own_next_hop))
                .collect()
        };
        assert_eq!(classes(&bad), classes(&not));
        let load = |scenario: &Scenario| format!("{:?}{:?}", scenario.load, scenario.relay);
        assert_eq!(load(&bad), load(&not));
    }

    /// The reference shows each key with its default, so that it cannot name one that is not.
    #[test]
    fn the_reference_shows_the_defaults() {
        let text = include_str!("../scenarios/README.md");
        let block = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let mut shown = Scenario::parse(block, "README.md").unwrap();
        let classes = std::mem::take(&mut shown.sink.classes);
        assert_eq!(format!("{shown:?}"), format!("{:?}", Scenario::default()));
        let named = DomainClass {
            name: "slow".to_owned(),
            domains: "0..10".to_owned(),
            ..DomainClass::default()
        };
        assert_eq!(format!("{classes:?}"), format!("{:?}", [named]));
        for keys in [format!("{:?}", Load::default()), format!("{:?}", SinkScript::default())] {
            for key in keys.split_whitespace().filter_map(|word| word.strip_suffix(':')) {
                assert!(
                    key == "classes"
                        || text.contains(&format!("\n{key} = "))
                        || text.contains(&format!("`{key}")),
                    "{key}"
                );
            }
        }
    }

    /// The day ends with its messages.
    #[test]
    fn the_day_has_48_seconds() {
        let day = Scenario::named("day").unwrap();
        let plan = Plan::new(&day.load, &[], 1).unwrap();
        assert_eq!(plan.timetable.unwrap().due(day.load.messages).as_secs(), 48);
    }

    #[test]
    fn a_mistake_names_its_file_and_key() {
        for (text, key) in [
            ("[load]\nmesages = 1", "mesages"),
            ("[load]\nsize = 10", "size"),
            ("[load]\nsize = '0KB'", "size"),
            ("[load]\ndomains = 0", "load.domains"),
            ("[load]\npace = 0.0", "load.pace"),
            ("[load]\nrecipients = []", "load.recipients"),
            ("[sink]\ndown_for = 3", "down_for"),
            ("[[sink.domain]]\nname = 'slow'\ndomains = 'x'", "sink.domain slow"),
            (
                "[[sink.domain]]\nname = 'slow'\ndomains = '0'\ndisconnect = 'mail'",
                "sink.domain slow",
            ),
            ("[[sink.domain]]\nname = 'slow'\ndisconnect = 'soon'", "soon"),
        ] {
            let error = format!("{:#}", Scenario::parse(text, "my.toml").unwrap_err());
            assert!(error.contains("my.toml") && error.contains(key), "{text}: {error}");
        }
        assert!(format!("{:#}", Scenario::named("smal").unwrap_err()).contains("there are small"));
        let missing = Scenario::read(Path::new("/nowhere/at/all.toml")).unwrap_err();
        assert!(format!("{missing:#}").contains("/nowhere/at/all.toml"));
    }
}
