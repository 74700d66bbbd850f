//! TLS on the way to a host: asked for, begun, judged.

use policy::config::TlsLevel;
use smtp_session::client::Extensions;
use tls::Description;
use tls::client::{ClientConnection, Connectors, Verification};
use tokio::net::TcpStream;

use super::{Opener, Refused};
use crate::hello::{Hello, NoReply};
use crate::metrics::{Stage, TlsResult};
use crate::socket::Socket;
use crate::trail::{CLEAR_TEXT, Trail, Verdict};
use crate::words::{NO_TLS, span};

/// What follows from a handshake that verified nothing, where it could have.
const VERIFY: &str =
    "set `tls = \"verify\"`: it would hold here, and nobody could stand in between";
const UNVERIFIED: &str =
    "mail is encrypted, but for whom is not known; with `tls = \"verify\"` it would wait";

/// What a handshake came to.
pub(super) struct Secured {
    pub(super) verification: Verification,
    pub(super) facts: Box<str>,
    pub(super) exporter: Option<Box<[u8]>>,
}

impl Opener<'_> {
    /// Does the handshake with `host`.
    pub(super) async fn handshake(
        &self,
        host: &str,
        tcp: TcpStream,
        level: TlsLevel,
    ) -> Result<(Socket, Secured), Refused> {
        let wait = self.connector.timeouts.ehlo.as_duration();
        let verification = match level {
            TlsLevel::Verify => Verification::AuthorityAndName,
            TlsLevel::None | TlsLevel::Opportunistic | TlsLevel::Encrypt => Verification::None,
        };
        let connectors = self.means.handshakes.of(&self.connector.name);
        let handshake = connectors.connect(verification, host, tcp);
        let stream = match tokio::time::timeout(wait, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.no_tls(level, &error.to_string())),
            Err(_) => {
                let words = format!("the TLS handshake took more than {}", span(wait));
                return Err(self.no_tls(level, &words));
            }
        };
        self.metrics.tls_ended(TlsResult::Encrypted);
        let session = stream.get_ref().1;
        let facts = tls::facts(session);
        if let Some(trail) = self.trail {
            judge(trail, session, (&facts, &connectors), (host, verification));
        }
        let exporter = self.connector.login.as_ref().and_then(|_| tls::exporter(session));
        Ok((Socket::Tls(Box::new(stream)), Secured { verification, facts, exporter }))
    }

    /// Says STARTTLS if the level asks for it; gives whether a handshake follows.
    pub(super) async fn starttls(
        &self,
        hello: &mut Hello,
        extensions: &Extensions,
        level: TlsLevel,
    ) -> Result<bool, Refused> {
        if level == TlsLevel::None {
            self.metrics.tls_ended(TlsResult::Clear);
            if let Some(trail) = self.trail {
                trail.note("tls", Verdict::Skipped, "mail goes in clear text");
            }
            return Ok(false);
        }
        let is_forgiving = level == TlsLevel::Opportunistic;
        if !extensions.starttls {
            if is_forgiving {
                self.stays_clear("the host does not offer STARTTLS: mail goes in clear text");
                return Ok(false);
            }
            self.metrics.tls_ended(TlsResult::NotOffered);
            let words = if self.connector.tls == level {
                "does not offer STARTTLS, but the connector asks for TLS"
            } else {
                "does not offer STARTTLS, and the login is not sent without TLS"
            };
            return Err(Refused::new(Stage::Tls, NO_TLS, words));
        }
        let reply = hello.command("STARTTLS", self.connector.timeouts.ehlo.as_duration()).await;
        match reply {
            Ok(reply) if reply.code() == 220 => Ok(true),
            // The session is as it was before: clear text goes on right here.
            Ok(reply) if is_forgiving => {
                self.stays_clear(&format!("answered STARTTLS with {reply}: clear text goes on"));
                Ok(false)
            }
            Ok(reply) => Err(self.no_tls(level, &format!("answered STARTTLS with {reply}"))),
            // Octets behind the 220 were not sent by an honest server: neither TLS nor clear text now.
            Err(NoReply::TooMuch) => {
                self.metrics.tls_ended(TlsResult::Failed);
                let words = "sent clear text behind its reply to STARTTLS";
                Err(Refused::new(Stage::Tls, NO_TLS, words))
            }
            Err(error) => Err(self.no_tls(level, &error.to_string())),
        }
    }

    /// The connection goes on as it is.
    fn stays_clear(&self, words: &str) {
        self.metrics.tls_ended(TlsResult::Clear);
        if let Some(trail) = self.trail {
            trail.advise("tls", Verdict::Warn, (words, Some(CLEAR_TEXT)));
        }
    }

    fn no_tls(&self, level: TlsLevel, words: &str) -> Refused {
        let may_try_clear = level == TlsLevel::Opportunistic;
        if !may_try_clear {
            self.metrics.tls_ended(TlsResult::Failed);
        }
        Refused { stage: Stage::Tls, status: NO_TLS, words: format!("TLS: {words}"), may_try_clear }
    }
}

/// What an operator is told of a handshake; a certificate that nobody asked about is looked at all the same.
fn judge(
    trail: &Trail,
    session: &ClientConnection,
    (facts, connectors): (&str, &Connectors),
    (host, verification): (&str, Verification),
) {
    let shown = Description::of_peer(session).map(|it| format!("; {it}")).unwrap_or_default();
    if verification == Verification::AuthorityAndName {
        let words = format!("{facts}; the certificate is trusted{shown}");
        return trail.note("tls", Verdict::Pass, &words);
    }
    match connectors.judge(host, session) {
        Ok(()) => {
            let words = format!("{facts}; the certificate would be trusted{shown}");
            trail.advise("tls", Verdict::Pass, (&words, Some(VERIFY)));
        }
        Err(error) => {
            let words = format!("{facts}; who the host is is not verified: {error}");
            trail.advise("tls", Verdict::Warn, (&words, Some(UNVERIFIED)));
        }
    }
}
