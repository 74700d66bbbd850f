//! How the next hop behaves.

use serde::Deserialize;
use units::Span;

/// What the sink does beside taking mail. What depends on the messages accepted needs the source in the same program.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SinkScript {
    /// It offers STARTTLS.
    pub(crate) tls: bool,
    /// It lets clients take up earlier TLS sessions.
    pub(crate) tls_resumption: bool,
    /// It waits so long before it answers; commands that came in one go are answered in one go.
    pub(crate) reply_wait: Span,
    /// It refuses connections for so long from the start of the load.
    pub(crate) down_for: Span,
    /// It refuses connections until the relay has accepted so many messages, or the source is done.
    pub(crate) down_until_accepted: u64,
    /// It answers RCPT with 451 until the relay has accepted so many messages, or the source is done.
    pub(crate) defer_until_accepted: u64,
    /// Connections beyond get 421; 0 for no end.
    pub(crate) connections_max: usize,
    /// Domains that are treated otherwise; the first class that holds a domain counts.
    #[serde(rename = "domain")]
    pub(crate) classes: Vec<DomainClass>,
}

impl SinkScript {
    /// Whether it refuses connections from the start.
    pub(crate) fn is_down_at_first(&self) -> bool {
        self.down_for > Span::default() || self.down_until_accepted > 0
    }
}

/// Domains that the sink treats alike. Their names end in `.NAME.example`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DomainClass {
    /// Small letters and digits, such as `slow`.
    pub(crate) name: String,
    /// The numbers of its domains: `"0..10"` are the first ten.
    pub(crate) domains: String,
    /// They are reached at an address of their own, which the relay must be told: see `Sink::routes`.
    pub(crate) own_next_hop: bool,
    /// It waits so long before it answers.
    pub(crate) reply_wait: Span,
    /// Share of recipients that RCPT rejects (550), 0 to 1. Which ones depends on the seed alone.
    pub(crate) rcpt_rejected: f64,
    /// Share of recipients that RCPT defers (451), 0 to 1.
    pub(crate) rcpt_deferred: f64,
    /// Share of messages whose content is rejected (554), 0 to 1.
    pub(crate) content_rejected: f64,
    /// Share of messages whose content is deferred (451), 0 to 1.
    pub(crate) content_deferred: f64,
    /// The first RCPT of each recipient gets 451, later ones are taken.
    pub(crate) greylisting: bool,
    /// Where connections are cut.
    pub(crate) disconnect: Option<Stage>,
    /// Share of messages whose connection is cut there, 0 to 1; before MAIL all are.
    pub(crate) disconnect_share: f64,
    /// So many tries of a recipient or message meet a deferral or cut, later ones do not; 0 for every one.
    pub(crate) fault_tries: u32,
    /// Content is read so slowly; 0 for as fast as it comes.
    pub(crate) read_octets_per_second: u64,
    /// Connections beyond get 421; 0 for no end. Only with a next hop of its own.
    pub(crate) connections_max: usize,
}

impl Default for DomainClass {
    fn default() -> Self {
        Self {
            name: String::new(),
            domains: String::new(),
            own_next_hop: false,
            reply_wait: Span::default(),
            rcpt_rejected: 0.0,
            rcpt_deferred: 0.0,
            content_rejected: 0.0,
            content_deferred: 0.0,
            greylisting: false,
            disconnect: None,
            disconnect_share: 1.0,
            fault_tries: 1,
            read_octets_per_second: 0,
            connections_max: 0,
        }
    }
}

/// A place in the conversation.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// Nobody listens.
    Connect,
    /// Instead of the greeting.
    Greeting,
    /// Instead of the reply to EHLO.
    Ehlo,
    /// Instead of the reply to MAIL.
    Mail,
    /// Instead of the reply to RCPT.
    Rcpt,
    /// Instead of 354.
    Data,
    /// In the middle of the content.
    Content,
    /// Behind the final dot, instead of the reply: the message is not taken, but the relay cannot know.
    Dot,
}
