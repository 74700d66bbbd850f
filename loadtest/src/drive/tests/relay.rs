//! A relay of a few lines, whose faults are known: what it drops, doubles or spoils must be counted as that.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::envelope;
use crate::load::SourceTls;
use crate::sink::Sink;
use crate::tls::{self, Pair, Resuming};
use crate::wire::Wire;

/// A message as it goes over the wire.
#[derive(Clone, Debug, Default)]
pub(super) struct Mail {
    pub(super) number: u64,
    pub(super) from: String,
    pub(super) to: Vec<String>,
    /// With the final dot.
    pub(super) content: Vec<u8>,
}

/// What the source is answered behind the final dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Take,
    Refuse,
    /// The connection is cut; the message goes on or not, as the copies say.
    Cut,
    /// No answer ever.
    Silence,
}

/// What the relay does to a message.
pub(super) struct Habits {
    pub(super) answer: Box<dyn Fn(&Mail) -> Answer + Send + Sync>,
    /// What goes on to the next hop.
    pub(super) forward: Box<dyn Fn(Mail) -> Vec<Mail> + Send + Sync>,
    pub(super) tls: SourceTls,
    /// The lines of a login and what each is answered; where there are any, mail needs the last first.
    pub(super) login: &'static [(&'static str, &'static str)],
    /// Recipients it does not take.
    pub(super) declines: fn(&str) -> bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            answer: Box::new(|_| Answer::Take),
            forward: Box::new(|mail| vec![mail]),
            tls: SourceTls::Off,
            login: &[],
            declines: |_| false,
        }
    }
}

/// Runs until it is dropped.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    listener: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

struct Host {
    habits: Habits,
    acceptor: TlsAcceptor,
    next_hop: SocketAddr,
    routes: Vec<(String, SocketAddr)>,
}

impl Relay {
    pub(super) async fn start(sink: &Sink, habits: Habits) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let pair = Pair::self_signed("relay.example").unwrap();
        let routes = sink.routes().iter();
        let host = Arc::new(Host {
            habits,
            acceptor: tls::acceptor(&pair, Resuming::Off).unwrap(),
            next_hop: sink.address(),
            routes: routes
                .map(|route| (format!(".{}.example", route.class), route.address))
                .collect(),
        });
        let listener = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let host = Arc::clone(&host);
                sessions.spawn(async move {
                    let mut forwards = JoinSet::new();
                    // A source that leaves in the middle is part of some tests.
                    host.converse(Wire::new(stream), &mut forwards).await.ok();
                    forwards.join_all().await;
                });
            }
        });
        Self { address, listener }
    }
}

impl Host {
    async fn converse(
        self: &Arc<Self>,
        mut wire: Wire,
        forwards: &mut JoinSet<()>,
    ) -> anyhow::Result<()> {
        let mut mail = Mail::default();
        let mut logins = self.habits.login.iter();
        if self.habits.tls == SourceTls::Implicit {
            wire = wire.accept_tls(&self.acceptor).await?;
        }
        let mut is_encrypted = self.habits.tls == SourceTls::Implicit;
        wire.send(b"220 relay.example\r\n").await?;
        loop {
            let line = line(&mut wire).await?;
            let reply = match line.split(' ').next().unwrap() {
                "EHLO" => "250-relay.example\r\n250 SIZE",
                "STARTTLS" => {
                    wire.send(b"220 go\r\n").await?;
                    wire = wire.accept_tls(&self.acceptor).await?;
                    is_encrypted = true;
                    continue;
                }
                "MAIL" if !is_encrypted && self.habits.tls != SourceTls::Off => "530 TLS first",
                "MAIL" if logins.len() > 0 => "530 log in first",
                "MAIL" => {
                    let from = envelope::path(line.as_bytes()).unwrap().to_owned();
                    let (_, number) = envelope::sender(&from).unwrap();
                    mail = Mail { number, from, ..Mail::default() };
                    "250 ok"
                }
                "RCPT" if (self.habits.declines)(&line) => "550 no such user",
                "RCPT" => {
                    mail.to.push(envelope::path(line.as_bytes()).unwrap().to_owned());
                    "250 ok"
                }
                "DATA" if mail.to.is_empty() => "554 nobody to send it to",
                "DATA" => {
                    wire.send(b"354 go\r\n").await?;
                    mail.content = content(&mut wire).await?;
                    match (self.habits.answer)(&mail) {
                        Answer::Take => {
                            self.send_on(mail.clone(), forwards);
                            "250 taken"
                        }
                        Answer::Refuse => "451 not now",
                        Answer::Cut => {
                            self.send_on(mail, forwards);
                            return Ok(());
                        }
                        Answer::Silence => std::future::pending().await,
                    }
                }
                "RSET" => "250 ok",
                "QUIT" => "221 bye",
                _ => match logins.next() {
                    Some((want, reply)) if *want == line => reply,
                    _ => "500 what",
                },
            };
            wire.send(format!("{reply}\r\n").as_bytes()).await?;
        }
    }

    fn send_on(self: &Arc<Self>, mail: Mail, forwards: &mut JoinSet<()>) {
        for mail in (self.habits.forward)(mail) {
            for (hop, to) in self.hops(&mail.to) {
                let (host, mail) = (Arc::clone(self), Mail { to, ..mail.clone() });
                forwards.spawn(async move { host.deliver(mail, hop).await });
            }
        }
    }

    /// The recipients, by next hop.
    fn hops(&self, to: &[String]) -> Vec<(SocketAddr, Vec<String>)> {
        let mut hops: Vec<(SocketAddr, Vec<String>)> = Vec::new();
        for address in to {
            let route = self.routes.iter().find(|(suffix, _)| address.ends_with(suffix));
            let hop = route.map_or(self.next_hop, |(_, hop)| *hop);
            match hops.iter_mut().find(|(known, _)| *known == hop) {
                Some((_, to)) => to.push(address.clone()),
                None => hops.push((hop, vec![address.clone()])),
            }
        }
        hops
    }

    /// Tries until each recipient was taken or refused for good, and reports the latter.
    async fn deliver(&self, mut mail: Mail, hop: SocketAddr) {
        while !mail.to.is_empty() {
            if let Ok((left, refused)) = attempt(&mail, hop).await {
                mail.to = left;
                for address in refused {
                    self.report(&mail.from, &address).await;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn report(&self, to: &str, refused: &str) {
        let content = format!(
            "Subject: no\r\n\r\nFinal-Recipient: rfc822;{refused}\r\nAction: failed\r\n.\r\n"
        );
        let report =
            Mail { to: vec![to.to_owned()], content: content.into_bytes(), ..Mail::default() };
        while attempt(&report, self.next_hop).await.is_err() {}
    }
}

/// One try; gives the recipients to try again, and those refused for good.
async fn attempt(mail: &Mail, hop: SocketAddr) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let mut wire = Wire::new(TcpStream::connect(hop).await?);
    anyhow::ensure!(wire.reply().await? == 220, "not ready");
    command(&mut wire, "EHLO relay.example").await?;
    command(&mut wire, &format!("MAIL FROM:<{}>", mail.from)).await?;
    let (mut taken, mut left, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for address in &mail.to {
        let code = command(&mut wire, &format!("RCPT TO:<{address}>")).await?;
        let list = match code {
            250 => &mut taken,
            451 => &mut left,
            _ => &mut refused,
        };
        list.push(address.clone());
    }
    if !taken.is_empty() {
        command(&mut wire, "DATA").await?;
        wire.send(b"Received: from source by relay\r\n").await?;
        wire.send(&mail.content).await?;
        match wire.reply().await? {
            250 => {}
            451 => left.append(&mut taken),
            _ => refused.append(&mut taken),
        }
    }
    command(&mut wire, "QUIT").await.ok();
    Ok((left, refused))
}

async fn command(wire: &mut Wire, line: &str) -> anyhow::Result<u16> {
    wire.send(format!("{line}\r\n").as_bytes()).await?;
    wire.reply().await
}

async fn line(wire: &mut Wire) -> anyhow::Result<String> {
    loop {
        if let Some(line) = wire.line()? {
            return Ok(String::from_utf8(line.to_vec())?);
        }
        anyhow::ensure!(wire.fill(16 * 1024).await?, "the source closed");
    }
}

async fn content(wire: &mut Wire) -> anyhow::Result<Vec<u8>> {
    let mut content = String::new();
    while !content.ends_with("\r\n.\r\n") {
        content.push_str(&line(wire).await?);
        content.push_str("\r\n");
    }
    Ok(content.into_bytes())
}
