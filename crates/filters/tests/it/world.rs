//! Filters as the relay makes them, and mail to ask about.

use bytes::Bytes;
use filters::config::Config;
use filters::facts::{Content, Facts, Login, Recipient};
use filters::verdict::{Action, Note};
use filters::{Filters, Session};
use mail::{Address, MessageId, ReversePath};
use telemetry::Registry;
use units::{Clock, Span};

/// A limit that a test waits for: nothing depends on its length.
pub(crate) const SHORT: Span = Span::millis(100);

pub(crate) fn filters(configs: &[Config]) -> Filters {
    with_clock(configs, &Clock::system())
}

pub(crate) fn with_clock(configs: &[Config], clock: &Clock) -> Filters {
    Filters::new(configs, &Registry::new(), clock).unwrap()
}

/// One filter with the settings of a test.
pub(crate) fn one(config: Config) -> Filters {
    filters(&[config])
}

pub(crate) fn facts() -> Facts {
    Facts {
        relay: "relay.example".into(),
        scope: "public".into(),
        client: Some("192.0.2.7:4711".parse().unwrap()),
        client_name: Some("client.example".into()),
        local: Some("192.0.2.1:25".parse().unwrap()),
        tls: Some("TLS1_3 TLS_AES_256_GCM_SHA384".into()),
        login: Some(Login { account: "alice".into(), mechanism: "PLAIN".into() }),
        message: Some(MessageId::from_bytes([0; 16])),
        ..Facts::default()
    }
}

pub(crate) fn session(filters: &Filters) -> Session {
    filters.session(facts()).unwrap()
}

pub(crate) fn sender() -> ReversePath {
    ReversePath::Address(address("alice@example.com"))
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(crate) fn recipient(text: &str) -> Recipient {
    address(text).into()
}

pub(crate) fn content(text: impl AsRef<[u8]>) -> Content {
    let pieces = text.as_ref().chunks(100_000).map(Bytes::copy_from_slice).collect();
    Content::new(pieces)
}

/// Up to MAIL and one RCPT, all of which go through.
pub(crate) async fn envelope(session: &mut Session) {
    for verdict in [
        session.mail(sender(), Box::default()).await,
        session.rcpt(recipient("bob@example.net")).await,
    ] {
        assert_eq!(verdict.action, Action::Continue, "{:?}", verdict.notes);
    }
}

/// In one text what is to be done: `continue`, `discard` or the reply.
pub(crate) fn said(action: &Action) -> String {
    match action {
        Action::Continue => "continue".to_owned(),
        Action::Discard => "discard".to_owned(),
        Action::Refuse(reply) => reply.to_string(),
    }
}

/// The notes in one text.
pub(crate) fn noted(notes: &[Note]) -> String {
    notes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}
