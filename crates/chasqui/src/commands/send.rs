//! `chasqui send`.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use mail::{Address, Reply};
use sender::{Credentials, SendError, Submission, Tls};
use serde::Serialize;
use tls::client::{Connectors, Verification};

use crate::arguments::{Send, SendTls};
use crate::failure::{Code, Failure, Result};
use crate::{given, output};

const STEP_WAIT_MAX: Duration = Duration::from_mins(2);

/// What `send --json` says.
#[derive(Debug, Serialize)]
struct Said {
    accepted: bool,
    reply: Option<String>,
    error: Option<String>,
    recipients: Vec<String>,
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    recipient: String,
    reply: String,
}

/// Does it.
pub(crate) async fn run(send: &Send) -> Result {
    let submission = submission(send)?;
    let connectors = Connectors::open(&tls::client::Config::default()).context("TLS")?;
    let is_json = send.json;
    let mut tell = move |step: sender::Step| {
        if !is_json {
            output::note(step.to_string());
        }
    };
    let sent = sender::send(&submission, &connectors, &mut tell).await;
    let said = match &sent {
        Ok(sent) => Said {
            accepted: true,
            reply: Some(sent.reply.to_string()),
            error: None,
            recipients: sent.recipients.iter().map(ToString::to_string).collect(),
            refused: sent.refused.iter().map(refused).collect(),
        },
        Err(error) => Said {
            accepted: false,
            reply: error.reply().map(Reply::to_string),
            error: Some(error.to_string()),
            recipients: Vec::new(),
            refused: Vec::new(),
        },
    };
    if is_json {
        output::json(&said)?;
    }
    let sent =
        sent.map_err(|error| Failure { hint: hint(&error), ..Failure::from(anyhow!(error)) })?;
    if !is_json {
        output::line(format!("accepted: {}", sent.reply))?;
    }
    if sent.refused.is_empty() {
        return Ok(());
    }
    let all = sent.refused.len() + sent.recipients.len();
    Err(anyhow!("refused for {} of {all} recipients", sent.refused.len()).into())
}

/// What usually helps.
fn hint(error: &SendError) -> Option<String> {
    let words = match error {
        SendError::Connect { .. } => "name the server with --server HOST:PORT; does it run?",
        SendError::NoStartTls => {
            "send in clear text with --tls none, or name a port that offers it"
        }
        _ => return None,
    };
    Some(words.to_owned())
}

fn refused((recipient, reply): &(Address, Reply)) -> Refused {
    Refused { recipient: recipient.to_string(), reply: reply.to_string() }
}

fn submission(send: &Send) -> Result<Submission> {
    let (host, port) = server(&send.server)?;
    let verification =
        if send.verify { Verification::AuthorityAndName } else { Verification::None };
    Ok(Submission {
        host,
        port,
        tls: match send.tls {
            SendTls::None => Tls::None,
            SendTls::Starttls => Tls::StartTls(verification),
            SendTls::Implicit => Tls::Implicit(verification),
        },
        credentials: credentials(send)?,
        helo: send.helo.clone(),
        sender: given::sender(&send.from).map_err(wrong)?,
        recipients: send
            .to
            .iter()
            .map(|to| given::address(to).map_err(wrong))
            .collect::<Result<_>>()?,
        content: content(&send.file)?.into(),
        wait_max: STEP_WAIT_MAX,
    })
}

fn wrong(error: anyhow::Error) -> Failure {
    Failure::from(error).code(Code::Arguments)
}

/// Host and port; an IPv6 address stands in brackets.
fn server(text: &str) -> Result<(String, u16)> {
    let split = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let parsed = split.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parsed.ok_or_else(|| wrong(anyhow!("`{text}` is not HOST:PORT, such as localhost:25")))
}

fn credentials(send: &Send) -> Result<Option<Credentials>> {
    let (Some(name), Some(file)) = (&send.user, &send.password_file) else { return Ok(None) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::unreadable(error, "password file", file))?;
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    Ok(Some(Credentials { name: name.clone(), password }))
}

fn content(file: &Path) -> Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut content = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut content)
            .context("standard input cannot be read")?;
        return Ok(content);
    }
    std::fs::read(file).map_err(|error| Failure::unreadable(error, "message", file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_a_port() {
        let read = |text| server(text).ok();
        assert_eq!(read("localhost:25"), Some(("localhost".to_owned(), 25)));
        assert_eq!(read("[::1]:2525"), Some(("[::1]".to_owned(), 2525)));
        assert_eq!(read("localhost"), None);
        assert_eq!(read(":25"), None);
        assert_eq!(read("a:70000"), None);
    }
}
