//! What a server session and its driver tell each other.

use std::fmt;

use bytes::Bytes;
use mail::{Address, BodyType, Recipient, Reply, ReversePath, Wishes};
use smtp_codec::Xclient;

/// What the driver does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes: one or more whole replies.
    Send(Bytes),
    /// Answer by [`decide`](super::Session::decide); no step follows before.
    Ask(Question),
    /// Go on with the login, then answer by [`login`](super::Session::login); no step follows before.
    Login(Said),
    /// The login under way is over by the client's fault: forget it. The client has been told.
    ForgetLogin,
    /// Append these octets to the content. Never empty.
    Body(Bytes),
    /// The content is whole: store it, then call [`stored`](super::Session::stored) or
    /// [`not_stored`](super::Session::not_stored); no step follows before.
    Commit(Box<Transaction>),
    /// Drop the content that came so far; no more of it comes.
    Abandon,
    /// Start the handshake, then call [`tls_started`](super::Session::tls_started). What was read before is void.
    StartTls,
    /// Close the connection. The last step.
    Close(Reason),
}

/// What the client said to log in (RFC 4954 §4). Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Said {
    /// What stands behind AUTH: a mechanism, and perhaps a first response. Begins a login.
    Auth(Box<str>),
    /// The line behind a challenge, without its CRLF; `*` cancels.
    Response(Bytes),
}

impl fmt::Debug for Said {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Auth(_) => "Auth",
            Self::Response(_) => "Response",
        })
    }
}

/// How a login goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginVerdict {
    /// The client is to answer this 334.
    Challenge(Reply),
    /// The client is logged in; the reply is a 235.
    Accept(Reply),
    /// The login failed; the reply is a 4yz or 5yz. Counts as a bad command. A 421 closes.
    Refuse(Reply),
}

/// What the session cannot decide alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// May this sender begin a transaction?
    Mail {
        /// Who is told of failure.
        sender: ReversePath,
        /// What `SIZE=` said (RFC 1870).
        octets_declared: Option<u64>,
    },
    /// Is mail for this address taken?
    Recipient {
        /// The address as spelled.
        address: Address,
    },
    /// Is there a place for the content? Asked once, before 354 or for the first BDAT;
    /// [`transaction`](super::Session::transaction) tells whose it is.
    Content,
    /// Whose session it is from now on, as a proxy says. If that is taken, the session begins anew with the greeting;
    /// the driver may [`retell`](super::Session::retell) it what it goes by before it answers.
    Client(Box<Xclient>),
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Accept,
    /// No; the reply, a 4yz or 5yz, goes to the client.
    Refuse(Reply),
}

/// A message that is not ours yet: all that was said of it besides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// What the client called itself.
    pub helo: Box<str>,
    /// Whether it said EHLO.
    pub is_esmtp: bool,
    /// Who is told of failure.
    pub sender: ReversePath,
    /// Who shall have it, in RCPT's order; never empty once content is asked for.
    pub recipients: Vec<Recipient>,
    /// What `BODY=` said.
    pub body_type: BodyType,
    /// Whether MAIL said SMTPUTF8.
    pub needs_smtputf8: bool,
    /// What else MAIL asked for.
    pub wishes: Wishes,
    /// What `SIZE=` said.
    pub octets_declared: Option<u64>,
    /// Octets of content so far; all of them at [`Step::Commit`].
    pub octets: u64,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The client said QUIT.
    Quit,
    /// The client closed without QUIT.
    InputEnded,
    /// The client was silent for too long.
    Idle,
    /// Content came too slowly.
    TooSlow,
    /// The session was open for too long.
    TotalTime,
    /// Too many commands were unknown, malformed or out of order.
    BadCommands,
    /// The session had its share of transactions.
    Transactions,
    /// The client speaks another protocol, such as HTTP.
    ForeignProtocol,
    /// The greeting was a refusal.
    Refused,
    /// The relay stops.
    ShutDown,
}
