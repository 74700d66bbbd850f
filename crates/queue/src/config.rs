//! The settings of the queue.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::Span;

/// `[queue]`: when mail is tried again, and when it is given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Age at which a message that still is refused for now, or still finds nobody, is given up. It
    /// gets a last try at that age; the sender then gets a report with status 4.4.7 that quotes the
    /// last reply (RFC 5321 §4.5.4.1 wants 4 to 5 days at least).
    pub expire_after: Span,
    /// Age at which the sender of a message that still waits is told so, once for each recipient, in a report with
    /// the action `delayed`; `0s` is never. It is told after the first try from then on. Senders choose for
    /// themselves by NOTIFY (RFC 3461 §4.1); one who does not say is told. The age counts from when the message
    /// may go (RFC 4865). A time set by `BY=` with the mode `N` stands in its place (RFC 2852).
    pub delay_report_after: Span,
    /// How long a destination rests that could not be connected to. All its mail waits; then one
    /// message is tried, and the rest follows when that one gets an answer.
    pub retry_connect: RetryConnect,
    /// How long a message rests that got a 4yz reply. Other mail for its destination goes on.
    pub retry_reply: RetryReply,
    /// Attempts under way at the same time, all destinations together, and never more than
    /// `delivery.transactions_max`. Each destination is also held to the `connections_max` of its
    /// outbound connector. Destinations whose attempts last longer than ten seconds get at most half of
    /// these, and together with those that were not tried yet three quarters, unless there is only one
    /// destination: so the slow ones do not keep the others waiting.
    pub attempts_in_flight_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            expire_after: Span::hours(5 * 24),
            delay_report_after: Span::hours(4),
            retry_connect: RetryConnect::default(),
            retry_reply: RetryReply::default(),
            attempts_in_flight_max: 2000,
        }
    }
}

/// Rests of a destination that could not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConnect {
    /// The rest after the first failure. Every rest is shortened or lengthened by up to a fifth at
    /// random, so that destinations do not wake together.
    pub first: Span,
    /// Each further rest is this many times the one before; 1 or more.
    #[schemars(range(min = 1.0))]
    pub factor: f64,
    /// The longest rest.
    pub max: Span,
}

impl Default for RetryConnect {
    fn default() -> Self {
        Self { first: Span::minutes(1), factor: 2.0, max: Span::hours(1) }
    }
}

/// Rests of a message that got a 4yz reply.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryReply {
    /// The rest after the first such reply. Every rest is shortened or lengthened by up to a fifth
    /// at random.
    pub first: Span,
    /// Each further rest is this many times the one before; 1 or more.
    #[schemars(range(min = 1.0))]
    pub factor: f64,
    /// The longest rest.
    pub max: Span,
}

impl Default for RetryReply {
    fn default() -> Self {
        Self { first: Span::minutes(5), factor: 2.0, max: Span::hours(4) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left out of one rest keeps the default of that rest.
    #[test]
    fn each_rest_has_its_own_defaults() {
        let text = r#"{"retry_connect":{"max":"2h"},"retry_reply":{"factor":1.5}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert_eq!(config.retry_connect.first, Span::minutes(1));
        assert_eq!(config.retry_connect.max, Span::hours(2));
        assert_eq!(config.retry_reply.first, Span::minutes(5));
        assert_eq!(config.expire_after, Span::hours(120));
    }
}
