//! All filters, in their order.

use std::sync::Arc;

use mail::ReversePath;
use telemetry::Registry;
use units::Clock;

use crate::config::{Config, Stage};
use crate::error::FiltersError;
use crate::facts::{Content, Facts, Recipient};
use crate::filter::Filter;
use crate::session::Session;
use crate::verdict::ContentVerdict;

/// All filters; made once and handed to whoever asks them.
#[derive(Debug, Default)]
pub struct Filters(Vec<Arc<Filter>>);

impl Filters {
    /// Takes the filters in the order in which they are asked. Reads the files of secrets, so it blocks.
    ///
    /// # Errors
    /// When a filter cannot be used as it is set.
    pub fn new(
        configs: &[Config],
        registry: &Registry,
        clock: &Clock,
    ) -> Result<Self, FiltersError> {
        for (number, config) in configs.iter().enumerate() {
            if configs.iter().take(number).any(|other| other.name == config.name) {
                let words = "is the name of another filter too".to_owned();
                return Err(FiltersError { filter: config.name.clone(), key: "name", words });
            }
        }
        let filter = |config| Filter::new(config, registry, clock).map(Arc::new);
        configs.iter().map(filter).collect::<Result<_, _>>().map(Self)
    }

    /// Tries one filter's settings and files of secrets, without using it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn look(config: &Config, clock: &Clock) -> Result<(), FiltersError> {
        Filter::new(config, &Registry::new(), clock).map(drop)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins to ask about a client's session; none if no filter has to do with its listener (`facts.scope`).
    pub fn session(&self, facts: Facts) -> Option<Session> {
        let in_sessions = |filter: &Filter| {
            let mut stages = filter.config.stages().iter();
            filter.config.applies(&facts.scope) && stages.any(|stage| *stage != Stage::Delivery)
        };
        let filters: Vec<_> = self.0.iter().filter(|it| in_sessions(it)).cloned().collect();
        (!filters.is_empty()).then(|| Session::new(filters, facts))
    }

    /// The largest content that a filter wants to see before it goes out by this connector; none if no filter is asked.
    pub fn delivery_octets_max(&self, connector: &str) -> Option<u64> {
        self.for_delivery(connector).map(|it| it.config.content_octets_max.as_octets()).max()
    }

    /// Asks about a message before it goes out to these recipients by the connector `facts.scope`.
    pub async fn delivery(
        &self,
        facts: Facts,
        (sender, recipients): (ReversePath, Vec<Recipient>),
        content: Content,
    ) -> ContentVerdict {
        let filters: Vec<_> = self.for_delivery(&facts.scope).cloned().collect();
        Session::new(filters, facts).delivery(sender, recipients, content).await
    }

    fn for_delivery(&self, connector: &str) -> impl Iterator<Item = &Arc<Filter>> {
        let is_asked =
            move |it: &&Arc<Filter>| it.asks(Stage::Delivery) && it.config.applies(connector);
        self.0.iter().filter(is_asked)
    }
}
