//! How the next hop behaves.

use serde::Deserialize;
use units::Span;

/// What the sink does beside taking mail.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SinkScript {
    /// It offers STARTTLS.
    pub(crate) tls: bool,
    /// It waits so long before each reply.
    pub(crate) reply_wait: Span,
    /// It refuses connections for so long from the start.
    pub(crate) down_for: Span,
    /// It refuses connections until the relay has accepted so many messages.
    pub(crate) down_until_accepted: u64,
    /// It answers RCPT with 451 until the relay has accepted so many messages.
    pub(crate) defer_until_accepted: u64,
    /// Connections beyond get 421; 0 for no end.
    pub(crate) connections_max: usize,
    /// Domains that are treated otherwise; the first class that holds a domain counts.
    #[serde(rename = "domain")]
    pub(crate) classes: Vec<DomainClass>,
}

/// Domains that the sink treats alike. Their names end in `.NAME.example`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DomainClass {
    /// Letters and digits, such as `slow`.
    pub(crate) name: String,
    /// The numbers of its domains: `"0..10"` are the first ten.
    pub(crate) domains: String,
    /// They are reached at an address of their own, which the relay must be told: see `Sink::routes`.
    pub(crate) own_next_hop: bool,
    /// It waits so long before each reply.
    pub(crate) reply_wait: Span,
    /// Share of recipients that RCPT defers (451) at every try, 0 to 1.
    pub(crate) rcpt_deferred: f64,
    /// Share of recipients that RCPT rejects (550), 0 to 1.
    pub(crate) rcpt_rejected: f64,
    /// Share of messages whose content is deferred (451) at every try, 0 to 1.
    pub(crate) content_deferred: f64,
    /// Share of messages whose content is rejected (554), 0 to 1.
    pub(crate) content_rejected: f64,
    /// The first RCPT of each recipient gets 451, later ones are taken.
    pub(crate) greylisting: bool,
    /// Where the connection is cut.
    pub(crate) disconnect: Option<Stage>,
    /// Share of messages whose connection is cut there, 0 to 1; greeting and EHLO cut always.
    pub(crate) disconnect_share: f64,
    /// Content is read so slowly; 0 for as fast as it comes.
    pub(crate) read_octets_per_second: u64,
    /// Connections beyond get 421; 0 for no end. Only for those with their own next hop.
    pub(crate) connections_max: usize,
}

/// A place in the conversation.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
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
    /// Behind the final dot, instead of the reply: the relay cannot know.
    Dot,
}
