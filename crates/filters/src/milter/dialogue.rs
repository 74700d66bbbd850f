//! One connection to a milter: what it is told, in the order that the protocol wants, and what it answers.

use std::time::Duration;

use bytes::Bytes;
use mail::header::Header;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::answer::{Answer, CHANGES_MAX, Decision, deferred, rejected};
use crate::config::Stage;
use crate::error::AskError;
use crate::facts::{Content, Recipient};
use crate::milter::body::Body;
use crate::milter::command::{self, Leading};
use crate::milter::macros;
use crate::milter::negotiation::{Agreement, offer, step};
use crate::milter::packet::{self, Inbox};
use crate::milter::reply::Reply;
use crate::milter::socket::Socket;
use crate::question::{Question, Transaction};

/// Commands that are sent together have so many octets, or a little more.
const OUTBOX_OCTETS: usize = 64 << 10;
/// The changes to a message have no more octets in all.
const CHANGES_OCTETS_MAX: usize = 1 << 20;

/// A connection to a milter. After an error, or when a question was not waited for, it must be dropped.
#[derive(Debug)]
pub(crate) struct Dialogue {
    socket: Socket,
    inbox: Inbox,
    outbox: Vec<u8>,
    agreement: Agreement,
    told: Told,
    /// One more answer may take so long.
    answer_wait_max: Duration,
    /// Its place among the connections to this milter.
    _place: OwnedSemaphorePermit,
}

/// What it has been told up to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Nothing,
    Connect,
    Helo,
    Mail,
    Rcpt,
    /// The transaction is over, and it has not been told.
    Over,
}

impl Dialogue {
    /// Agrees on the protocol.
    pub(crate) async fn begin(
        socket: Socket,
        answer_wait_max: Duration,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, AskError> {
        let mut dialogue = Self {
            socket,
            inbox: Inbox::default(),
            outbox: Vec::new(),
            agreement: Agreement::none(),
            told: Told::Nothing,
            answer_wait_max,
            _place: place,
        };
        packet::write(&mut dialogue.outbox, b'O', &offer());
        let packet = dialogue.packet().await?;
        if packet.kind != b'O' {
            return Err(AskError::protocol("it does not answer the offer of options"));
        }
        dialogue.agreement = Agreement::read(packet.content)?;
        Ok(dialogue)
    }

    /// Tells the milter all that it has not been told and belongs before this stage, then the stage itself.
    pub(crate) async fn ask(&mut self, question: &Question<'_>) -> Result<Answer, AskError> {
        if question.stage == Stage::Connect && self.told != Told::Nothing {
            return Ok(Answer::default());
        }
        if self.told == Told::Over {
            packet::write(&mut self.outbox, b'A', &[]);
            self.told = Told::Helo;
        }
        let decision = self.tell(question).await?;
        match question.content {
            Some(content) if decision == Decision::Continue => {
                self.content(question, content).await
            }
            _ => Ok(decision.into()),
        }
    }

    /// Tells all but the content; the first decision that ends it, or that of the stage.
    async fn tell(&mut self, question: &Question<'_>) -> Result<Decision, AskError> {
        let stage = question.stage;
        if self.told == Told::Nothing {
            let decision = self.connect(question).await?;
            if stage == Stage::Connect || decision != Decision::Continue {
                return Ok(decision);
            }
        }
        if stage == Stage::Helo || (self.told == Told::Connect && !question.facts.helo.is_empty()) {
            let decision = self.helo(question).await?;
            if stage == Stage::Helo || decision != Decision::Continue {
                return Ok(decision);
            }
        }
        let Some(transaction) = question.transaction else { return Ok(Decision::Continue) };
        if self.told < Told::Mail {
            let decision = self.mail(question, transaction).await?;
            if stage == Stage::Mail || decision != Decision::Continue {
                return Ok(decision);
            }
        }
        if self.told < Told::Rcpt {
            for recipient in &transaction.recipients {
                let decision = self.rcpt(question, recipient).await?;
                if decision != Decision::Continue {
                    return Ok(decision);
                }
            }
        }
        match question.recipient {
            None => Ok(Decision::Continue),
            Some(recipient) => self.rcpt(question, recipient).await,
        }
    }

    /// Whether it stands between two messages, or before the first.
    pub(crate) fn is_idle(&self) -> bool {
        !matches!(self.told, Told::Mail | Told::Rcpt)
    }

    /// Forgets the transaction; the milter is told with the next command.
    pub(crate) fn abort(&mut self) {
        if matches!(self.told, Told::Mail | Told::Rcpt) {
            self.told = Told::Over;
        }
    }

    async fn connect(&mut self, question: &Question<'_>) -> Result<Decision, AskError> {
        self.told = Told::Connect;
        if self.agreement.wants(step::NO_CONNECT) {
            return Ok(Decision::Continue);
        }
        macros::write(&mut self.outbox, b'C', question);
        command::connect(&mut self.outbox, question.facts);
        self.decision(step::SILENT_CONNECT).await
    }

    async fn helo(&mut self, question: &Question<'_>) -> Result<Decision, AskError> {
        self.told = Told::Helo;
        if self.agreement.wants(step::NO_HELO) {
            return Ok(Decision::Continue);
        }
        macros::write(&mut self.outbox, b'H', question);
        command::helo(&mut self.outbox, &question.facts.helo);
        self.decision(step::SILENT_HELO).await
    }

    async fn mail(
        &mut self,
        question: &Question<'_>,
        transaction: &Transaction,
    ) -> Result<Decision, AskError> {
        self.told = Told::Mail;
        if self.agreement.wants(step::NO_MAIL) {
            return Ok(Decision::Continue);
        }
        macros::write(&mut self.outbox, b'M', question);
        command::mail(&mut self.outbox, transaction);
        self.decision(step::SILENT_MAIL).await
    }

    async fn rcpt(
        &mut self,
        question: &Question<'_>,
        recipient: &Recipient,
    ) -> Result<Decision, AskError> {
        self.told = Told::Rcpt;
        if self.agreement.wants(step::NO_RCPT) {
            return Ok(Decision::Continue);
        }
        let question = Question { recipient: Some(recipient), ..*question };
        macros::write(&mut self.outbox, b'R', &question);
        command::rcpt(&mut self.outbox, recipient);
        self.decision(step::SILENT_RCPT).await
    }

    async fn content(
        &mut self,
        question: &Question<'_>,
        content: &Content,
    ) -> Result<Answer, AskError> {
        // Whatever comes before the end, the milter waits for an abort.
        self.told = Told::Over;
        if !self.agreement.wants(step::NO_DATA) {
            macros::write(&mut self.outbox, b'T', question);
            packet::write(&mut self.outbox, b'T', &[]);
            let decision = self.decision(step::SILENT_DATA).await?;
            if decision != Decision::Continue {
                return Ok(decision.into());
            }
        }
        let decision = self.header(question, content).await?;
        if decision != Decision::Continue {
            return Ok(decision.into());
        }
        if !self.agreement.wants(step::NO_BODY) {
            let decision = self.body(content).await?;
            if decision != Decision::Continue {
                return Ok(decision.into());
            }
        }
        macros::write(&mut self.outbox, b'E', question);
        packet::write(&mut self.outbox, b'E', &[]);
        let answer = self.end().await?;
        self.told = Told::Helo;
        Ok(answer)
    }

    async fn header(
        &mut self,
        question: &Question<'_>,
        content: &Content,
    ) -> Result<Decision, AskError> {
        let header = content.header().map_or(&b""[..], Bytes::as_ref);
        let leading = if self.agreement.wants(step::LEADING_SPACE) {
            Leading::Kept
        } else {
            Leading::Dropped
        };
        if !self.agreement.wants(step::NO_HEADERS) {
            for field in Header::read(header).fields {
                command::field(&mut self.outbox, &field, leading);
                let decision = self.decision(step::SILENT_HEADERS).await?;
                if decision != Decision::Continue {
                    return Ok(decision);
                }
            }
        }
        if self.agreement.wants(step::NO_END_OF_HEADERS) {
            return Ok(Decision::Continue);
        }
        macros::write(&mut self.outbox, b'N', question);
        packet::write(&mut self.outbox, b'N', &[]);
        self.decision(step::SILENT_END_OF_HEADERS).await
    }

    /// Shows the body, without the empty line before it.
    async fn body(&mut self, content: &Content) -> Result<Decision, AskError> {
        let mut body = Body::behind_empty_line(content.rest());
        while let Some(piece) = body.next() {
            packet::write(&mut self.outbox, b'B', &piece);
            match self.reply(step::SILENT_BODY).await? {
                Some(Reply::Skip) => break,
                reply => match decision(reply)? {
                    Decision::Continue => {}
                    decision => return Ok(decision),
                },
            }
        }
        Ok(Decision::Continue)
    }

    /// The answer to a whole message, with its changes. Only the limit on the whole bounds its time.
    async fn end(&mut self) -> Result<Answer, AskError> {
        let (mut answer, mut octets) = (Answer::default(), 0_usize);
        loop {
            let packet = self.packet().await?;
            octets = octets.saturating_add(packet.content.len());
            if answer.changes.len() > CHANGES_MAX || octets > CHANGES_OCTETS_MAX {
                let words = format!(
                    "it makes more than {CHANGES_MAX} changes, or changes of more than 1 MiB"
                );
                return Err(AskError::protocol(words));
            }
            match Reply::read(packet, self.agreement)? {
                Reply::Progress => {}
                Reply::Change(change) => answer.changes.push(change),
                Reply::Quarantine(reason) => answer.hold = Some(reason),
                reply => {
                    answer.decision = decision(Some(reply))?;
                    return Ok(answer);
                }
            }
        }
    }

    async fn decision(&mut self, silent: u32) -> Result<Decision, AskError> {
        decision(self.reply(silent).await?)
    }

    /// The answer to what was written last; none if the milter does not answer it. Each report of progress gives it as
    /// much time again.
    async fn reply(&mut self, silent: u32) -> Result<Option<Reply>, AskError> {
        if self.agreement.wants(silent) {
            if self.outbox.len() >= OUTBOX_OCTETS {
                self.flush().await?;
            }
            return Ok(None);
        }
        loop {
            let packet = timeout(self.answer_wait_max, self.packet()).await;
            match Reply::read(packet.map_err(|_| AskError::Late)??, self.agreement)? {
                Reply::Progress => {}
                reply => return Ok(Some(reply)),
            }
        }
    }

    /// Sends what is to be sent; then the next packet.
    async fn packet(&mut self) -> Result<packet::Packet, AskError> {
        self.flush().await?;
        loop {
            if let Some(packet) = self.inbox.next()? {
                return Ok(packet);
            }
            let read = self.socket.read(self.inbox.buffer()).await;
            if read.map_err(AskError::Broken)? == 0 {
                return Err(AskError::Closed);
            }
        }
    }

    async fn flush(&mut self) -> Result<(), AskError> {
        // An idle connection keeps no buffer.
        let outbox = std::mem::take(&mut self.outbox);
        if outbox.is_empty() {
            return Ok(());
        }
        self.socket.write(&outbox).await.map_err(AskError::Broken)
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        let mut quit = Vec::new();
        packet::write(&mut quit, b'Q', &[]);
        self.socket.write_now(&quit);
    }
}

/// What an answer decides where no changes may come.
fn decision(reply: Option<Reply>) -> Result<Decision, AskError> {
    Ok(match reply {
        None | Some(Reply::Continue) => Decision::Continue,
        Some(Reply::Accept) => Decision::Accept,
        Some(Reply::Reject) => Decision::Refuse(rejected()),
        Some(Reply::Tempfail) => Decision::Refuse(deferred()),
        Some(Reply::Discard) => Decision::Discard,
        Some(Reply::Code(reply)) => Decision::Refuse(reply),
        Some(Reply::GoingDown) => return Err(AskError::GoingDown),
        Some(Reply::Skip) => return Err(AskError::protocol("it skips what is no body")),
        Some(Reply::Change(_) | Reply::Quarantine(_) | Reply::Progress) => {
            return Err(AskError::protocol("it changes a message before its end"));
        }
    })
}
