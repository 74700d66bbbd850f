//! The session as its driver sees it.

mod input;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use mail::{Accepted, MessageId, Reply, Timestamp};
use smtp_codec::LineReader;

use crate::server::pace::Pace;
use crate::server::replies::Refusal;
use crate::server::settings::{Security, Settings};
use crate::server::state::State;
use crate::server::step::{LoginVerdict, Reason, Step, Transaction, Verdict};
use crate::server::talk::Talk;

/// One connection's talk, from the greeting to the close.
///
/// It answers for the order of commands, the replies and the limits; it holds one unfinished command line, the replies
/// of one burst and what was read but not yet taken, and never content.
#[derive(Debug)]
pub struct Session {
    state: State,
    talk: Talk,
    lines: LineReader,
    input: Bytes,
    ending: Ending,
    now: Instant,
    /// Since when the client is waited for.
    waiting_since: Instant,
    /// Of the content under way.
    pace: Pace,
    ends_at: Instant,
    /// Why the content last abandoned was, if it was at fault itself.
    refusal: Option<Refusal>,
}

/// What was said about the end before it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    /// Nothing comes behind the input that is here.
    InputEnded,
    /// The relay stops.
    ShutDown,
}

/// As good as never; a sum with it does not overflow.
const FAR: Duration = Duration::from_hours(30 * 24);

impl Session {
    /// Begins a session; the first step sends the greeting.
    pub fn new(settings: Arc<Settings>, security: Security, now: Instant) -> Self {
        let mut session = Self::start(State::Fresh, Talk::new(settings, security, now), now);
        session.talk.say_greeting();
        session
    }

    /// Begins a session whose greeting is `reply`.
    ///
    /// After a 421 it closes at once. After a 554 it answers 503 to all but QUIT, as RFC 5321 §3.1 wants.
    pub fn refused(settings: Arc<Settings>, reply: &Reply, now: Instant) -> Self {
        let state =
            if reply.code() == 421 { State::Closing(Reason::Refused) } else { State::Turned };
        let mut session = Self::start(state, Talk::new(settings, Security::default(), now), now);
        session.talk.say_reply(reply);
        session
    }

    /// Says that the handshake was done before the greeting (RFC 8314).
    #[must_use]
    pub fn under_tls(mut self) -> Self {
        self.talk.begin_under_tls();
        self
    }

    /// Says that the client is a proxy that is believed when it says whose session it is (XCLIENT).
    #[must_use]
    pub const fn with_xclient(mut self) -> Self {
        self.talk.offer_xclient();
        self
    }

    /// Says what the wall clock shows as the session begins. Without it, holds and deadlines are not offered.
    #[must_use]
    pub const fn with_wall_clock(mut self, at: Timestamp) -> Self {
        self.talk.set_wall_clock(at);
        self
    }

    fn start(state: State, talk: Talk, now: Instant) -> Self {
        let lines = LineReader::new(talk.settings.command_octets_max);
        let ends_at = later(now, talk.settings.session_wait_max);
        let input = Bytes::new();
        Self {
            state,
            talk,
            lines,
            input,
            ending: Ending::Open,
            now,
            waiting_since: now,
            pace: Pace::new(now, 0),
            ends_at,
            refusal: None,
        }
    }

    /// Takes what was read from the client. Empty bytes change nothing.
    pub fn receive(&mut self, bytes: Bytes, now: Instant) {
        self.now = now;
        if bytes.is_empty() {
            return;
        }
        match self.state {
            // What is read in the clear behind STARTTLS, or behind the end, is void.
            State::TlsDue
            | State::Handshake
            | State::Dropping(_)
            | State::Closing(_)
            | State::Closed => return,
            State::Data(..) | State::Chunk(..) | State::Swallow(..) => self.waiting_since = now,
            _ => {}
        }
        self.pace.take(bytes.len());
        if self.input.is_empty() {
            self.input = bytes;
        } else {
            let mut both = BytesMut::with_capacity(self.input.len().saturating_add(bytes.len()));
            both.extend_from_slice(&self.input);
            both.extend_from_slice(&bytes);
            self.input = both.freeze();
        }
    }

    /// Whether the driver should read: false while a question or a commit is open, at the handshake and at the end.
    pub fn wants_input(&self) -> bool {
        !matches!(
            self.state,
            State::Asked(_)
                | State::LoginAsked(_)
                | State::Storing(_)
                | State::TlsDue
                | State::Handshake
                | State::Dropping(_)
                | State::Closing(_)
                | State::Closed
        )
    }

    /// What to do next; none when only an event can move the session.
    pub fn next_step(&mut self) -> Option<Step> {
        loop {
            if self.talk.is_full() {
                return self.talk.flush();
            }
            match self.state {
                State::Asked(_)
                | State::LoginAsked(_)
                | State::Storing(_)
                | State::Handshake
                | State::Closed => return self.talk.flush(),
                State::Dropping(reason) => {
                    self.refusal = None;
                    self.state = State::Closing(reason);
                    return Some(Step::Abandon);
                }
                State::Closing(reason) => {
                    return self.talk.flush().or_else(|| {
                        self.state = State::Closed;
                        Some(Step::Close(reason))
                    });
                }
                State::TlsDue => {
                    return self.talk.flush().or_else(|| {
                        self.state = State::Handshake;
                        Some(Step::StartTls)
                    });
                }
                _ => {}
            }
            match self.advance() {
                Progress::Step(step) => return Some(step),
                Progress::More => {}
                Progress::Starved => return self.talk.flush(),
            }
        }
    }

    /// Answers the open question; without one it changes nothing.
    pub fn decide(&mut self, verdict: Verdict, now: Instant) {
        self.change(now, |state, talk| state.decide(verdict, talk));
    }

    /// Goes on with the login that [`Step::Login`] asked about; without one it changes nothing.
    pub fn login(&mut self, verdict: LoginVerdict, now: Instant) {
        self.change(now, |state, talk| {
            let state = state.login(verdict, talk);
            if !matches!(state, State::Idle(_)) || !talk.has_too_many_bad_commands() {
                return state;
            }
            talk.say_farewell(Reason::BadCommands);
            state.leave(Reason::BadCommands)
        });
    }

    /// Takes AUTH from now on, until the next handshake, and forgets who was logged in; EHLO names `mechanisms`, with a space between two. It names no
    /// AUTH if there is none, though one that is sent is asked about all the same.
    pub fn offer_logins(&mut self, mechanisms: Box<str>) {
        self.talk.offer_logins(mechanisms);
    }

    /// Somebody who is believed says that the client has logged in already. Where no login is taken it changes nothing.
    pub fn logged_in(&mut self) {
        if self.talk.takes_logins() {
            self.talk.log_in();
        }
    }

    /// The message is on the device; but for [`discarded`](Self::discarded) the one way to a 250 behind content.
    pub fn stored(&mut self, accepted: &Accepted, now: Instant) {
        self.change(now, |state, talk| state.taken(accepted.id, talk));
    }

    /// The message is forgotten on purpose, and the client hears what it would if it were stored under `id`.
    pub fn discarded(&mut self, id: MessageId, now: Instant) {
        self.change(now, |state, talk| state.taken(id, talk));
    }

    /// The message was not stored: `reply`, a 4yz or 5yz, ends the transaction.
    ///
    /// May also be called while content still comes, when it cannot be written: the driver drops what it has, the
    /// session swallows the rest, and `reply` follows at the end of the content.
    pub fn not_stored(&mut self, reply: Reply, now: Instant) {
        self.change(now, |state, talk| state.not_stored(reply, talk));
    }

    /// The handshake is done: all that was said before is forgotten (RFC 3207 §4.2).
    pub fn tls_started(&mut self, now: Instant) {
        self.change(now, |state, talk| {
            if !matches!(state, State::TlsDue | State::Handshake) {
                return state;
            }
            talk.start_tls();
            State::Fresh
        });
    }

    /// From now on the session goes by `settings`, since more is known of the client. Changes nothing that was said.
    pub fn retell(&mut self, settings: Arc<Settings>) {
        self.talk.settings = settings;
    }

    /// Ends the session with 421 if its [`deadline`](Self::deadline) has passed.
    pub fn expire(&mut self, now: Instant) {
        self.now = now;
        if now < self.deadline() {
            return;
        }
        let reason = if now >= self.ends_at {
            Reason::TotalTime
        } else if now >= self.wait_ends_at() {
            Reason::Idle
        } else if self.pace.is_too_slow(&self.talk.settings, now) {
            Reason::TooSlow
        } else {
            return;
        };
        if !matches!(self.state, State::TlsDue | State::Handshake) {
            // In a handshake nobody could read it.
            self.talk.say_farewell(reason);
        }
        self.state = self.state.leave(reason);
    }

    /// When to call [`expire`](Self::expire). While the driver is the one waited for, this is far away.
    pub fn deadline(&self) -> Instant {
        let deadline = match self.state {
            State::Asked(_)
            | State::LoginAsked(_)
            | State::Storing(_)
            | State::Dropping(_)
            | State::Closing(_)
            | State::Closed => return later(self.now, FAR),
            _ => self.wait_ends_at().min(self.ends_at),
        };
        if !self.state.is_content() {
            return deadline;
        }
        self.pace.ends_at(&self.talk.settings).map_or(deadline, |ends_at| ends_at.min(deadline))
    }

    /// When the client has been waited for long enough.
    fn wait_ends_at(&self) -> Instant {
        let settings = &self.talk.settings;
        let wait_max = match self.state {
            State::Data(..) | State::Chunk(..) | State::Swallow(..) => settings.data_wait_max,
            _ => settings.idle_wait_max,
        };
        later(self.waiting_since, wait_max)
    }

    /// Ends the session with 421 4.3.2 as soon as no content is on its way.
    pub fn shut_down(&mut self, now: Instant) {
        self.now = now;
        if self.ending == Ending::Open {
            self.ending = Ending::ShutDown;
        }
    }

    /// The client will send no more. What came before is still answered.
    pub fn input_ended(&mut self, now: Instant) {
        self.now = now;
        self.ending = Ending::InputEnded;
        if matches!(self.state, State::TlsDue | State::Handshake) {
            self.state = State::Closing(Reason::InputEnded);
        }
    }

    /// The open transaction, from MAIL to [`Step::Commit`].
    pub fn transaction(&self) -> Option<&Transaction> {
        self.state.transaction()
    }

    /// What the client calls itself, while it is asked about a sender.
    pub fn helo_at_mail(&self) -> Option<&str> {
        self.state.helo_at_mail()
    }

    /// Why the content is refused that the last [`Step::Abandon`] was about; none if it was the client who gave it up.
    ///
    /// Of several faults the reply at the end may tell a graver one that came later.
    pub fn refusal(&self) -> Option<Reply> {
        self.refusal.map(|refusal| refusal.reply(&self.talk.settings))
    }

    fn change(&mut self, now: Instant, with: impl FnOnce(State, &mut Talk) -> State) {
        self.now = now;
        let was_content = self.state.is_content();
        self.state = with(mem::replace(&mut self.state, State::Closed), &mut self.talk);
        if !was_content {
            self.waiting_since = now;
            self.pace = Pace::new(now, self.input.len());
        }
    }
}

/// How the input was taken.
enum Progress {
    /// It led to a step.
    Step(Step),
    /// It led on.
    More,
    /// There is too little of it.
    Starved,
}

impl From<Option<Step>> for Progress {
    fn from(step: Option<Step>) -> Self {
        step.map_or(Self::More, Self::Step)
    }
}

fn later(from: Instant, wait: Duration) -> Instant {
    from.checked_add(wait.min(FAR)).unwrap_or(from)
}
