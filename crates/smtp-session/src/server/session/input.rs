//! How a session takes its input: a command, or a piece of content, at a time.

use std::mem;

use bytes::Bytes;
use smtp_codec::{Command, Decoded, LineError};

use super::{Ending, Progress, Session};
use crate::server::held::Chunk;
use crate::server::line_length::Expected;
use crate::server::pace::Pace;
use crate::server::replies::{self, Refusal};
use crate::server::state::{Next, State};
use crate::server::step::{Reason, Step};

impl Session {
    /// Takes the next piece of the input.
    pub(super) fn advance(&mut self) -> Progress {
        let was_content = matches!(self.state, State::Data(..) | State::Chunk(..));
        let was_paced = self.state.is_content();
        let (next, progress) = match mem::replace(&mut self.state, State::Closed) {
            State::Data(mut intake, mut decoder) => match decoder.decode(&mut self.input) {
                Some(Decoded::Payload(piece)) => {
                    let step = intake.take(piece, &self.talk.settings);
                    (State::Data(intake, decoder), step.into())
                }
                Some(Decoded::End) => {
                    let next = State::end_content(*intake, &mut self.talk);
                    self.took(next)
                }
                None => self.starved(State::Data(intake, decoder)),
            },
            State::Chunk(mut intake, Chunk { mut octets, is_last }) => {
                if octets.is_whole() {
                    let next = State::end_chunk(intake, Chunk { octets, is_last }, &mut self.talk);
                    self.took(next)
                } else if let Some(piece) = octets.decode(&mut self.input) {
                    let step = intake.take(piece, &self.talk.settings);
                    (State::Chunk(intake, Chunk { octets, is_last }), step.into())
                } else {
                    self.starved(State::Chunk(intake, Chunk { octets, is_last }))
                }
            }
            State::Swallow(back, mut octets, line) => {
                if octets.is_whole() {
                    self.talk.say(line);
                    self.took((*back, None))
                } else if octets.decode(&mut self.input).is_some() {
                    (State::Swallow(back, octets, line), Progress::More)
                } else {
                    self.starved(State::Swallow(back, octets, line))
                }
            }
            state => self.command(state),
        };
        if let Progress::Step(Step::Abandon) = progress {
            self.refusal = match &next {
                State::Data(intake, _) | State::Chunk(intake, _) => intake.abandoned_for(),
                // At the end of content there is but this fault left to find.
                _ => was_content.then_some(Refusal::BareEnd),
            };
        }
        self.state = next;
        if !was_paced && self.state.is_content() {
            self.pace = Pace::new(self.now, self.input.len());
        }
        progress
    }

    fn command(&mut self, state: State) -> (State, Progress) {
        if self.ending == Ending::ShutDown && !matches!(state, State::Chunks(_)) {
            self.talk.say_farewell(Reason::ShutDown);
            return (state.leave(Reason::ShutDown), Progress::More);
        }
        let (expected, octets_max) = (self.expected(&state), self.talk.settings.command_octets_max);
        self.lines.set_octets_max(expected.octets_max(octets_max));
        let next = match self.lines.read(&mut self.input) {
            None => return self.starved(state),
            Some(line) if expected == Expected::Response => state.response(line, &mut self.talk),
            Some(Ok(line)) if expected.is_too_long(&line, octets_max) => {
                self.talk.say(replies::line_error(LineError::TooLong));
                (state, None)
            }
            Some(Err(error)) => {
                self.talk.say(replies::line_error(error));
                (state, None)
            }
            Some(Ok(line)) => match Command::parse(&line) {
                Ok(command) => {
                    self.talk.now = self.now;
                    state.on(command, &mut self.talk)
                }
                Err(error) => state.on_error(error, &mut self.talk),
            },
        };
        if matches!(next.0, State::TlsDue | State::Closing(_) | State::Dropping(_)) {
            self.input.clear();
        }
        self.took(next)
    }

    fn expected(&self, state: &State) -> Expected {
        match state {
            State::Challenged(_) => Expected::Response,
            _ if self.talk.takes_logins() && !self.talk.is_logged_in() => Expected::CommandOrAuth,
            _ => Expected::Command,
        }
    }

    /// A command or a content was done: the wait begins anew, unless there were too many bad ones.
    fn took(&mut self, (mut state, step): Next) -> (State, Progress) {
        self.waiting_since = self.now;
        let is_over = matches!(state, State::Closing(_) | State::Dropping(_));
        if self.talk.has_too_many_bad_commands() && !is_over && !matches!(state, State::Swallow(..))
        {
            self.talk.say_farewell(Reason::BadCommands);
            state = state.leave(Reason::BadCommands);
        }
        (state, step.into())
    }

    fn starved(&mut self, state: State) -> (State, Progress) {
        if self.input.is_empty() {
            // Even an empty piece would keep the driver's buffer alive.
            self.input = Bytes::new();
        }
        if self.ending == Ending::InputEnded {
            return (state.leave(Reason::InputEnded), Progress::More);
        }
        (state, Progress::Starved)
    }
}
