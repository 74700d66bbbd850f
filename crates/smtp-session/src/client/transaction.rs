//! One MAIL…end of content as its driver sees it.

mod ends;
mod replies;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use smtp_codec::{DotStuffer, ReplyReader, write_bdat, write_mail, write_rcpt};

use crate::client::answers::{Answers, By};
use crate::client::chunks::{Chunks, Pace, Part};
use crate::client::commands::{Fit, fits, mail_params, rcpt_params};
use crate::client::extensions::Extensions;
use crate::client::outgoing::{After, Outgoing, Step, Timeouts};
use crate::client::words::{self, Loss};

/// One message going out on one connection.
///
/// With PIPELINING the commands go together, and each reply is read for its own command; only a 2yz to the end of the
/// content makes a recipient delivered. With CHUNKING too, a small message goes out in one flight with its commands.
/// Holds no content but what is to be sent next.
#[derive(Debug)]
pub struct Transaction {
    outgoing: Outgoing,
    extensions: Extensions,
    timeouts: Timeouts,
    /// Places of the recipients that RCPT names, in its order.
    places: Vec<usize>,
    phase: Phase,
    answers: Answers,
    answering: Answering,
    replies: ReplyReader,
    sends: VecDeque<Bytes>,
    tail: BytesMut,
    waiting_since: Instant,
    /// Whether all of the content has been given out.
    is_content_sent: bool,
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
    /// Content goes out by BDAT, perhaps before the replies to the commands have come.
    Chunks(Envelope, Chunks),
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

/// Who answers to the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answering {
    /// The next hop, once for all (SMTP).
    Once,
    /// Each recipient that was taken (LMTP, RFC 2033 §4.2).
    EachRecipient,
}

/// What follows the last RCPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Data,
    Chunks,
    /// Nothing before the replies are there.
    Replies,
}

/// So many commands may be unanswered at a time, so that neither side's buffers fill up while the other waits.
const UNANSWERED_MAX: usize = 100;
/// Content in pieces up to this size is put together; a larger piece is sent as it is, since the driver writes several
/// pieces at a time.
const COPIED_OCTETS_MAX: usize = 1024;
/// So much is put together at most.
const TAIL_OCTETS_MAX: usize = 32 * 1024;
/// Content up to this size goes out before it is known whether anybody is taken: what is sent in vain costs less than
/// a round trip.
const FLIGHT_OCTETS_MAX: u64 = 64 * 1024;
const FAR: Duration = Duration::from_hours(30 * 24);

impl Transaction {
    /// Begins a transaction; the first step sends MAIL, or ends it if the next hop cannot take the message.
    pub fn new(
        outgoing: Outgoing,
        extensions: Extensions,
        timeouts: Timeouts,
        now: Instant,
    ) -> Self {
        Self::begin(outgoing, extensions, (timeouts, Answering::Once), now)
    }

    /// As [`new`](Self::new), in LMTP (RFC 2033): each recipient has an answer of its own to the content. Where they end
    /// in the middle, those that were answered keep their answers.
    pub fn lmtp(
        outgoing: Outgoing,
        extensions: Extensions,
        timeouts: Timeouts,
        now: Instant,
    ) -> Self {
        Self::begin(outgoing, extensions, (timeouts, Answering::EachRecipient), now)
    }

    fn begin(
        outgoing: Outgoing,
        extensions: Extensions,
        (timeouts, answering): (Timeouts, Answering),
        now: Instant,
    ) -> Self {
        let begun = Envelope { sent: 0, answered: 0, sender: Sender::Open };
        let mut transaction = Self {
            places: Vec::with_capacity(outgoing.recipients.len()),
            phase: Phase::Envelope(begun),
            answers: Answers::new(outgoing.recipients.len()),
            answering,
            replies: ReplyReader::new(),
            sends: VecDeque::new(),
            tail: BytesMut::with_capacity(512),
            waiting_since: now,
            is_content_sent: false,
            outgoing,
            extensions,
            timeouts,
        };
        if let Some(refusal) = words::refusal(&transaction.outgoing, &extensions) {
            transaction.answers.decide_rest(&refusal, By::Us);
            transaction.end(After::Reuse, &refusal);
            return transaction;
        }
        transaction.choose();
        if transaction.places.is_empty() {
            transaction.end(After::Reuse, &words::loss(Loss::Closed, "RCPT"));
        } else {
            transaction.send_commands(begun);
        }
        transaction
    }

    /// Sorts out whom RCPT names.
    fn choose(&mut self) {
        for (place, fit) in fits(&self.outgoing, &self.extensions).into_iter().enumerate() {
            match fit {
                Fit::Goes => self.places.push(place),
                Fit::TooMany => self.answers.leave_out(place),
                Fit::NeedsSmtpUtf8 => {
                    self.answers.decide(place, words::address_lacks_smtputf8());
                }
            }
        }
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
        let wants_body = self.wants_body();
        if !self.tail.is_empty() && (!wants_body || self.tail.len() >= TAIL_OCTETS_MAX) {
            return Some(Step::Send(self.tail.split().freeze()));
        }
        match &mut self.phase {
            Phase::Over(end) => end.take(),
            _ => wants_body.then_some(Step::NeedBody),
        }
    }

    fn wants_body(&self) -> bool {
        match &self.phase {
            Phase::Body(_) => true,
            Phase::Chunks(_, chunks) => chunks.wants_body(),
            Phase::Envelope(_) | Phase::Dot | Phase::LoneDot | Phase::Reset | Phase::Over(_) => {
                false
            }
        }
    }

    /// Takes the next piece of content.
    pub fn body(&mut self, chunk: Bytes, now: Instant) {
        self.waiting_since = now;
        match &mut self.phase {
            Phase::Body(stuffer) => {
                let stuffed = stuffer.stuff(chunk);
                self.push(stuffed);
            }
            Phase::Chunks(_, chunks) => {
                chunks.body(chunk);
                self.send_chunks();
            }
            Phase::Envelope(_) | Phase::Dot | Phase::LoneDot | Phase::Reset | Phase::Over(_) => {}
        }
    }

    fn push(&mut self, piece: Bytes) {
        let octets = self.tail.len().saturating_add(piece.len());
        if piece.len() <= COPIED_OCTETS_MAX && octets <= TAIL_OCTETS_MAX {
            self.tail.extend_from_slice(&piece);
            return;
        }
        if !self.tail.is_empty() {
            self.sends.push_back(self.tail.split().freeze());
        }
        self.sends.push_back(piece);
    }

    /// The content is complete.
    pub fn body_ended(&mut self, now: Instant) {
        self.waiting_since = now;
        match &mut self.phase {
            Phase::Body(stuffer) => {
                self.tail.extend_from_slice(stuffer.end());
                self.is_content_sent = true;
                self.phase = Phase::Dot;
            }
            Phase::Chunks(_, chunks) => {
                if !chunks.end() {
                    self.lose(Loss::Size);
                }
            }
            Phase::Envelope(_) | Phase::Dot | Phase::LoneDot | Phase::Reset | Phase::Over(_) => {}
        }
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
        let last = self.places.len();
        let wait_max = match &self.phase {
            Phase::Body(_) => self.timeouts.block,
            Phase::Chunks(_, chunks) if chunks.wants_body() => self.timeouts.block,
            Phase::Envelope(Envelope { answered: 0, .. })
            | Phase::Chunks(Envelope { answered: 0, .. }, _)
            | Phase::Reset => self.timeouts.mail,
            Phase::Envelope(Envelope { answered, .. })
            | Phase::Chunks(Envelope { answered, .. }, _)
                if *answered <= last =>
            {
                self.timeouts.rcpt
            }
            Phase::Envelope(_) => self.timeouts.data,
            Phase::Dot | Phase::LoneDot | Phase::Chunks(..) => self.timeouts.dot,
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
        let recipients = self.places.len();
        let unanswered_max = if self.extensions.pipelining { UNANSWERED_MAX } else { 1 };
        while envelope.sender == Sender::Open && envelope.sent - envelope.answered < unanswered_max
        {
            match envelope.sent {
                0 => {
                    let params = mail_params(&self.outgoing, &self.extensions);
                    write_mail(&mut self.tail, &self.outgoing.sender, params);
                }
                sent if sent <= recipients => self.send_rcpt(sent - 1),
                sent if sent == recipients + 1 => match self.next(envelope) {
                    Next::Data => self.tail.extend_from_slice(b"DATA\r\n"),
                    Next::Chunks => return self.begin_chunks(envelope),
                    Next::Replies => break,
                },
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
            self.reset();
        }
    }

    fn send_rcpt(&mut self, number: usize) {
        let place = self.places.get(number);
        if let Some(recipient) = place.and_then(|place| self.outgoing.recipients.get(*place)) {
            let params = rcpt_params(recipient, &self.extensions);
            write_rcpt(&mut self.tail, &recipient.address, params);
        }
    }

    /// What follows the last RCPT, as far as is known by now.
    fn next(&self, envelope: Envelope) -> Next {
        let is_answered = envelope.answered > self.places.len();
        if is_answered && self.answers.taken() == 0 {
            return Next::Replies;
        }
        if !self.extensions.chunking {
            return Next::Data;
        }
        // How many answers there will be depends on who is taken.
        let is_small =
            self.outgoing.octets <= FLIGHT_OCTETS_MAX && self.answering == Answering::Once;
        if is_answered || (is_small && self.extensions.pipelining) {
            Next::Chunks
        } else {
            Next::Replies
        }
    }

    fn begin_chunks(&mut self, envelope: Envelope) {
        self.phase = Phase::Chunks(envelope, Chunks::new(self.outgoing.octets));
        self.send_chunks();
    }

    /// Sends what may be sent of the content by now.
    fn send_chunks(&mut self) {
        let pace = if self.extensions.pipelining { Pace::Pipelined } else { Pace::OneByOne };
        while let Phase::Chunks(_, chunks) = &mut self.phase
            && let Some(part) = chunks.next(pace)
        {
            match part {
                Part::Line(octets, is_last) => write_bdat(&mut self.tail, (octets, is_last)),
                Part::Octets(octets) => self.push(octets),
            }
        }
        let Phase::Chunks(_, chunks) = &self.phase else { return };
        self.is_content_sent = chunks.is_given_out();
        if chunks.is_too_long() {
            self.lose(Loss::Size);
        }
    }

    fn begin_body(&mut self) {
        if self.answers.taken() > 0 {
            self.phase = Phase::Body(DotStuffer::new());
        } else if self.answering == Answering::EachRecipient {
            // It should have been a no (RFC 2033 §4.2); what it says to a lone dot is anybody's guess.
            self.lose(Loss::Malformed);
        } else {
            self.tail.extend_from_slice(b".\r\n");
            self.phase = Phase::LoneDot;
        }
    }

    fn reset(&mut self) {
        self.tail.extend_from_slice(b"RSET\r\n");
        self.phase = Phase::Reset;
    }
}

/// How much of what was given out to be sent is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    All,
    Part,
}
