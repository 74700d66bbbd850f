//! Why a message was not sent.

use mail::Reply;

/// Why a message was not sent, in words for the person at the terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody answers there: check host and port.
    #[error("cannot connect to {server}: {reason}")]
    Connect {
        /// Host and port.
        server: String,
        /// What the system said.
        reason: String,
    },
    /// TLS could not be agreed on: check the name, the certificate, or ask for less verification.
    #[error("no TLS with {server}: {reason}")]
    Tls {
        /// Host and port.
        server: String,
        /// Why.
        reason: String,
    },
    /// The server does not offer STARTTLS: choose another port or no TLS.
    #[error("the server does not offer STARTTLS")]
    NoStartTls,
    /// The server wants no AUTH that we know, or the name and password are wrong.
    #[error("not let in as {name}: {reason}")]
    Auth {
        /// The name.
        name: String,
        /// What the server said.
        reason: String,
    },
    /// The server refused a command.
    #[error("refused at {command}: {reply}")]
    Refused {
        /// The command.
        command: &'static str,
        /// What the server said.
        reply: Reply,
    },
    /// The server refused every recipient.
    #[error("refused every recipient, the last with: {0}")]
    NoRecipient(Reply),
    /// The connection broke, or what came was no reply. After the end of the content it is not known whether the
    /// server took the message.
    #[error("the conversation broke off at {command}: {reason}")]
    Broken {
        /// The command.
        command: &'static str,
        /// What happened.
        reason: String,
    },
}

impl SendError {
    /// The reply that decided it, if it was one.
    pub const fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused { reply, .. } | Self::NoRecipient(reply) => Some(reply),
            Self::Connect { .. }
            | Self::Tls { .. }
            | Self::NoStartTls
            | Self::Auth { .. }
            | Self::Broken { .. } => None,
        }
    }
}
