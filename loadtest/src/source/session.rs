//! One connection of the source: greeting, TLS and login, then transactions.

use std::io::IoSlice;
use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::load::{Load, Login, Mechanism, SourceTls};
use crate::tally::{Fate, Tally};
use crate::tls::{self, Resuming};
use crate::wire::Wire;

/// How connections to the relay are opened.
pub(crate) struct Door {
    target: SocketAddr,
    tls: SourceTls,
    connector: TlsConnector,
    login: Option<Login>,
    pipelining: Pipelining,
}

/// Whether commands wait for the replies to those before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pipelining {
    Off,
    On,
}

impl Door {
    pub(crate) fn new(load: &Load, target: SocketAddr) -> anyhow::Result<Self> {
        let resuming = if load.tls_resumption { Resuming::On } else { Resuming::Off };
        Ok(Self {
            target,
            tls: load.tls,
            connector: tls::connector(resuming)?,
            login: load.login.clone(),
            pipelining: if load.pipelining { Pipelining::On } else { Pipelining::Off },
        })
    }
}

/// A connection that is ready for mail.
pub(crate) struct Session {
    wire: Wire,
    pipelining: Pipelining,
    /// Messages it brought so far.
    pub(crate) carried: u64,
    /// False once the relay said 421.
    pub(crate) is_open: bool,
    /// Kept for their room.
    commands: Vec<u8>,
    head: Vec<u8>,
}

/// How a transaction ended, in words from the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Accepted,
    Refused(String),
}

/// What the relay said to the commands before the content.
struct Envelope {
    /// Recipients that were taken.
    taken: u32,
    /// Whether content is awaited.
    is_open: bool,
    refusal: Option<String>,
}

impl Session {
    pub(crate) async fn open(door: &Door) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(door.target)
            .await
            .with_context(|| format!("cannot connect to {}", door.target))?;
        let mut wire = Wire::new(stream);
        if door.tls == SourceTls::Implicit {
            wire = wire.connect_tls(&door.connector).await?;
        }
        expect(&mut wire, 220).await?;
        command(&mut wire, b"EHLO source.example\r\n", 250).await?;
        if door.tls == SourceTls::Starttls {
            command(&mut wire, b"STARTTLS\r\n", 220).await?;
            wire = wire.connect_tls(&door.connector).await?;
            command(&mut wire, b"EHLO source.example\r\n", 250).await?;
        }
        if let Some(login) = &door.login {
            log_in(&mut wire, login).await.with_context(|| format!("login of {}", login.user))?;
        }
        Ok(Self {
            wire,
            pipelining: door.pipelining,
            carried: 0,
            is_open: true,
            commands: Vec::new(),
            head: Vec::new(),
        })
    }

    /// Sends message `number`. The tally has it in doubt from the first octet of its content.
    ///
    /// # Errors
    /// If the connection broke, or cannot be used any more.
    pub(crate) async fn transact(&mut self, tally: &Tally, number: u64) -> anyhow::Result<Ending> {
        let plan = &tally.plan;
        self.commands.clear();
        plan.push_commands(&mut self.commands, number);
        let envelope = self.envelope(tally, number).await?;
        if !envelope.is_open {
            return self.refuse(envelope).await;
        }
        if envelope.taken == 0 {
            // The relay awaits content for nobody: an empty one.
            self.wire.send(b".\r\n").await?;
            self.wire.reply().await?;
            return Ok(Ending::Refused(envelope.refusal.unwrap_or_default()));
        }
        tally.decide(number, Fate::InDoubt);
        self.head.clear();
        plan.push_head(&mut self.head, number);
        let mut parts = [&self.head, plan.body(number), b".\r\n".as_slice()].map(IoSlice::new);
        self.wire.send_parts(&mut parts).await?;
        match self.wire.reply().await? {
            250 => {
                self.carried += 1;
                Ok(Ending::Accepted)
            }
            code => {
                self.is_open = code != 421;
                Ok(Ending::Refused(self.wire.reply_text()))
            }
        }
    }

    /// Says good-bye and waits for the answer, as RFC 5321 §4.1.1.10 wants it.
    pub(crate) async fn quit(mut self) {
        // What was sent is answered already: a connection that breaks here does no harm.
        command(&mut self.wire, b"QUIT\r\n", 221).await.ok();
    }

    /// MAIL, RCPT and DATA: in one go, or one by one until one makes the rest useless.
    async fn envelope(&mut self, tally: &Tally, number: u64) -> anyhow::Result<Envelope> {
        let recipients = tally.plan.recipients(number);
        let mut envelope = Envelope { taken: 0, is_open: false, refusal: None };
        if self.pipelining == Pipelining::On {
            self.wire.send(&self.commands).await?;
        }
        for (place, line) in (0_u32..).zip(self.commands.split_inclusive(|octet| *octet == b'\n')) {
            if self.pipelining == Pipelining::Off {
                let is_useless = envelope.refusal.is_some() && envelope.taken == 0;
                if is_useless && (place == 1 || place > recipients) {
                    break;
                }
                self.wire.send(line).await?;
            }
            let code = self.wire.reply().await?;
            match code {
                421 => bail!("the relay said `{}`", self.wire.reply_text()),
                354 if place > recipients => envelope.is_open = true,
                200..300 if place == 0 => {}
                200..300 if place <= recipients => envelope.taken += 1,
                _ => {
                    if let Some(place) = place.checked_sub(1).filter(|place| *place < recipients) {
                        tally.decline(number, place);
                    }
                    // The first refusal is the cause of those behind it.
                    envelope.refusal.get_or_insert_with(|| self.wire.reply_text());
                }
            }
        }
        Ok(envelope)
    }

    async fn refuse(&mut self, envelope: Envelope) -> anyhow::Result<Ending> {
        command(&mut self.wire, b"RSET\r\n", 250).await?;
        Ok(Ending::Refused(envelope.refusal.unwrap_or_default()))
    }
}

async fn log_in(wire: &mut Wire, login: &Login) -> anyhow::Result<()> {
    let Login { user, password, mechanism } = login;
    match mechanism {
        Mechanism::Plain => {
            let response = base64(format!("\0{user}\0{password}").as_bytes());
            command(wire, format!("AUTH PLAIN {response}\r\n").as_bytes(), 235).await
        }
        Mechanism::Login => {
            command(wire, b"AUTH LOGIN\r\n", 334).await?;
            command(wire, format!("{}\r\n", base64(user.as_bytes())).as_bytes(), 334).await?;
            command(wire, format!("{}\r\n", base64(password.as_bytes())).as_bytes(), 235).await
        }
    }
}

async fn command(wire: &mut Wire, line: &[u8], want: u16) -> anyhow::Result<()> {
    wire.send(line).await?;
    expect(wire, want).await
}

async fn expect(wire: &mut Wire, want: u16) -> anyhow::Result<()> {
    if wire.reply().await? == want {
        Ok(())
    } else {
        bail!("the relay said `{}` where {want} was due", wire.reply_text())
    }
}

/// The octets in the alphabet of RFC 4648 §4.
fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in octets.chunks(3) {
        let bits =
            (0..3).fold(0, |bits, at| bits << 8 | usize::from(three.get(at).copied().unwrap_or(0)));
        for place in 0..4 {
            let letter = LETTERS.get(bits >> (18 - 6 * place) & 63).copied().unwrap_or(b'=');
            out.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 §10.
    #[test]
    fn base64_of_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
