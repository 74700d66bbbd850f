//! Greeting, EHLO or LHLO, STARTTLS and other single commands, carried by mail-send over our own socket.

use std::time::Duration;

use mail::{EnhancedStatus, Reply};
use mail_send::SmtpClient;
use policy::config::Protocol;
use smtp_session::client::Extensions;
use tokio::net::TcpStream;

use crate::lines::Lines;
use crate::socket::Socket;
use crate::words::span;

/// A connection before its first transaction.
pub(crate) struct Hello {
    client: SmtpClient<Lines>,
    /// The reply to EHLO, its lines joined by `\n`.
    said: String,
}

/// Why there is no reply to go by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoReply {
    /// Nothing came in time.
    #[error("said nothing for {}", span(*.0))]
    Late(Duration),
    /// The peer closed.
    #[error("closed the connection")]
    Closed,
    /// It was not a reply, or more than one.
    #[error("sent something that is not an SMTP reply")]
    Malformed,
    /// The peer said more than it was asked for.
    #[error("said more than it was asked for")]
    TooMuch,
    /// The socket failed.
    #[error("lost the connection: {0}")]
    Broken(std::io::Error),
}

impl Hello {
    /// Begins on a fresh connection.
    pub(crate) fn new(socket: Socket, wait: Duration) -> Self {
        Self {
            client: SmtpClient { stream: Lines::new(socket), timeout: wait },
            said: String::new(),
        }
    }

    /// Waits for the greeting.
    pub(crate) async fn greeting(&mut self) -> Result<Reply, NoReply> {
        let wait = self.client.timeout;
        let read = tokio::time::timeout(wait, self.client.read()).await;
        self.take(read.unwrap_or(Err(mail_send::Error::Timeout)))
    }

    /// Sends one command and waits for its reply.
    pub(crate) async fn command(&mut self, line: &str, wait: Duration) -> Result<Reply, NoReply> {
        self.client.stream.expect_reply();
        self.client.timeout = wait;
        let read = self.client.cmd(format!("{line}\r\n")).await;
        self.take(read)
    }

    /// Says EHLO, or HELO to one that does not know EHLO (RFC 5321 §3.2); LHLO in LMTP (RFC 2033 §4.1).
    ///
    /// Gives the refusal as it came when all are refused.
    pub(crate) async fn ehlo(
        &mut self,
        protocol: Protocol,
        hostname: &str,
        wait: Duration,
    ) -> Result<Result<Extensions, Reply>, NoReply> {
        let verb = match protocol {
            Protocol::Smtp => "EHLO",
            Protocol::Lmtp => "LHLO",
        };
        let reply = self.command(&format!("{verb} {hostname}"), wait).await?;
        if reply.is_success() {
            reply.text().clone_into(&mut self.said);
            return Ok(Ok(Extensions::parse(self.said.split('\n'))));
        }
        if !reply.is_permanent() || protocol == Protocol::Lmtp {
            return Ok(Err(reply));
        }
        let reply = self.command(&format!("HELO {hostname}"), wait).await?;
        Ok(if reply.is_success() { Ok(Extensions::default()) } else { Err(reply) })
    }

    /// The mechanisms that the host offers for logins, with spaces between.
    pub(crate) fn offered_logins(&self) -> String {
        logins(&self.said)
    }

    /// What the host said to EHLO; nothing if it only knows HELO.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// The socket for the transactions or for the handshake; nothing is left unread in between.
    pub(crate) fn into_socket(self) -> Socket {
        self.client.stream.into_socket()
    }

    /// The bare TCP stream; none if TLS is on already.
    pub(crate) fn into_tcp(self) -> Option<TcpStream> {
        match self.into_socket() {
            Socket::Clear(tcp) => Some(tcp),
            Socket::Unix(_) | Socket::Tls(_) => None,
        }
    }

    fn take(
        &self,
        read: mail_send::Result<smtp_proto::Response<String>>,
    ) -> Result<Reply, NoReply> {
        let lines = &self.client.stream;
        match read {
            Ok(_) if lines.has_more() => Err(NoReply::TooMuch),
            Ok(response) if (200..600).contains(&response.code) => Ok(reply(response)),
            Err(mail_send::Error::Timeout) => Err(NoReply::Late(self.client.timeout)),
            Err(mail_send::Error::Io(error)) => Err(NoReply::Broken(error)),
            // mail-send says the same of an end and of garbage.
            Ok(_) | Err(_) if lines.is_ended() => Err(NoReply::Closed),
            Ok(_) | Err(_) => Err(NoReply::Malformed),
        }
    }
}

fn reply(response: smtp_proto::Response<String>) -> Reply {
    let [class, subject, detail] = response.esc;
    let status = matches!(class, 2 | 4 | 5)
        .then(|| EnhancedStatus::new(class, u16::from(subject), u16::from(detail)));
    Reply::new(response.code, status, response.message)
}

/// What the lines of an EHLO reply offer for logins; some old servers write `AUTH=LOGIN`.
fn logins(text: &str) -> String {
    let mut offered = String::new();
    for line in text.lines().skip(1) {
        let mut words = line.split([' ', '=']);
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("AUTH")) {
            for word in words {
                offered.push_str(word);
                offered.push(' ');
            }
        }
    }
    offered
}
