//! What can go wrong in a look-up, sorted by what it means for mail.

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;

/// Why there is no answer to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The domain says that it takes no mail: bounce with 556 5.1.10 (RFC 7505).
    #[error("{0} takes no mail (null MX)")]
    NullMx(Box<str>),
    /// The name does not exist: bounce with 5.1.2.
    #[error("{0} does not exist (NXDOMAIN)")]
    NoDomain(Box<str>),
    /// The name exists but has no address: bounce with 5.4.4, unless another host is left.
    #[error("{0} has no address")]
    NoAddress(Box<str>),
    /// The name is none that the DNS could hold: bounce with 5.1.2.
    #[error("{0} is not a domain name (RFC 1035, RFC 5890)")]
    BadName(Box<str>),
    /// No answer or a failed one: the mail waits. Never a reason to go on as if the answer were empty
    /// (RFC 5321 §5.1).
    #[error("look-up of {record} for {name} failed: {reason}")]
    Temporary {
        /// What was looked up.
        name: Box<str>,
        /// The record: `MX`, `A`, `AAAA`, `TLSA`.
        record: &'static str,
        /// What happened, in words.
        reason: Box<str>,
    },
}

impl LookupError {
    /// Whether a later look-up may end otherwise.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary { .. })
    }

    /// What `error` means; [`Self::NoAddress`] says that the name is there, but has no such record.
    pub(crate) fn of(error: &NetError, name: &str, record: &'static str) -> Self {
        let code = match error {
            NetError::Dns(DnsError::NoRecordsFound(answer)) => answer.response_code,
            NetError::Dns(DnsError::ResponseCode(code)) => *code,
            NetError::Timeout => {
                return Self::temporary(name, record, "no DNS server answered in time");
            }
            error => return Self::temporary(name, record, &error.to_string()),
        };
        Self::of_code(code, name, record)
    }

    /// What an answer without records means.
    pub(crate) fn of_code(code: ResponseCode, name: &str, record: &'static str) -> Self {
        match code {
            ResponseCode::NXDomain => Self::NoDomain(name.into()),
            ResponseCode::NoError => Self::NoAddress(name.into()),
            code => Self::temporary(name, record, code.to_str()),
        }
    }

    fn temporary(name: &str, record: &'static str, reason: &str) -> Self {
        let reason = reason.replace(char::is_control, "?").into_boxed_str();
        Self::Temporary { name: name.into(), record, reason }
    }
}

/// Why the resolver cannot start; the operator mends the settings or `/etc/resolv.conf`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No servers are set and the system's list cannot be used.
    #[error("cannot use the DNS servers of /etc/resolv.conf; name some in [resolver] servers: {0}")]
    System(Box<str>),
    /// The resolver refused its settings.
    #[error("cannot set up the resolver: {0}")]
    Setup(Box<str>),
}
