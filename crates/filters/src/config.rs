//! Settings.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::{ByteSize, Span};

/// A filter that is asked about clients, envelopes and messages; filters are asked in their order in the file, and each sees
/// the header as those before it left it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The filter's name in logs and metrics.
    pub name: String,
    /// What it speaks.
    pub kind: Kind,
    /// Where it listens. A milter: `inet:127.0.0.1:8891` or `unix:/run/opendkim/milter.sock`. rspamd:
    /// `http://127.0.0.1:11333`. A hook: the address that is posted to.
    pub address: String,
    /// When it is asked. Empty: a milter at every stage but `delivery`, the others at `data`.
    pub stages: Vec<Stage>,
    /// The listeners whose sessions it is asked about, and the outbound connectors whose deliveries; empty: all.
    pub applies_to: Vec<String>,
    /// How long one answer may take; a connection likewise, and a place among those of `connections_max`. A milter that
    /// reports progress has the same time again, but no longer than `content_wait_max` in all.
    pub answer_wait_max: Span,
    /// How long it may take over a message as a whole, from its first octet to the last answer.
    pub content_wait_max: Span,
    /// What happens to mail when the filter does not answer, or answers what nobody understands.
    pub on_failure: OnFailure,
    /// So many failures in a row, and the filter rests: it is not asked, and `on_failure` holds at once.
    pub failures_max: u16,
    /// How long it rests; then one question tries whether it is back.
    pub rest: Span,
    /// The largest content that it is shown.
    pub content_octets_max: ByteSize,
    /// What happens to larger content.
    pub on_too_large: OnTooLarge,
    /// Connections to it at the same time; a milter holds one for each session that it is asked about, while there are
    /// enough.
    pub connections_max: u16,
    /// A file that holds the password of rspamd's controller or of a worker that asks for one, on one line.
    pub password_file: Option<PathBuf>,
    /// The id of the settings that rspamd is to use.
    pub settings_id: Option<String>,
    /// A file that holds the token that a hook gets as `Authorization: Bearer`, on one line. Only sent over TLS or to this
    /// machine.
    pub token_file: Option<PathBuf>,
    /// A file that holds the key with which posts to a hook are signed, on one line: `X-Chasqui-Signature: t=seconds,v1=hex`,
    /// the HMAC-SHA-256 of the seconds, a dot and the body.
    pub signature_key_file: Option<PathBuf>,
    /// What a hook is shown of a message.
    pub shown: Shown,
}

/// What a filter speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The milter protocol, versions 2 to 6. It may not replace a body: that is not offered to it.
    #[default]
    Milter,
    /// rspamd's `/checkv2`.
    Rspamd,
    /// JSON posted by HTTP.
    Http,
}

/// When a filter is asked.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// When a client connects.
    Connect,
    /// At each EHLO or HELO.
    Helo,
    /// At MAIL.
    Mail,
    /// At each RCPT that would be taken.
    Rcpt,
    /// When the content is there, before it is taken.
    Data,
    /// Before a message goes out: at each try, for each destination.
    Delivery,
}

/// What happens when a filter does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The client is told to come later (451 4.7.1); what is on its way out waits.
    #[default]
    Tempfail,
    /// The mail goes on as if the filter were not there.
    Accept,
}

/// What happens to content that is too large for a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnTooLarge {
    /// It goes on without the filter, which is noted in the log.
    #[default]
    Skip,
    /// It is refused (552 5.3.4); what is on its way out goes back to its sender.
    Refuse,
}

/// What a hook is shown of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// Its header and its size.
    #[default]
    Header,
    /// All of it, in base64 besides.
    Content,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: Kind::default(),
            address: String::new(),
            stages: Vec::new(),
            applies_to: Vec::new(),
            answer_wait_max: Span::seconds(10),
            content_wait_max: Span::minutes(1),
            on_failure: OnFailure::default(),
            failures_max: 5,
            rest: Span::seconds(30),
            content_octets_max: ByteSize::mib(25),
            on_too_large: OnTooLarge::default(),
            connections_max: 100,
            password_file: None,
            settings_id: None,
            token_file: None,
            signature_key_file: None,
            shown: Shown::default(),
        }
    }
}

impl Config {
    /// When it is asked, the default filled in.
    pub fn stages(&self) -> &[Stage] {
        match self.kind {
            _ if !self.stages.is_empty() => &self.stages,
            Kind::Milter => &[Stage::Connect, Stage::Helo, Stage::Mail, Stage::Rcpt, Stage::Data],
            Kind::Rspamd | Kind::Http => &[Stage::Data],
        }
    }

    /// Whether it is asked about what this listener or connector carries.
    pub fn applies(&self, scope: &str) -> bool {
        self.applies_to.is_empty() || self.applies_to.iter().any(|name| name == scope)
    }
}

impl Stage {
    /// All of them, in the order of a session.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Helo, Self::Mail, Self::Rcpt, Self::Data, Self::Delivery];

    /// Its name in the settings, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Delivery => "delivery",
        }
    }

    /// Whether the filter sees a content.
    pub const fn has_content(self) -> bool {
        matches!(self, Self::Data | Self::Delivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_stages() {
        let config =
            |kind, stages: &[Stage]| Config { kind, stages: stages.to_vec(), ..Config::default() };
        assert_eq!(config(Kind::Milter, &[]).stages().len(), 5);
        assert_eq!(config(Kind::Rspamd, &[]).stages(), [Stage::Data]);
        assert_eq!(config(Kind::Http, &[Stage::Rcpt]).stages(), [Stage::Rcpt]);
    }

    #[test]
    fn an_empty_list_means_all() {
        let mut config = Config::default();
        assert!(config.applies("any"));
        config.applies_to = vec!["public".to_owned()];
        assert!(config.applies("public") && !config.applies("private"));
    }

    #[test]
    fn the_settings_name_what_they_mean() {
        let text = r#"{"name":"x","kind":"http","stages":["connect","data"],"on_failure":"accept","rest":"1m"}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert_eq!((config.kind, config.on_failure), (Kind::Http, OnFailure::Accept));
        assert!(serde_json::from_str::<Config>(r#"{"nmae":"x"}"#).is_err());
        for stage in Stage::ALL {
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
    }
}
