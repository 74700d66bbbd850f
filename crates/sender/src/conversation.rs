//! The conversation with the server.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use mail::{Address, EnhancedStatus, Reply};
use mail_send::SmtpClient;
use smtp_proto::{EXT_8BIT_MIME, EXT_SIZE, EXT_SMTP_UTF8, EXT_START_TLS, EhloResponse, Response};
use tls::client::{Connectors, Verification};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::SendError;
use crate::submission::{Submission, Tls};
use crate::text::with_crlf;

/// One thing that was done, and what the server said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was done: `RCPT TO:<a@example.com>`. Holds no secret.
    pub done: String,
    /// What the server said, where it had something to say.
    pub reply: Option<Reply>,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.done)?;
        self.reply.as_ref().map_or(Ok(()), |reply| write!(out, ": {reply}"))
    }
}

/// The server took the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What it said to the end of the content.
    pub reply: Reply,
    /// Who will have it.
    pub recipients: Vec<Address>,
    /// Who was refused, with the reply.
    pub refused: Vec<(Address, Reply)>,
}

/// Sends `submission`, telling each step as it is done.
pub async fn send(
    submission: &Submission,
    connectors: &Connectors,
    tell: &mut (dyn FnMut(Step) + Send),
) -> Result<Sent, SendError> {
    let (stream, address) = connect(submission).await?;
    tell(Step { done: format!("connected to {} ({address})", submission.host), reply: None });
    let client = SmtpClient { stream, timeout: submission.wait_max };
    match submission.tls {
        Tls::None => {
            let mut talk = Conversation { client, submission, tell };
            talk.greeting().await?;
            let offered = talk.ehlo().await?;
            talk.message(&offered).await
        }
        Tls::StartTls(verification) => {
            let mut talk = Conversation { client, submission, tell };
            talk.greeting().await?;
            if !talk.ehlo().await?.has_capability(EXT_START_TLS) {
                return Err(SendError::NoStartTls);
            }
            talk.command("STARTTLS", "STARTTLS".to_owned()).await?;
            let mut talk = talk.into_tls(connectors, verification).await?;
            let offered = talk.ehlo().await?;
            talk.message(&offered).await
        }
        Tls::Implicit(verification) => {
            let talk = Conversation { client, submission, tell };
            let mut talk = talk.into_tls(connectors, verification).await?;
            talk.greeting().await?;
            let offered = talk.ehlo().await?;
            talk.message(&offered).await
        }
    }
}

fn server(submission: &Submission) -> String {
    format!("{}:{}", submission.host, submission.port)
}

async fn connect(submission: &Submission) -> Result<(TcpStream, SocketAddr), SendError> {
    let failed = |reason: String| SendError::Connect { server: server(submission), reason };
    let host = submission.host.trim_start_matches('[').trim_end_matches(']');
    let connected = timeout(submission.wait_max, TcpStream::connect((host, submission.port))).await;
    let stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed("no answer in time".to_owned())),
    };
    let address = stream.peer_addr().map_err(|error| failed(error.to_string()))?;
    stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
    Ok((stream, address))
}

struct Conversation<'a, S: AsyncRead + AsyncWrite> {
    client: SmtpClient<S>,
    submission: &'a Submission,
    tell: &'a mut (dyn FnMut(Step) + Send),
}

impl<'a> Conversation<'a, TcpStream> {
    async fn into_tls(
        self,
        connectors: &Connectors,
        verification: Verification,
    ) -> Result<Conversation<'a, tls::client::Stream<TcpStream>>, SendError> {
        let Self { client, submission, tell } = self;
        let failed = |reason: String| SendError::Tls { server: server(submission), reason };
        let handshake = connectors.connect(verification, &submission.host, client.stream);
        let stream = match timeout(submission.wait_max, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed("no answer in time".to_owned())),
        };
        tell(Step { done: format!("TLS begun ({})", tls::facts(stream.get_ref().1)), reply: None });
        let client = SmtpClient { stream, timeout: submission.wait_max };
        Ok(Conversation { client, submission, tell })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<'_, S> {
    async fn greeting(&mut self) -> Result<(), SendError> {
        let greeting = match timeout(self.submission.wait_max, self.client.read()).await {
            Ok(greeting) => greeting.map_err(|error| broken("the greeting", &error))?,
            Err(_) => return Err(broken("the greeting", &mail_send::Error::Timeout)),
        };
        self.told("greeting".to_owned(), reply(&greeting)).success("the greeting").map(drop)
    }

    /// EHLO, or HELO where EHLO is not known.
    async fn ehlo(&mut self) -> Result<EhloResponse<String>, SendError> {
        let helo = &self.submission.helo;
        match self.client.ehlo(helo).await {
            Ok(offered) => {
                let said = Reply::new(250, None, offered.hostname.clone());
                self.told(format!("EHLO {helo}"), said);
                Ok(offered)
            }
            Err(mail_send::Error::UnexpectedReply(refusal)) if refusal.code / 100 == 5 => {
                self.told(format!("EHLO {helo}"), reply(&refusal));
                self.command("HELO", format!("HELO {helo}")).await?;
                Ok(EhloResponse::new(String::new()))
            }
            Err(error) => Err(broken("EHLO", &error)),
        }
    }

    async fn message(&mut self, offered: &EhloResponse<String>) -> Result<Sent, SendError> {
        self.authenticate(offered).await?;
        let text = with_crlf(&self.submission.content);
        let mail = self.mail(offered, &text);
        self.command("MAIL", mail).await?;
        let (mut recipients, mut refused) = (Vec::new(), Vec::new());
        for recipient in &self.submission.recipients {
            let said = self.ask("RCPT", format!("RCPT TO:<{recipient}>")).await?;
            if said.is_success() {
                recipients.push(recipient.clone());
            } else {
                refused.push((recipient.clone(), said));
            }
        }
        if recipients.is_empty() {
            self.ask("QUIT", "QUIT".to_owned()).await.ok();
            let last = refused.pop().map(|(_, said)| said);
            return Err(SendError::NoRecipient(last.unwrap_or_else(|| {
                Reply::new(554, Some(EnhancedStatus::new(5, 5, 1)), "no recipient was given")
            })));
        }
        let said = self.data(&text).await?;
        self.ask("QUIT", "QUIT".to_owned()).await.ok();
        Ok(Sent { reply: said, recipients, refused })
    }

    async fn authenticate(&mut self, offered: &EhloResponse<String>) -> Result<(), SendError> {
        let Some(credentials) = &self.submission.credentials else { return Ok(()) };
        let name = &credentials.name;
        let secret = mail_send::Credentials::new(name.clone(), credentials.password.clone());
        match self.client.authenticate(&secret, offered).await {
            Ok(_) => {
                (self.tell)(Step { done: format!("AUTH as {name}"), reply: None });
                Ok(())
            }
            Err(error) => Err(SendError::Auth { name: name.clone(), reason: words(&error) }),
        }
    }

    /// MAIL with what the message needs, as far as the server offers it.
    fn mail(&self, offered: &EhloResponse<String>, text: &[u8]) -> String {
        let submission = self.submission;
        let mut mail = format!("MAIL FROM:{}", submission.sender);
        if offered.has_capability(EXT_SIZE) {
            // Writing to a String cannot fail.
            write!(mail, " SIZE={}", text.len()).ok();
        }
        if !text.is_ascii() && offered.has_capability(EXT_8BIT_MIME) {
            mail.push_str(" BODY=8BITMIME");
        }
        let addresses = submission.sender.address().into_iter().chain(&submission.recipients);
        if !addresses.into_iter().all(Address::is_ascii) && offered.has_capability(EXT_SMTP_UTF8) {
            mail.push_str(" SMTPUTF8");
        }
        mail
    }

    async fn data(&mut self, text: &[u8]) -> Result<Reply, SendError> {
        let done = format!("DATA ({} octets)", text.len());
        // mail-send ends the text with CRLF itself.
        let text = text.strip_suffix(b"\r\n").unwrap_or(text);
        let said = match self.client.data(text).await {
            Ok(said) | Err(mail_send::Error::UnexpectedReply(said)) => reply(&said),
            Err(error) => return Err(broken("DATA", &error)),
        };
        self.told(done, said).success("DATA")
    }

    /// Gives a command that must succeed.
    async fn command(&mut self, name: &'static str, line: String) -> Result<Reply, SendError> {
        self.ask(name, line).await?.success(name)
    }

    /// Gives a command and tells what the server said.
    async fn ask(&mut self, name: &'static str, line: String) -> Result<Reply, SendError> {
        let said = self.client.cmd(format!("{line}\r\n")).await;
        let said = reply(&said.map_err(|error| broken(name, &error))?);
        Ok(self.told(line, said))
    }

    fn told(&mut self, done: String, reply: Reply) -> Reply {
        (self.tell)(Step { done, reply: Some(reply.clone()) });
        reply
    }
}

trait Success {
    fn success(self, command: &'static str) -> Result<Reply, SendError>;
}

impl Success for Reply {
    fn success(self, command: &'static str) -> Result<Reply, SendError> {
        if self.is_success() { Ok(self) } else { Err(SendError::Refused { command, reply: self }) }
    }
}

fn reply(response: &Response<String>) -> Reply {
    let [class, subject, detail] = response.esc;
    let status = matches!(class, 2 | 4 | 5)
        .then(|| EnhancedStatus::new(class, subject.into(), detail.into()));
    Reply::new(response.code, status, response.message.replace("\r\n", "\n"))
}

fn broken(command: &'static str, error: &mail_send::Error) -> SendError {
    match error {
        mail_send::Error::UnexpectedReply(said) => {
            SendError::Refused { command, reply: reply(said) }
        }
        other => SendError::Broken { command, reason: words(other) },
    }
}

fn words(error: &mail_send::Error) -> String {
    match error {
        mail_send::Error::UnparseableReply => {
            "the server closed the connection or sent what is no reply".to_owned()
        }
        mail_send::Error::Timeout => "no answer in time".to_owned(),
        mail_send::Error::UnsupportedAuthMechanism => {
            "the server offers no AUTH mechanism that is known here".to_owned()
        }
        mail_send::Error::AuthenticationFailed(said) | mail_send::Error::UnexpectedReply(said) => {
            reply(said).to_string()
        }
        mail_send::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}
