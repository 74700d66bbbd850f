//! AUTH, and the lines that a login takes (RFC 4954 §4).

use bytes::Bytes;
use smtp_codec::LineError;

use crate::server::replies;
use crate::server::state::{Next, State};
use crate::server::step::{LoginVerdict, Reason, Said, Step};
use crate::server::talk::Talk;

impl State {
    /// AUTH: once, outside of transactions, behind EHLO.
    pub(super) fn auth(self, argument: &str, talk: &mut Talk) -> Next {
        let line = match &self {
            _ if !talk.takes_logins() => replies::NOT_OFFERED,
            Self::Fresh => replies::HELLO_FIRST,
            Self::Chunks(_) => replies::CHUNKS_OPEN,
            state if state.transaction().is_some() => replies::TRANSACTION_OPEN,
            _ if talk.is_logged_in() => replies::LOGIN_ALREADY,
            Self::Idle(hello) if !hello.is_esmtp => replies::EHLO_FIRST,
            Self::Idle(hello) => {
                let said = Said::Auth(argument.into());
                return (Self::LoginAsked(hello.clone()), Some(Step::Login(said)));
            }
            _ => replies::HELLO_FIRST,
        };
        talk.say(line);
        (self, None)
    }

    /// What the client says to a challenge. A line that is none ends the login.
    pub(super) fn response(self, line: Result<Bytes, LineError>, talk: &mut Talk) -> Next {
        let Self::Challenged(hello) = self else { return (self, None) };
        match line {
            Ok(line) => (Self::LoginAsked(hello), Some(Step::Login(Said::Response(line)))),
            Err(error) => {
                talk.say(replies::response_error(error));
                (Self::Idle(hello), Some(Step::ForgetLogin))
            }
        }
    }

    /// Goes on with a login as the driver decided; without one nothing changes.
    pub(super) fn login(self, verdict: LoginVerdict, talk: &mut Talk) -> Self {
        let Self::LoginAsked(hello) = self else { return self };
        match verdict {
            LoginVerdict::Challenge(reply) => {
                talk.say_challenge(&reply);
                Self::Challenged(hello)
            }
            LoginVerdict::Accept(reply) => {
                talk.say_reply(&reply);
                talk.log_in();
                Self::Idle(hello)
            }
            LoginVerdict::Refuse(reply) => {
                talk.say_login_refused(&reply);
                let state = Self::Idle(hello);
                if reply.code() == 421 { state.leave(Reason::Refused) } else { state }
            }
        }
    }
}
