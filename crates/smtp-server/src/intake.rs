//! What operators are told of inbound connectors with limits.

use std::sync::Arc;

use mail::Timestamp;
use telemetry::{Gauges, Registry};

const OF_INTAKE: [(&str, &str); 4] = [
    (
        "reception_connector_messages_today",
        "Messages that an inbound connector with limits has taken since 00:00 UTC.",
    ),
    (
        "reception_connector_recipients_today",
        "Recipients of messages that an inbound connector with limits has taken since 00:00 UTC.",
    ),
    (
        "reception_connector_connections",
        "Connections that have begun a message which an inbound connector with limits takes.",
    ),
    (
        "reception_connector_limit_reached",
        "1 while an inbound connector has taken what it may in a day.",
    ),
];

/// What has come by an inbound connector with limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intake {
    /// Its name.
    pub connector: String,
    /// Connections that have begun a message.
    pub connections: u64,
    /// How many there may be.
    pub connections_max: Option<u32>,
    /// Messages since 00:00 UTC.
    pub messages_today: u64,
    /// How many there may be.
    pub daily_messages_max: Option<u32>,
    /// Recipients since 00:00 UTC.
    pub recipients_today: u64,
    /// How many there may be.
    pub daily_recipients_max: Option<u32>,
    /// Until when no more is taken, if a limit of the day is reached.
    pub full_until: Option<Timestamp>,
}

/// Shows it as metrics.
#[derive(Debug)]
pub struct IntakeGauges(Gauges<4>);

impl IntakeGauges {
    /// Nothing is shown yet.
    pub fn new(registry: &Arc<Registry>) -> Self {
        Self(Gauges::new(registry, "connector", OF_INTAKE))
    }

    /// Shows how it stands by now.
    pub fn show(&mut self, intakes: &[Intake]) {
        let shown = |it: &Intake| {
            let is_full = it.full_until.is_some().into();
            [it.messages_today, it.recipients_today, it.connections, is_full]
        };
        self.0.show(intakes.iter().map(|it| (it.connector.as_str(), shown(it))));
    }
}
