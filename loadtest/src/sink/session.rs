//! One connection of the sink: commands in, replies by the script out.

use std::sync::atomic::Ordering;

use anyhow::Context;

use crate::envelope;
use crate::sink::content::Reader;
use crate::sink::faults::Answer;
use crate::sink::host::{Host, Port};
use crate::sink::script::Stage;
use crate::wire::Wire;

/// A read of commands takes up to so much; a small message fits with them.
const READ_OCTETS: usize = 16 * 1024;

/// A conversation with the relay.
pub(crate) struct Session<'a> {
    host: &'a Host,
    port: &'a Port,
    /// Tells connections apart.
    connection: usize,
    wire: Wire,
    /// Replies that were not sent yet.
    replies: Vec<u8>,
    is_encrypted: bool,
    transaction: Transaction,
}

/// What is known between MAIL and the end of the content.
#[derive(Default)]
struct Transaction {
    from: Sender,
    /// Recipients of this run that were taken.
    to: Vec<Recipient>,
    /// Recipients that were taken and are not messages of this run.
    others: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sender {
    #[default]
    Nobody,
    /// The null sender: a report.
    Null,
    Somebody,
}

#[derive(Clone, Copy)]
struct Recipient {
    number: u64,
    place: u32,
    class: usize,
    slot: u64,
}

/// What to do after a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Its reply waits to be sent; the next command may follow.
    Command,
    Content,
    Tls,
    /// The replies are sent and the connection is closed.
    Quit,
    /// The connection is cut.
    Cut,
}

impl<'a> Session<'a> {
    pub(crate) fn new(host: &'a Host, port: &'a Port, connection: usize, wire: Wire) -> Self {
        Self {
            host,
            port,
            connection,
            wire,
            replies: Vec::with_capacity(1024),
            is_encrypted: false,
            transaction: Transaction::default(),
        }
    }

    /// Talks until one side ends it.
    pub(crate) async fn converse(mut self) -> anyhow::Result<()> {
        if self.port.cuts(self.host, Stage::Greeting) {
            return Ok(());
        }
        let open = self.port.open.load(Ordering::Relaxed);
        if self.port.connections_max > 0 && open > self.port.connections_max {
            return self.wire.send(b"421 4.7.0 sink.example has no connection left\r\n").await;
        }
        self.replies.extend_from_slice(b"220 sink.example ESMTP\r\n");
        loop {
            self.flush().await?;
            if !self.wire.fill(READ_OCTETS).await? {
                return Ok(());
            }
            loop {
                let Some(line) = self.wire.line()? else { break };
                let answer =
                    Command { host: self.host, port: self.port, is_encrypted: self.is_encrypted }
                        .answer(line, &mut self.transaction, &mut self.replies);
                match answer {
                    Next::Command => {}
                    Next::Content => {
                        self.flush().await?;
                        if !self.content().await? {
                            return Ok(());
                        }
                    }
                    Next::Tls => {
                        self.flush().await?;
                        let acceptor = self.host.acceptor.as_ref().context("no TLS")?;
                        self.wire = self.wire.accept_tls(acceptor).await?;
                        self.is_encrypted = true;
                        self.transaction = Transaction::default();
                        break;
                    }
                    Next::Quit => return self.flush().await,
                    Next::Cut => return Ok(()),
                }
            }
        }
    }

    /// Sends the replies that wait, after the time that the script wants.
    async fn flush(&mut self) -> anyhow::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let class = self.class();
        let wait = self.host.reply_wait.max(self.host.faults.reply_wait(class));
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        self.wire.send(&self.replies).await?;
        self.replies.clear();
        Ok(())
    }

    /// The class whose script holds now.
    fn class(&self) -> usize {
        self.transaction.to.first().map_or(self.port.class, |first| first.class)
    }

    /// Takes content and answers it; says whether the conversation goes on.
    async fn content(&mut self) -> anyhow::Result<bool> {
        let class = self.class();
        let transaction = std::mem::take(&mut self.transaction);
        let script = self.host.faults.class(class);
        let slow = script.map_or(0, |script| script.read_octets_per_second);
        let reader = Reader { plan: &self.host.tally.plan, octets_per_second: slow };
        if transaction.from == Sender::Null {
            let named = reader.read_report(&mut self.wire).await?;
            self.host.count_report(&named);
            self.replies.extend_from_slice(b"250 2.0.0 taken\r\n");
            return Ok(true);
        }
        let Some(first) = transaction.to.first().copied() else {
            reader.read(&mut self.wire).await?;
            self.host.tally.wonder();
            self.replies.extend_from_slice(b"250 2.0.0 taken\r\n");
            return Ok(true);
        };
        let cuts = |stage| self.host.faults.is_cut(class, stage, first.number, first.slot);
        if cuts(Stage::Content) {
            self.wire.fill(READ_OCTETS).await?;
            return Ok(false);
        }
        let content = reader.read(&mut self.wire).await?;
        if cuts(Stage::Dot) {
            return Ok(false);
        }
        let reply: &[u8] = match self.host.faults.content(class, first.number, first.slot) {
            Answer::Take => {
                self.host.count(&transaction.places(), content, self.connection);
                b"250 2.0.0 taken\r\n"
            }
            Answer::Defer => b"451 4.3.0 the script defers this content\r\n",
            Answer::Reject => {
                for recipient in &transaction.to {
                    self.host.tally.reject(recipient.number, recipient.place);
                }
                b"554 5.6.0 the script rejects this content\r\n"
            }
        };
        self.replies.extend_from_slice(reply);
        Ok(true)
    }
}

impl Transaction {
    /// Number, place and class of each recipient.
    fn places(&self) -> Vec<(u64, u32, usize)> {
        self.to.iter().map(|to| (to.number, to.place, to.class)).collect()
    }
}

/// Answers commands.
struct Command<'a> {
    host: &'a Host,
    port: &'a Port,
    is_encrypted: bool,
}

impl Command<'_> {
    fn answer(&self, line: &[u8], transaction: &mut Transaction, replies: &mut Vec<u8>) -> Next {
        let verb = line.split(|octet| *octet == b' ').next().unwrap_or_default();
        let is = |name: &str| verb.eq_ignore_ascii_case(name.as_bytes());
        let reply: &[u8] = if is("MAIL") {
            if self.port.cuts_message(self.host, line) {
                return Next::Cut;
            }
            *transaction = Transaction { from: from(line), ..Transaction::default() };
            b"250 2.1.0 ok\r\n"
        } else if is("RCPT") {
            match self.rcpt(line, transaction) {
                Some(reply) => reply,
                None => return Next::Cut,
            }
        } else if is("DATA") {
            return self.data(transaction, replies);
        } else if is("EHLO") || is("HELO") {
            if self.port.cuts(self.host, Stage::Ehlo) {
                return Next::Cut;
            }
            *transaction = Transaction::default();
            self.ehlo()
        } else if is("STARTTLS") && self.host.acceptor.is_some() && !self.is_encrypted {
            replies.extend_from_slice(b"220 2.0.0 go ahead\r\n");
            return Next::Tls;
        } else if is("QUIT") {
            replies.extend_from_slice(b"221 2.0.0 bye\r\n");
            return Next::Quit;
        } else if is("RSET") || is("NOOP") {
            *transaction = Transaction::default();
            b"250 2.0.0 ok\r\n"
        } else {
            b"502 5.5.1 the sink does not know that\r\n"
        };
        replies.extend_from_slice(reply);
        Next::Command
    }

    fn ehlo(&self) -> &'static [u8] {
        if self.host.acceptor.is_some() && !self.is_encrypted {
            b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
              250-STARTTLS\r\n250 ENHANCEDSTATUSCODES\r\n"
        } else {
            b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
              250 ENHANCEDSTATUSCODES\r\n"
        }
    }

    /// The reply to RCPT; none to cut the connection.
    fn rcpt(&self, line: &[u8], transaction: &mut Transaction) -> Option<&'static [u8]> {
        if transaction.from == Sender::Nobody {
            return Some(b"503 5.5.1 MAIL first\r\n");
        }
        let plan = &self.host.tally.plan;
        let place = envelope::path(line)
            .and_then(envelope::recipient)
            .filter(|place| place.run == plan.run && transaction.from == Sender::Somebody);
        let slot = place.and_then(|place| plan.slot(place.number, place.nth));
        let (Some(place), Some(slot)) = (place, slot) else {
            transaction.others += 1;
            return Some(b"250 2.1.5 ok\r\n");
        };
        if !self.host.takes_mail() {
            return Some(b"451 4.3.2 the script defers all mail for now\r\n");
        }
        let (class, slot) = (plan.class(place.domain), slot as u64);
        if self.host.faults.is_cut(class, Stage::Rcpt, place.number, slot) {
            return None;
        }
        match self.host.faults.rcpt(class, slot) {
            Answer::Take => {
                let (number, place) = (place.number, place.nth);
                transaction.to.push(Recipient { number, place, class, slot });
                Some(b"250 2.1.5 ok\r\n")
            }
            Answer::Defer => Some(b"451 4.2.0 the script defers this recipient\r\n"),
            Answer::Reject => {
                self.host.tally.reject(place.number, place.nth);
                Some(b"550 5.1.1 the script rejects this recipient\r\n")
            }
        }
    }

    fn data(&self, transaction: &Transaction, replies: &mut Vec<u8>) -> Next {
        if let Some(first) = transaction.to.first() {
            if self.host.faults.is_cut(first.class, Stage::Data, first.number, first.slot) {
                return Next::Cut;
            }
        } else if transaction.others == 0 {
            replies.extend_from_slice(b"554 5.5.1 no recipient was taken\r\n");
            return Next::Command;
        }
        replies.extend_from_slice(b"354 go ahead\r\n");
        Next::Content
    }
}

fn from(line: &[u8]) -> Sender {
    if envelope::path(line).is_some_and(str::is_empty) { Sender::Null } else { Sender::Somebody }
}
