//! How long a line may be.

const CRLF_OCTETS: usize = 2;
/// Longest line of a login with its CRLF, which is more than that of a command: tokens are long (RFC 4954 §4).
const LOGIN_LINE_OCTETS_MAX: usize = 12_288 + CRLF_OCTETS;

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Commands without AUTH.
    Command,
    /// Commands, and AUTH, which may be as long as the answer to a challenge.
    CommandOrAuth,
    /// The answer to a challenge.
    Response,
}

impl Expected {
    /// Longest line that is read, CRLF included, where a command has `command_octets_max`.
    pub(super) fn octets_max(self, command_octets_max: usize) -> usize {
        match self {
            Self::Command => command_octets_max,
            Self::CommandOrAuth => command_octets_max.max(LOGIN_LINE_OCTETS_MAX),
            Self::Response => LOGIN_LINE_OCTETS_MAX,
        }
    }

    /// Whether a line that was read is longer than its command may be.
    pub(super) fn is_too_long(self, line: &[u8], command_octets_max: usize) -> bool {
        const AUTH: &[u8] = b"AUTH ";
        let is_auth = line.get(..AUTH.len()).is_some_and(|verb| verb.eq_ignore_ascii_case(AUTH));
        let octets = line.len().saturating_add(CRLF_OCTETS);
        self == Self::CommandOrAuth && octets > command_octets_max && !is_auth
    }
}
