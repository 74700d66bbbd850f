//! Where a session stands, and what each command means there.

use mail::{MessageId, Reply};
use smtp_codec::{BdatDecoder, Command, CommandError, DataDecoder};

use crate::server::held::{Asked, Chunk, Hello, Refused, hello_of};
use crate::server::intake::Intake;
use crate::server::replies::{self, Line, Refusal};
use crate::server::step::{Reason, Step, Transaction, Verdict};
use crate::server::talk::Talk;

/// The state of a session; each holds what is known there and no more.
#[derive(Debug)]
pub(super) enum State {
    /// The greeting was a refusal; QUIT is waited for.
    Turned,
    /// Neither EHLO nor HELO was said.
    Fresh,
    /// No transaction is open.
    Idle(Hello),
    /// MAIL was taken, no recipient yet.
    Sender(Box<Transaction>, Refused),
    /// At least one recipient was taken.
    Recipients(Box<Transaction>),
    /// A question is open.
    Asked(Asked),
    /// The driver looks at what the client said to log in.
    LoginAsked(Hello),
    /// A challenge was sent; the next line answers it, whatever it says.
    Challenged(Hello),
    /// Behind 354.
    Data(Box<Intake>, DataDecoder),
    /// In a chunk.
    Chunk(Box<Intake>, Chunk),
    /// Between chunks.
    Chunks(Box<Intake>),
    /// In a chunk that nobody takes: its octets are not commands, so they are counted out before the reply.
    Swallow(Box<Self>, BdatDecoder, Line),
    /// The content is whole; the driver stores it.
    Storing(Hello),
    /// STARTTLS was taken; its 220 is on the way.
    TlsDue,
    /// The handshake is on.
    Handshake,
    /// The end is on the way, and the driver must drop content before it.
    Dropping(Reason),
    /// The end is on the way.
    Closing(Reason),
    /// Nothing follows.
    Closed,
}

/// The next state, and a step if one is due at once.
pub(super) type Next = (State, Option<Step>);

impl From<Hello> for State {
    fn from(hello: Hello) -> Self {
        Self::Idle(hello)
    }
}

impl State {
    /// Says what `command` means here.
    pub(super) fn on(self, command: Command<'_>, talk: &mut Talk) -> Next {
        if let Self::Turned = self {
            return self.on_turned(&command, talk);
        }
        let is_harmless = matches!(
            command,
            Command::Ehlo(_)
                | Command::Helo(_)
                | Command::Noop
                | Command::StartTls
                | Command::Quit
                | Command::Foreign
        );
        if talk.lacks_tls() && !is_harmless {
            return self.refuse(&command, replies::TLS_FIRST, talk);
        }
        match command {
            Command::Ehlo(name) => {
                self.greet(Hello { name: talk.helo(name), is_esmtp: true }, talk)
            }
            Command::Helo(name) => {
                self.greet(Hello { name: talk.helo(name), is_esmtp: false }, talk)
            }
            Command::Xclient(attributes) => self.xclient(attributes, talk),
            Command::Mail { path, params } => self.mail(path, params, talk),
            Command::Rcpt { path, params } => self.rcpt(path, params, talk),
            Command::Data => self.data(talk),
            Command::Bdat { octets, is_last } => {
                self.bdat(Chunk { octets: BdatDecoder::new(octets), is_last }, talk)
            }
            Command::Rset => self.reset(talk),
            Command::StartTls => self.start_tls(talk),
            Command::Quit => self.quit(talk),
            Command::Foreign => self.foreign(talk),
            Command::Noop => self.answer(replies::OK, talk),
            Command::Help => self.answer(replies::HELP, talk),
            Command::Vrfy(_) => self.answer(replies::NOT_VERIFIED, talk),
            Command::Auth(argument) => self.auth(argument, talk),
            Command::Expn(_) | Command::Etrn(_) => self.answer(replies::NOT_OFFERED, talk),
            Command::Unknown => self.answer(replies::UNKNOWN, talk),
        }
    }

    /// Says what a malformed command means here. A chunk of unknown size ends the session: what follows is content,
    /// and must not be read as commands.
    pub(super) fn on_error(self, error: CommandError, talk: &mut Talk) -> Next {
        talk.say(replies::command_error(error));
        if error == CommandError::ChunkSize {
            (self.leave(Reason::BadCommands), None)
        } else {
            (self, None)
        }
    }

    /// Goes on as the driver decided; without an open question nothing changes.
    pub(super) fn decide(self, verdict: Verdict, talk: &mut Talk) -> Self {
        let Self::Asked(asked) = self else { return self };
        let refusal = match verdict {
            Verdict::Accept => return asked.accept(talk),
            Verdict::Refuse(reply) => reply,
        };
        if let Asked::Chunk(transaction, chunk) = asked {
            // Its octets come all the same; the reply follows them.
            return Self::Chunk(
                Box::new(Intake::refused(transaction, refusal, &talk.settings)),
                chunk,
            );
        }
        talk.say_reply(&refusal);
        let back = match asked {
            Asked::Client(hello, _) => hello.map_or(Self::Fresh, Self::Idle),
            Asked::Mail(transaction) => Self::Idle(hello_of(&transaction)),
            Asked::Recipient(transaction, _) if transaction.recipients.is_empty() => {
                Self::Sender(transaction, Refused::Some)
            }
            Asked::Recipient(transaction, _)
            | Asked::Data(transaction)
            | Asked::Chunk(transaction, _) => Self::Recipients(transaction),
        };
        back.after(&refusal)
    }

    /// The message is on the device, or forgotten on purpose.
    pub(super) fn taken(self, id: MessageId, talk: &mut Talk) -> Self {
        let Self::Storing(hello) = self else { return self };
        talk.say_stored(id);
        hello.into()
    }

    /// The message is not stored, or what came of it cannot be.
    pub(super) fn not_stored(mut self, reply: Reply, talk: &mut Talk) -> Self {
        match &mut self {
            Self::Data(intake, _) | Self::Chunk(intake, _) | Self::Chunks(intake) => {
                intake.refuse(reply);
            }
            Self::Storing(hello) => {
                talk.say_reply(&reply);
                return Self::from(hello.clone()).after(&reply);
            }
            _ => {}
        }
        self
    }

    /// The content is whole: it goes to the driver, unless it is refused.
    pub(super) fn end_content(intake: Intake, talk: &mut Talk) -> Next {
        let hello = hello_of(&intake.transaction);
        let abandons = intake.is_wanted() && intake.ends_at_fault();
        if abandons {
            talk.say_refusal(Refusal::BareEnd);
            return (hello.into(), Some(Step::Abandon));
        }
        if intake.say_refusal(talk) {
            return (hello.into(), None);
        }
        (Self::Storing(hello), Some(Step::Commit(intake.transaction)))
    }

    /// A chunk is whole.
    pub(super) fn end_chunk(intake: Box<Intake>, chunk: Chunk, talk: &mut Talk) -> Next {
        if chunk.is_last {
            return Self::end_content(*intake, talk);
        }
        if !intake.say_refusal(talk) {
            talk.say(replies::CHUNK_OK);
        }
        (Self::Chunks(intake), None)
    }

    /// Ends the session; content that the driver holds is dropped first.
    pub(super) fn leave(&self, reason: Reason) -> Self {
        let mut state = self;
        while let Self::Swallow(back, ..) = state {
            state = back;
        }
        match state {
            Self::Data(intake, _) | Self::Chunk(intake, _) | Self::Chunks(intake)
                if intake.is_wanted() =>
            {
                Self::Dropping(reason)
            }
            _ => Self::Closing(reason),
        }
    }

    /// Whether content is on its way, or octets that were announced as content.
    pub(super) const fn is_content(&self) -> bool {
        matches!(self, Self::Data(..) | Self::Chunk(..) | Self::Chunks(_) | Self::Swallow(..))
    }

    /// What the client calls itself, while it is asked about a sender.
    pub(super) fn helo_at_mail(&self) -> Option<&str> {
        match self {
            Self::Asked(Asked::Mail(transaction)) => Some(&transaction.helo),
            _ => None,
        }
    }

    /// The open transaction.
    pub(super) fn transaction(&self) -> Option<&Transaction> {
        match self {
            Self::Sender(transaction, _)
            | Self::Recipients(transaction)
            | Self::Asked(
                Asked::Recipient(transaction, _)
                | Asked::Data(transaction)
                | Asked::Chunk(transaction, _),
            ) => Some(transaction),
            Self::Data(intake, _) | Self::Chunk(intake, _) | Self::Chunks(intake) => {
                Some(&intake.transaction)
            }
            Self::Swallow(back, ..) => back.transaction(),
            Self::Turned
            | Self::Fresh
            | Self::Idle(_)
            | Self::Asked(Asked::Mail(_) | Asked::Client(..))
            | Self::LoginAsked(_)
            | Self::Challenged(_)
            | Self::Storing(_)
            | Self::TlsDue
            | Self::Handshake
            | Self::Dropping(_)
            | Self::Closing(_)
            | Self::Closed => None,
        }
    }

    pub(super) fn answer(self, line: Line, talk: &mut Talk) -> Next {
        talk.say(line);
        (self, None)
    }

    /// A driver's 421 closes.
    fn after(self, reply: &Reply) -> Self {
        if reply.code() == 421 { self.leave(Reason::Refused) } else { self }
    }

    /// Refuses a command; the octets behind BDAT are swallowed (RFC 3030 §4.1).
    fn refuse(self, command: &Command<'_>, line: Line, talk: &mut Talk) -> Next {
        match *command {
            Command::Bdat { octets, .. } => self.swallow(BdatDecoder::new(octets), line),
            _ => self.answer(line, talk),
        }
    }

    pub(super) fn swallow(self, octets: BdatDecoder, line: Line) -> Next {
        (Self::Swallow(Box::new(self), octets, line), None)
    }

    fn on_turned(self, command: &Command<'_>, talk: &mut Talk) -> Next {
        match command {
            Command::Quit => self.quit(talk),
            Command::Foreign => self.foreign(talk),
            _ => self.refuse(command, replies::NO_SERVICE, talk),
        }
    }

    /// EHLO and HELO end what was open (RFC 5321 §4.1.4).
    fn greet(self, hello: Hello, talk: &mut Talk) -> Next {
        if hello.is_esmtp {
            talk.say_ehlo();
        } else {
            talk.say_helo();
        }
        (hello.into(), self.abandoned())
    }

    fn reset(self, talk: &mut Talk) -> Next {
        talk.say(replies::OK);
        let step = self.abandoned();
        let hello = self.transaction().map(hello_of);
        (hello.map_or(self, Self::Idle), step)
    }

    fn quit(self, talk: &mut Talk) -> Next {
        talk.say(replies::BYE);
        (self.leave(Reason::Quit), None)
    }

    fn foreign(self, talk: &mut Talk) -> Next {
        talk.say(replies::FOREIGN);
        (self.leave(Reason::ForeignProtocol), None)
    }

    fn abandoned(&self) -> Option<Step> {
        matches!(self.leave(Reason::Quit), Self::Dropping(_)).then_some(Step::Abandon)
    }

    fn start_tls(self, talk: &mut Talk) -> Next {
        if self.transaction().is_some() {
            return self.answer(replies::TRANSACTION_OPEN, talk);
        }
        if talk.is_under_tls() {
            return self.answer(replies::TLS_ALREADY, talk);
        }
        if !talk.offers_starttls() {
            return self.answer(replies::NOT_OFFERED, talk);
        }
        talk.say(replies::TLS_READY);
        (Self::TlsDue, None)
    }
}

impl Asked {
    fn accept(self, talk: &mut Talk) -> State {
        match self {
            Self::Mail(transaction) => {
                talk.say(replies::SENDER_OK);
                State::Sender(transaction, Refused::None)
            }
            Self::Recipient(mut transaction, recipient) => {
                talk.say(replies::RECIPIENT_OK);
                transaction.recipients.push(recipient);
                State::Recipients(transaction)
            }
            Self::Data(transaction) => {
                talk.say(replies::GO_AHEAD);
                State::Data(Box::new(Intake::new(transaction, &talk.settings)), DataDecoder::new())
            }
            Self::Chunk(transaction, chunk) => {
                State::Chunk(Box::new(Intake::new(transaction, &talk.settings)), chunk)
            }
            Self::Client(_, helo) => {
                if let Some(helo) = helo {
                    talk.set_helo(helo);
                }
                talk.say_greeting();
                State::Fresh
            }
        }
    }
}
