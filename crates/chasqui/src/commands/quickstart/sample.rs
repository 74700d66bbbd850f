//! The messages that are sent, and what became of each.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use mail::{Address, ReversePath};
use sender::{Submission, Tls};
use tls::client::Connectors;

use crate::failure::Result;
use crate::output;

const STEP_WAIT_MAX: Duration = Duration::from_secs(30);

/// One message and what became of it.
#[derive(Debug)]
pub(crate) struct Sample {
    file: String,
    sender: Address,
    recipients: Vec<Address>,
    content: Vec<u8>,
    reply: Option<std::result::Result<String, String>>,
    /// Recipients that have it, and whether they have it octet for octet.
    arrived: Vec<Address>,
    is_same: bool,
}

/// Reads every `.eml` file of a folder, by name. Sender and recipients are those of its header.
pub(crate) fn read(folder: &Path) -> Result<Vec<Sample>> {
    let unreadable = || format!("the samples in {} cannot be read", folder.display());
    let entries = std::fs::read_dir(folder).with_context(unreadable)?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "eml"));
    paths.sort();
    let samples: Vec<_> = paths.iter().map(|path| sample(path)).collect::<Result<_>>()?;
    if samples.is_empty() {
        return Err(anyhow!("there is no .eml file in {}", folder.display()).into());
    }
    Ok(samples)
}

fn sample(path: &Path) -> Result<Sample> {
    let content = std::fs::read(path);
    let content = content.with_context(|| format!("{} cannot be read", path.display()))?;
    let text = String::from_utf8_lossy(&content).replace("\r\n", "\n");
    let header =
        text.split("\n\n").next().unwrap_or_default().replace("\n ", " ").replace("\n\t", " ");
    let sender = addresses(&header, &["from"]).into_iter().next();
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Sample {
        sender: sender.with_context(|| format!("{file} has no From"))?,
        recipients: addresses(&header, &["to", "cc"]),
        file,
        content: text.replace('\n', "\r\n").into_bytes(),
        reply: None,
        arrived: Vec::new(),
        is_same: true,
    })
}

/// The addresses in these fields of an unfolded header. No display name of the samples holds a comma.
fn addresses(header: &str, fields: &[&str]) -> Vec<Address> {
    let values =
        header.lines().filter_map(|line| line.split_once(':')).filter_map(|(name, value)| {
            fields.iter().any(|field| name.eq_ignore_ascii_case(field)).then_some(value)
        });
    let bare = |text: &str| {
        let inner = text.rsplit_once('<').map_or(text, |(_, rest)| rest);
        Address::parse(inner.trim().trim_end_matches('>')).ok()
    };
    values.flat_map(|value| value.split(',').filter_map(bare).collect::<Vec<_>>()).collect()
}

impl Sample {
    /// Gives it to the relay.
    pub(crate) async fn send(&mut self, relay: SocketAddr, connectors: &Connectors) {
        let submission = Submission {
            host: relay.ip().to_string(),
            port: relay.port(),
            tls: Tls::None,
            credentials: None,
            helo: "quickstart.localhost".to_owned(),
            sender: ReversePath::Address(self.sender.clone()),
            recipients: self.recipients.clone(),
            content: self.content.clone().into(),
            wait_max: STEP_WAIT_MAX,
        };
        let sent = sender::send(&submission, connectors, &mut drop).await;
        self.reply =
            Some(sent.map(|sent| sent.reply.to_string()).map_err(|error| error.to_string()));
    }

    /// Whether the relay has it and the sink does not have all of it.
    pub(crate) fn is_on_its_way(&self) -> bool {
        matches!(self.reply, Some(Ok(_))) && self.arrived.len() < self.recipients.len()
    }

    /// Notes what the sink took, if it is this message; says whether all recipients have it now.
    pub(crate) fn takes(&mut self, message: &::sink::Message) -> bool {
        let content = message.content.as_deref().unwrap_or_default();
        let is_it =
            message_id(content).is_some() && message_id(content) == message_id(&self.content);
        if is_it {
            self.arrived.extend(message.recipients.iter().cloned());
            self.is_same &= content.ends_with(&self.content);
        }
        is_it && !self.is_on_its_way()
    }

    /// Whether all recipients have it, octet for octet.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self.reply, Some(Ok(_))) && !self.is_on_its_way() && self.is_same
    }

    fn outcome(&self) -> String {
        match &self.reply {
            None => "not sent".to_owned(),
            Some(Err(error)) => format!("refused: {error}"),
            Some(Ok(_)) if self.is_on_its_way() => {
                format!("still queued for {}", self.recipients.len() - self.arrived.len())
            }
            Some(Ok(_)) if !self.is_same => "delivered, but changed".to_owned(),
            Some(Ok(_)) => "delivered, octet for octet".to_owned(),
        }
    }
}

fn message_id(content: &[u8]) -> Option<&[u8]> {
    let lines = content.split(|octet| *octet == b'\n').take_while(|line| line.len() > 1);
    lines.into_iter().find(|line| line.to_ascii_lowercase().starts_with(b"message-id:"))
}

/// What became of all.
pub(crate) fn table(samples: &[Sample]) -> String {
    let mut table =
        output::table(["message", "sender", "recipients", "size", "the relay said", "outcome"]);
    for sample in samples {
        let recipients: Vec<_> = sample.recipients.iter().map(ToString::to_string).collect();
        let Some(Ok(reply) | Err(reply)) = &sample.reply else { continue };
        table.add_row([
            sample.file.clone(),
            sample.sender.to_string(),
            recipients.join("\n"),
            output::octets(sample.content.len() as u64),
            reply.clone(),
            sample.outcome(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_is_that_of_the_header() {
        let header = "From: A B <a@x.example>\nto: b@y.example, \"C\" <c@z.example>\nCC: d@w.example\nSubject: To: no@no.example";
        let text = |fields: &[&str]| {
            addresses(header, fields).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text(&["from"]), "a@x.example");
        assert_eq!(text(&["to", "cc"]), "b@y.example c@z.example d@w.example");
    }

    #[test]
    fn the_id_is_looked_for_in_the_header_only() {
        assert_eq!(
            message_id(b"A: b\r\nMessage-ID: <1@x>\r\n\r\n"),
            Some(&b"Message-ID: <1@x>\r"[..])
        );
        assert_eq!(message_id(b"A: b\r\n\r\nMessage-ID: <1@x>\r\n"), None);
    }
}
