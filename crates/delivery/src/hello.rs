//! Greeting, EHLO, STARTTLS and AUTH, carried by mail-send over our own socket.

use std::time::Duration;

use mail::{EnhancedStatus, Reply};
use mail_send::{Credentials, SmtpClient};
use smtp_proto::{AUTH_CRAM_MD5, AUTH_LOGIN, AUTH_PLAIN, EhloResponse};
use smtp_session::client::Extensions;
use tokio::net::TcpStream;

use crate::lines::Lines;
use crate::socket::Socket;
use crate::words::span;

/// The mechanisms that are known here, best first: one keeps the password to itself, the others send it.
const MECHANISMS: [(&str, u64); 3] =
    [("CRAM-MD5", AUTH_CRAM_MD5), ("PLAIN", AUTH_PLAIN), ("LOGIN", AUTH_LOGIN)];

/// A connection before its first transaction.
pub(crate) struct Hello {
    client: SmtpClient<Lines>,
    /// What the last EHLO offers of [`MECHANISMS`].
    offered: u64,
}

/// Why nobody is logged in.
#[derive(Debug)]
pub(crate) enum NoLogin {
    /// EHLO offers no mechanism that is known here.
    NotOffered,
    /// The peer says no.
    Refused(Reply),
    /// The peer asks for something that is no part of the mechanism.
    Challenge,
    /// The connection is of no use any more.
    Silent(NoReply),
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
        Self { client: SmtpClient { stream: Lines::new(socket), timeout: wait }, offered: 0 }
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

    /// Says EHLO, or HELO to one that does not know EHLO (RFC 5321 §3.2).
    ///
    /// Gives the refusal as it came when both are refused.
    pub(crate) async fn ehlo(
        &mut self,
        hostname: &str,
        wait: Duration,
    ) -> Result<Result<Extensions, Reply>, NoReply> {
        let reply = self.command(&format!("EHLO {hostname}"), wait).await?;
        if reply.is_success() {
            self.offered = mechanisms(reply.text());
            return Ok(Ok(Extensions::parse(reply.text().split('\n'))));
        }
        if !reply.is_permanent() {
            return Ok(Err(reply));
        }
        let reply = self.command(&format!("HELO {hostname}"), wait).await?;
        Ok(if reply.is_success() { Ok(Extensions::default()) } else { Err(reply) })
    }

    /// Logs in by the best mechanism that EHLO offers (RFC 4954).
    pub(crate) async fn login(
        &mut self,
        credentials: &Credentials<String>,
        wait: Duration,
    ) -> Result<(), NoLogin> {
        let mut refused = None;
        for (_, mechanism) in MECHANISMS.iter().filter(|(_, one)| self.offered & one != 0) {
            // One at a time: by itself mail-send would go on behind a 421, too.
            let mut offer = EhloResponse::new(String::new());
            offer.auth_mechanisms = *mechanism;
            self.client.stream.expect_reply();
            self.client.timeout = wait;
            match self.client.authenticate(credentials, offer).await.map(drop) {
                Ok(()) if self.client.stream.has_more() => {
                    return Err(NoLogin::Silent(NoReply::TooMuch));
                }
                Ok(()) => return Ok(()),
                Err(mail_send::Error::AuthenticationFailed(response)) => {
                    // Only what is wrong with the mechanism is worth a further one (RFC 4954 §6).
                    let is_over = !matches!(response.code, 504 | 534);
                    refused = Some(reply(response));
                    if is_over {
                        break;
                    }
                }
                Err(mail_send::Error::Auth(_) | mail_send::Error::Base64(_)) => {
                    return Err(NoLogin::Challenge);
                }
                Err(error) => {
                    let error = self.take(Err(error)).err();
                    return Err(error.map_or(NoLogin::Challenge, NoLogin::Silent));
                }
            }
        }
        Err(refused.map_or(NoLogin::NotOffered, NoLogin::Refused))
    }

    /// The socket for the transactions or for the handshake; nothing is left unread in between.
    pub(crate) fn into_socket(self) -> Socket {
        self.client.stream.into_socket()
    }

    /// The bare TCP stream; none if TLS is on already.
    pub(crate) fn into_tcp(self) -> Option<TcpStream> {
        match self.into_socket() {
            Socket::Clear(tcp) => Some(tcp),
            Socket::Tls(_) => None,
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

/// What the lines of an EHLO reply offer of [`MECHANISMS`]; some old servers write `AUTH=LOGIN`.
fn mechanisms(text: &str) -> u64 {
    let mut offered = 0;
    for line in text.lines().skip(1) {
        let mut words = line.split([' ', '=']);
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("AUTH")) {
            let known = |word: &str| MECHANISMS.iter().find(|one| one.0.eq_ignore_ascii_case(word));
            offered |= words.filter_map(known).fold(0, |all, (_, one)| all | one);
        }
    }
    offered
}
