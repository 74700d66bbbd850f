//! Who is at the other end of a connection, as logs, envelopes and the trace field tell it.

use std::fmt;
use std::net::SocketAddr;

use mail::{Origin, Timestamp};
use policy::Certificate;
use sasl::Identity;
use telemetry::garbles;
use tls::server::PeerCertificate;

use crate::rates::Who;

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    /// The session's name in logs.
    pub(crate) session: SessionId,
    pub(crate) address: SocketAddr,
    /// Whether a proxy said whose session it is (XCLIENT): TLS is then with the proxy.
    pub(crate) is_told: bool,
    /// The inbound connector that lets it relay, if one does.
    pub(crate) connector: Option<Box<str>>,
    /// TLS version and cipher suite, once there is TLS.
    pub(crate) tls: Option<Box<str>>,
    /// What it showed in the handshake, trusted or not.
    pub(crate) certificate: Option<Box<PeerCertificate>>,
    /// Whom it logged in as.
    pub(crate) identity: Option<Box<Identity>>,
}

impl Client {
    /// Whose certificate it showed, if that is trusted.
    pub(crate) fn subject(&self) -> Option<&str> {
        let certificate = self.certificate.as_ref().filter(|it| it.fault.is_none())?;
        Some(&certificate.subject)
    }

    /// The account that it logged in to.
    pub(crate) fn login(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| &*identity.account)
    }

    /// Whose doings its are.
    pub(crate) fn who(&self) -> Who<'_> {
        Who { client: self.address.ip(), login: self.login() }
    }

    /// What policy is told of it.
    pub(crate) fn for_policy(&self, now: Timestamp) -> policy::Who<'_> {
        policy::Who {
            address: self.address.ip(),
            certificate: self.certificate.as_deref().map(trusted).unwrap_or_default(),
            login: self.login(),
            is_tls: self.tls.is_some(),
            now,
        }
    }

    /// Where a message came in.
    pub(crate) fn origin(&self, listener: &str, helo: Box<str>) -> Origin {
        Origin {
            client: Some(self.address.ip().to_canonical()),
            helo,
            listener: listener.into(),
            connector: self.connector.clone().unwrap_or_default(),
            tls: self.tls.clone(),
            login: self.login().map(Into::into),
        }
    }
}

/// What became of the client that a proxy told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is looked at as any other.
    Welcome,
    /// It is beyond its limits: the greeting is a refusal, and nothing more is asked about it.
    Refused,
}

/// Names a session in logs; no two of one machine are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionId(pub(crate) u64);

impl fmt::Display for SessionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:x}", self.0)
    }
}

/// A client's words without what could forge or garble a log line.
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0.chars().try_for_each(|c| out.write_char(if garbles(c) { '?' } else { c }))
    }
}

/// What a certificate says, if a trusted authority vouches for it.
pub(crate) fn trusted(certificate: &PeerCertificate) -> Certificate<'_> {
    Certificate { names: certificate.trusted_names(), issuer: certificate.trusted_issuer() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_cannot_be_forged() {
        assert_eq!(Plain("a\u{1b}[31m\r\nb\u{2028}\u{fc}").to_string(), "a?[31m??b?\u{fc}");
    }
}
