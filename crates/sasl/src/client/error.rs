//! What can go wrong when the relay logs in.

use mail::Reply;
use policy::config::Mechanism;

use crate::secret::SecretFileError;

/// Why a login cannot be used; the operator mends the settings or a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// A file of a secret.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The settings.
    #[error("{key}: {words}")]
    Settings {
        /// The key, from the login on.
        key: &'static str,
        /// What is wrong and what to do.
        words: String,
    },
}

/// Why there is no token, in words; shows no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenError(pub(super) String);

/// Why a login did not happen; the mail waits. Shows no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server offers nothing that this login has.
    #[error("the host offers no login that is set up here (it offers {offered})")]
    NotOffered {
        /// What it offers, in its words.
        offered: String,
    },
    /// A password or a token would go in clear text.
    #[error("the host offers only logins that show the secret, and there is no TLS")]
    NeedsTls,
    /// There is no token.
    #[error("no token to log in with: {0}")]
    Token(TokenError),
    /// What the server sent does not follow the mechanism. Send [`CANCEL`](super::CANCEL).
    #[error("the host's answer does not follow {mechanism}")]
    Malformed {
        /// Which.
        mechanism: Mechanism,
    },
    /// The server asks for too few rounds, as one that is after the password would, or for so many that we would be busy
    /// for long. Send [`CANCEL`](super::CANCEL).
    #[error("the host asks for {iterations} iterations of {mechanism}; 4096 to 1000000 are done")]
    Iterations {
        /// Which.
        mechanism: Mechanism,
        /// How many.
        iterations: u32,
    },
    /// The server did not show that it knows the password too: it may be somebody else. Send
    /// [`CANCEL`](super::CANCEL) or close.
    #[error(
        "the host did not prove by {mechanism} that it knows the password: it may be an impostor"
    )]
    Impostor {
        /// Which.
        mechanism: Mechanism,
    },
    /// The server refused.
    #[error("the host refused the login by {mechanism}: {reply}{}", details(.words.as_deref()))]
    Refused {
        /// Which.
        mechanism: Mechanism,
        /// What it said; without words that repeat the login.
        reply: Reply,
        /// What it said of the token.
        words: Option<String>,
    },
    /// Our own machine failed, such as for want of memory.
    #[error("the login could not be worked out")]
    Internal,
}

fn details(words: Option<&str>) -> String {
    words.map(|words| format!(" ({words})")).unwrap_or_default()
}
