//! One MAIL…dot as its driver sees it.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use mail::{BodyType, Fate, Reply};
use smtp_codec::{DotStuffer, MailParam, ReplyReader, write_mail, write_rcpt};

use crate::client::answers::{Answers, By};
use crate::client::extensions::Extensions;
use crate::client::outgoing::{After, Answer, Outgoing, Step, Timeouts};
use crate::client::words::{self, Loss};

/// One message going out on one connection.
///
/// With PIPELINING the commands go together, and each reply is read for its own command; only a 2yz to the final dot
/// makes a recipient delivered. Holds no content but what is to be sent next.
#[derive(Debug)]
pub struct Transaction {
    outgoing: Outgoing,
    extensions: Extensions,
    timeouts: Timeouts,
    phase: Phase,
    answers: Answers,
    replies: ReplyReader,
    sends: VecDeque<Bytes>,
    tail: BytesMut,
    waiting_since: Instant,
}

/// Where the transaction stands.
#[derive(Debug)]
enum Phase {
    /// Commands go out, replies come in.
    Envelope(Envelope),
    /// Behind 354.
    Body(DotStuffer),
    /// Behind the final dot.
    Dot,
    /// Behind a lone dot: 354 came although no recipient was taken (RFC 2920 §3.1).
    LoneDot,
    /// Behind RSET, which ends a transaction that came to nothing.
    Reset,
    /// Over; the end is given out once.
    Over(Option<Step>),
}

/// How far MAIL, each RCPT and DATA have come, counted in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Envelope {
    sent: usize,
    answered: usize,
    sender: Sender,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// Taken, or not yet answered.
    Open,
    /// MAIL was answered with no: what was sent behind it is answered, but means nothing.
    Refused,
}

/// So many commands may be unanswered at a time, so that neither side's buffers fill up while the other waits.
const UNANSWERED_MAX: usize = 100;
/// Content in pieces up to this size is put together; a larger piece is sent as it is, since the driver writes several
/// pieces at a time.
const COPIED_OCTETS_MAX: usize = 1024;
/// So much is put together at most.
const TAIL_OCTETS_MAX: usize = 32 * 1024;
const FAR: Duration = Duration::from_hours(30 * 24);

impl Transaction {
    /// Begins a transaction; the first step sends MAIL, or ends it if the next hop cannot take the message.
    pub fn new(
        outgoing: Outgoing,
        extensions: Extensions,
        timeouts: Timeouts,
        now: Instant,
    ) -> Self {
        let mut transaction = Self {
            phase: Phase::Envelope(Envelope { sent: 0, answered: 0, sender: Sender::Open }),
            answers: Answers::new(outgoing.recipients.len()),
            replies: ReplyReader::new(),
            sends: VecDeque::new(),
            tail: BytesMut::with_capacity(512),
            waiting_since: now,
            outgoing,
            extensions,
            timeouts,
        };
        if let Some(refusal) = words::refusal(&transaction.outgoing, &extensions) {
            transaction.answers.decide_rest(&refusal, By::Us);
            transaction.end(After::Reuse, &refusal);
        } else if transaction.outgoing.recipients.is_empty() {
            transaction.end(After::Reuse, &words::loss(Loss::Closed, "RCPT"));
        } else {
            transaction.send_commands(Envelope { sent: 0, answered: 0, sender: Sender::Open });
        }
        transaction
    }

    /// Takes what was read from the next hop.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        self.read(bytes, Written::All, now);
    }

    /// As [`receive`](Self::receive), while a part of what [`Step::Send`] gave is not written yet.
    pub fn receive_early(&mut self, bytes: &[u8], now: Instant) {
        self.read(bytes, Written::Part, now);
    }

    fn read(&mut self, bytes: &[u8], written: Written, now: Instant) {
        let mut input = Bytes::copy_from_slice(bytes);
        while !self.is_over() {
            match self.replies.read(&mut input) {
                Some(Ok(reply)) => {
                    let is_early =
                        written == Written::Part || !self.sends.is_empty() || !self.tail.is_empty();
                    self.take(&reply, now);
                    if is_early {
                        self.cut_short();
                    }
                }
                Some(Err(_)) => self.lose(Loss::Malformed),
                None => return,
            }
        }
        if !input.is_empty() {
            self.distrust();
        }
    }

    /// What to do next; none when only an event can move the transaction.
    pub fn next_step(&mut self) -> Option<Step> {
        if let Some(bytes) = self.sends.pop_front() {
            return Some(Step::Send(bytes));
        }
        let is_body = matches!(self.phase, Phase::Body(_));
        if !self.tail.is_empty() && (!is_body || self.tail.len() >= TAIL_OCTETS_MAX) {
            return Some(Step::Send(self.tail.split().freeze()));
        }
        match &mut self.phase {
            Phase::Body(_) => Some(Step::NeedBody),
            Phase::Over(end) => end.take(),
            Phase::Envelope(_) | Phase::Dot | Phase::LoneDot | Phase::Reset => None,
        }
    }

    /// Takes the next piece of content.
    pub fn body(&mut self, chunk: Bytes, now: Instant) {
        let Phase::Body(stuffer) = &mut self.phase else { return };
        self.waiting_since = now;
        let stuffed = stuffer.stuff(chunk);
        let octets = self.tail.len().saturating_add(stuffed.len());
        if stuffed.len() <= COPIED_OCTETS_MAX && octets <= TAIL_OCTETS_MAX {
            self.tail.extend_from_slice(&stuffed);
            return;
        }
        if !self.tail.is_empty() {
            self.sends.push_back(self.tail.split().freeze());
        }
        self.sends.push_back(stuffed);
    }

    /// The content is complete.
    pub fn body_ended(&mut self, now: Instant) {
        let Phase::Body(stuffer) = &self.phase else { return };
        self.waiting_since = now;
        self.tail.extend_from_slice(stuffer.end());
        self.phase = Phase::Dot;
    }

    /// Whether nothing is to be sent or waited for any more.
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// Ends the transaction if its [`deadline`](Self::deadline) has passed.
    pub fn expire(&mut self, now: Instant) {
        if now >= self.deadline() {
            self.lose(Loss::Expired);
        }
    }

    /// When to call [`expire`](Self::expire).
    pub fn deadline(&self) -> Instant {
        let last = self.outgoing.recipients.len();
        let wait_max = match &self.phase {
            Phase::Envelope(Envelope { answered: 0, .. }) | Phase::Reset => self.timeouts.mail,
            Phase::Envelope(Envelope { answered, .. }) if *answered <= last => self.timeouts.rcpt,
            Phase::Envelope(_) => self.timeouts.data,
            Phase::Body(_) => self.timeouts.block,
            Phase::Dot | Phase::LoneDot => self.timeouts.dot,
            Phase::Over(_) => FAR,
        };
        self.waiting_since.checked_add(wait_max.min(FAR)).unwrap_or(self.waiting_since)
    }

    /// The connection is gone: the next hop closed it, or it broke.
    pub fn closed(&mut self, now: Instant) {
        self.waiting_since = now;
        if matches!(self.phase, Phase::Over(_)) {
            self.distrust();
        }
        self.lose(Loss::Closed);
    }

    /// Sends what may be sent by now; ends the envelope when nothing is left to wait for.
    fn send_commands(&mut self, mut envelope: Envelope) {
        let recipients = self.outgoing.recipients.len();
        let unanswered_max = if self.extensions.pipelining { UNANSWERED_MAX } else { 1 };
        while envelope.sender == Sender::Open && envelope.sent - envelope.answered < unanswered_max
        {
            let may_take = self.answers.taken() > 0 || envelope.answered <= recipients;
            match envelope.sent {
                0 => self.send_mail(),
                sent if sent <= recipients => {
                    if let Some(recipient) = self.outgoing.recipients.get(sent - 1) {
                        write_rcpt(&mut self.tail, recipient, []);
                    }
                }
                sent if sent == recipients + 1 && may_take => {
                    self.tail.extend_from_slice(b"DATA\r\n");
                }

                _ => break,
            }
            envelope.sent += 1;
        }
        self.phase = Phase::Envelope(envelope);
        if envelope.sent > envelope.answered {
            return;
        }
        if envelope.sender == Sender::Refused {
            self.end(After::Reuse, &words::loss(Loss::Malformed, "MAIL"));
        } else {
            self.tail.extend_from_slice(b"RSET\r\n");
            self.phase = Phase::Reset;
        }
    }

    fn send_mail(&mut self) {
        let is_eight_bit = self.outgoing.body_type == BodyType::EightBitMime;
        let params = [
            self.extensions.size.map(|_| MailParam::Size(self.outgoing.octets)),
            is_eight_bit.then_some(MailParam::Body(BodyType::EightBitMime)),
            self.outgoing.needs_smtputf8.then_some(MailParam::SmtpUtf8),
        ];
        write_mail(&mut self.tail, &self.outgoing.sender, params.into_iter().flatten());
    }

    /// Takes one reply for what it was due for.
    fn take(&mut self, reply: &Reply, now: Instant) {
        self.waiting_since = now;
        match self.phase {
            Phase::Over(_) => {}
            Phase::Reset if reply.is_success() => self.end(After::Reuse, reply),
            Phase::Reset => self.end(After::Close, reply),
            _ if reply.code() == 421 => self.give_up(reply),
            Phase::Envelope(envelope) => self.take_in_envelope(envelope, reply),
            // An answer before the dot is a no, or none.
            Phase::Body(_) if matches!(reply.code() / 100, 4 | 5) => {
                self.give_up(reply);
            }

            Phase::Body(_) => self.lose(Loss::Malformed),
            Phase::Dot | Phase::LoneDot if reply.code() / 100 == 3 => self.lose(Loss::Malformed),
            Phase::Dot => {
                self.answers.decide_rest(reply, By::NextHop);
                self.end(After::Reuse, reply);
            }
            Phase::LoneDot => self.end(After::Reuse, reply),
        }
    }

    fn take_in_envelope(&mut self, mut envelope: Envelope, reply: &Reply) {
        let answered = envelope.answered;
        let is_data = answered > self.outgoing.recipients.len();
        envelope.answered += 1;
        match reply.code() / 100 {
            3 if is_data && reply.code() == 354 => return self.begin_body(),
            3 => return self.lose(Loss::Malformed),
            // A yes to DATA is none: nothing was handed over.
            2 if is_data => return self.lose(Loss::Malformed),
            _ if envelope.sender == Sender::Refused => {}
            2 if answered == 0 => {}
            2 => self.answers.take(),
            _ if answered == 0 => {
                envelope.sender = Sender::Refused;
                self.answers.decide_rest(reply, By::NextHop);
            }
            _ if is_data => self.answers.decide_rest(reply, By::NextHop),
            _ => self.answers.refuse(answered - 1, reply.clone()),
        }
        self.send_commands(envelope);
    }

    fn begin_body(&mut self) {
        if self.answers.taken() > 0 {
            self.phase = Phase::Body(DotStuffer::new());
        } else {
            self.tail.extend_from_slice(b".\r\n");
            self.phase = Phase::LoneDot;
        }
    }

    /// No usable reply comes any more.
    fn lose(&mut self, loss: Loss) {
        let to = match &self.phase {
            Phase::Over(_) => return,
            Phase::Envelope(Envelope { answered: 0, .. }) => "MAIL",
            Phase::Envelope(envelope) if envelope.answered <= self.outgoing.recipients.len() => {
                "RCPT"
            }
            Phase::Envelope(_) => "DATA",
            Phase::Body(_) => "the content",
            Phase::Dot | Phase::LoneDot => "the final dot",
            Phase::Reset => "RSET",
        };
        let was_dead = loss == Loss::Closed && self.is_before_first_reply();
        self.finish(&words::loss(loss, to), By::Us, was_dead.into());
    }

    /// The next hop ends it all.
    fn give_up(&mut self, reply: &Reply) {
        let first =
            if reply.code() == 421 { self.is_before_first_reply().into() } else { First::Came };
        self.finish(reply, By::NextHop, first);
    }

    const fn is_before_first_reply(&self) -> bool {
        matches!(self.phase, Phase::Envelope(Envelope { answered: 0, .. }))
    }

    fn finish(&mut self, reply: &Reply, by: By, first: First) {
        self.answers.decide_rest(reply, by);
        self.sends.clear();
        self.tail.clear();
        self.end(After::Close, reply);
        if let Phase::Over(Some(Step::Done(end))) = &mut self.phase {
            end.was_dead_before_first_reply = first == First::Missing;
        }
    }

    fn end(&mut self, connection: After, unanswered: &Reply) {
        let answers = mem::replace(&mut self.answers, Answers::new(0));
        self.phase = Phase::Over(Some(Step::Done(answers.end(connection, unanswered))));
    }

    /// An end that came before all was sent leaves the two sides out of step, and is no yes to a message that the next
    /// hop does not have.
    fn cut_short(&mut self) {
        let Phase::Over(Some(Step::Done(end))) = &mut self.phase else { return };
        self.sends.clear();
        self.tail.clear();
        end.connection = After::Close;
        end.retry_rest.clear();
        let is_delivered = |answer: &&mut Answer| answer.fate == Fate::Delivered;
        for answer in end.recipients.iter_mut().filter(is_delivered) {
            let reply = words::loss(Loss::Malformed, "the final dot");
            *answer = Answer { fate: Fate::Deferred, reply, is_remote: false };
        }
    }

    /// More came than was asked for, or the connection went: it is good for nothing more.
    fn distrust(&mut self) {
        if let Phase::Over(Some(Step::Done(end))) = &mut self.phase {
            end.connection = After::Close;
        }
    }
}

/// How much of what was given out to be sent is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    All,
    Part,
}

/// Whether the first reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Came,
    Missing,
}

impl From<bool> for First {
    fn from(is_missing: bool) -> Self {
        if is_missing { Self::Missing } else { Self::Came }
    }
}
