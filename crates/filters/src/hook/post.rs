//! What a hook is told.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mail::Address;
use mail::header::Header;
use serde::Serialize;

use crate::config::Shown;
use crate::error::AskError;
use crate::facts::{Content, Recipient};
use crate::question::Question;

/// The object that is posted. What is not known at the stage is left out.
#[derive(Debug, Serialize)]
struct Post<'a> {
    /// Of this description: 1. It grows when something changes its meaning or goes; new members may come without.
    version: u8,
    /// `connect`, `helo`, `mail`, `rcpt`, `data` or `delivery`.
    stage: &'static str,
    /// The filter's name in the settings.
    filter: &'a str,
    /// The relay's own name.
    relay: &'a str,
    /// The listener's name; at `delivery` the connector's.
    scope: &'a str,
    /// At `delivery`: where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'a str>,
    /// The session's name in logs.
    #[serde(skip_serializing_if = "str::is_empty")]
    session: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Client<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    helo: &'a str,
    /// TLS version and cipher suite, with a space between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<Login<'a>>,
    /// The message's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// From MAIL on; `address` is empty for the null sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<Mailbox<'a>>,
    /// At `rcpt`: the one it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<Mailbox<'a>>,
    /// From `rcpt` on: those that were taken before.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<Vec<Mailbox<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Shape>,
}

#[derive(Debug, Serialize)]
struct Client<'a> {
    address: String,
    port: u16,
    /// Its verified name in DNS, or null.
    name: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Login<'a> {
    account: &'a str,
    mechanism: &'a str,
}

#[derive(Debug, Serialize)]
struct Mailbox<'a> {
    address: &'a str,
    parameters: &'a [Box<str>],
}

#[derive(Debug, Serialize)]
struct Shape {
    octets: u64,
    /// Names and values in their order, unfolded by nobody; octets that are no UTF-8 are replaced.
    header: Vec<(String, String)>,
    /// All of it, if the settings say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// The text of a post.
pub(crate) fn body(
    filter: &str,
    question: &Question<'_>,
    shown: Shown,
) -> Result<Vec<u8>, AskError> {
    let facts = question.facts;
    let client = facts.client.map(|client| Client {
        address: client.ip().to_canonical().to_string(),
        port: client.port(),
        name: facts.client_name.as_deref(),
    });
    let login = facts.login.as_ref();
    let transaction = question.transaction;
    let taken = transaction.filter(|_| question.recipient.is_some() || question.content.is_some());
    let post = Post {
        version: 1,
        stage: question.stage.name(),
        filter,
        relay: &facts.relay,
        scope: &facts.scope,
        destination: facts.destination.as_deref(),
        session: &facts.session,
        client,
        helo: &facts.helo,
        tls: facts.tls.as_deref(),
        login: login.map(|it| Login { account: &it.account, mechanism: &it.mechanism }),
        message: facts.message.map(|id| id.to_string()),
        sender: transaction.map(|it| Mailbox {
            address: it.sender.address().map_or("", Address::as_str),
            parameters: &it.parameters,
        }),
        recipient: question.recipient.map(mailbox),
        recipients: taken.map(|it| it.recipients.iter().map(mailbox).collect()),
        content: question.content.map(|content| shape(content, shown)),
    };
    serde_json::to_vec(&post).map_err(|error| AskError::Http(error.to_string()))
}

fn mailbox(recipient: &Recipient) -> Mailbox<'_> {
    Mailbox { address: recipient.address.as_str(), parameters: &recipient.parameters }
}

fn shape(content: &Content, shown: Shown) -> Shape {
    let header = content.header().map_or(&b""[..], Bytes::as_ref);
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let fields = Header::read(header).fields;
    let base64 = || {
        let pieces = std::iter::once(header).chain(content.rest().iter().map(Bytes::as_ref));
        STANDARD.encode(pieces.collect::<Vec<_>>().concat())
    };
    Shape {
        octets: content.octets(),
        header: fields.iter().map(|it| (text(it.name()), text(it.value().trim_ascii()))).collect(),
        base64: (shown == Shown::Content).then(base64),
    }
}

#[cfg(test)]
mod tests {
    use mail::ReversePath;
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Stage;
    use crate::facts::{self, Facts};
    use crate::question::Transaction;

    fn posted(question: &Question<'_>, shown: Shown) -> Value {
        serde_json::from_slice(&body("hook", question, shown).unwrap()).unwrap()
    }

    #[test]
    fn what_is_known_is_told() {
        let facts = Facts {
            relay: "relay.example".into(),
            scope: "public".into(),
            client: "192.0.2.1:77".parse().ok(),
            ..Facts::default()
        };
        let mut question = Question {
            stage: Stage::Connect,
            facts: &facts,
            transaction: None,
            recipient: None,
            content: None,
        };
        assert_eq!(
            posted(&question, Shown::Header),
            json!({"version": 1, "stage": "connect", "filter": "hook", "relay": "relay.example", "scope": "public",
                "client": {"address": "192.0.2.1", "port": 77, "name": null}})
        );
        let facts = Facts {
            helo: "c.example".into(),
            tls: Some("TLS1_3 X".into()),
            login: Some(facts::Login { account: "a".into(), mechanism: "PLAIN".into() }),
            message: Some(mail::MessageId::from_bytes([0; 16])),
            ..Facts::default()
        };
        let recipient = Recipient::from(Address::parse("b@c.example").unwrap());
        let transaction = Transaction {
            sender: ReversePath::Null,
            parameters: ["SIZE=1".into()].into(),
            recipients: vec![recipient],
        };
        let content = Content::new(vec![Bytes::from_static(b"A: \xff\r\n b\r\n\r\nbody")]);
        question.facts = &facts;
        question.stage = Stage::Data;
        question.transaction = Some(&transaction);
        question.content = Some(&content);
        assert_eq!(
            posted(&question, Shown::Content),
            json!({"version": 1, "stage": "data", "filter": "hook", "relay": "", "scope": "", "helo": "c.example",
                "tls": "TLS1_3 X", "login": {"account": "a", "mechanism": "PLAIN"},
                "message": "00000000000000000000000000",
                "sender": {"address": "", "parameters": ["SIZE=1"]},
                "recipients": [{"address": "b@c.example", "parameters": []}],
                "content": {"octets": 16, "header": [["A", "\u{fffd}\r\n b"]], "base64": "QTog/w0KIGINCg0KYm9keQ=="}})
        );
        assert!(posted(&question, Shown::Header)["content"].get("base64").is_none());
    }
}
