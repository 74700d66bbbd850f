//! Every way in which a login fails, with its reply (RFC 4954 §4 and §6).

use mail::{EnhancedStatus, Reply};

use crate::metrics::Ending;

/// A login that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What to tell the client. The same for an unknown account and a wrong password.
    pub reply: Reply,
    /// What happened, for the log alone. Names the account, shows no secret, holds no control character.
    pub reason: String,
    /// What kind of failure it was. After [`Ending::Banned`] the driver may say 421 instead and close.
    pub ending: Ending,
}

const fn status(class: u8, subject: u16, detail: u16) -> EnhancedStatus {
    EnhancedStatus::new(class, subject, detail)
}

impl Refusal {
    fn new(code: u16, status: EnhancedStatus, text: &str, ending: Ending, reason: String) -> Self {
        Self { reply: Reply::new(code, Some(status), text), reason, ending }
    }

    pub(super) fn wrong(reason: impl Into<String>) -> Self {
        let text = "the account or what proves it is wrong";
        Self::new(535, status(5, 7, 8), text, Ending::Wrong, reason.into())
    }

    pub(super) fn banned(reason: impl Into<String>) -> Self {
        let text = "too many logins failed, try again later";
        Self::new(454, status(4, 7, 0), text, Ending::Banned, reason.into())
    }

    pub(super) fn busy(reason: impl Into<String>) -> Self {
        let text = "too many logins at the moment, try again later";
        Self::new(454, status(4, 7, 0), text, Ending::Busy, reason.into())
    }

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        let text = "logins cannot be checked at the moment, try again later";
        Self::new(454, status(4, 7, 0), text, Ending::Unavailable, reason.into())
    }

    pub(super) fn not_offered(reason: impl Into<String>) -> Self {
        let text = "this mechanism is not offered, take one that EHLO names";
        Self::new(504, status(5, 5, 4), text, Ending::NotOffered, reason.into())
    }

    pub(super) fn too_weak(reason: impl Into<String>) -> Self {
        let text = "this mechanism is too weak here, take one that EHLO names";
        Self::new(534, status(5, 7, 9), text, Ending::NotOffered, reason.into())
    }

    pub(super) fn needs_tls(reason: impl Into<String>) -> Self {
        let text = "this mechanism needs TLS: STARTTLS comes first";
        Self::new(538, status(5, 7, 11), text, Ending::NotOffered, reason.into())
    }

    pub(super) fn malformed(reason: impl Into<String>) -> Self {
        let text = "this is not what the mechanism sends";
        Self::new(501, status(5, 5, 2), text, Ending::Malformed, reason.into())
    }

    pub(super) fn not_base64() -> Self {
        let reason = "what the client sent is not base64".to_owned();
        Self::new(501, status(5, 5, 2), "this is not base64", Ending::Malformed, reason)
    }

    pub(super) fn arguments() -> Self {
        let reason =
            "AUTH came with more or fewer words than a mechanism and one response".to_owned();
        Self::new(
            501,
            status(5, 5, 4),
            "say AUTH, a mechanism and at most one response",
            Ending::Malformed,
            reason,
        )
    }

    pub(super) fn too_long() -> Self {
        let reason = "the client sent a line of more than 12288 octets".to_owned();
        Self::new(
            500,
            status(5, 5, 6),
            "the line is longer than 12288 octets",
            Ending::Malformed,
            reason,
        )
    }

    pub(super) fn cancelled() -> Self {
        let reason = "the client cancelled the login".to_owned();
        Self::new(501, status(5, 7, 0), "the login is cancelled", Ending::Cancelled, reason)
    }
}

/// What a client is told that is logged in.
pub(super) fn welcome() -> Reply {
    Reply::new(235, Some(status(2, 7, 0)), "logged in")
}

/// `334` and what the client is to answer, in base64.
pub(super) fn challenge(message: &[u8]) -> Reply {
    Reply::new(334, None, crate::text::encoded(message))
}
