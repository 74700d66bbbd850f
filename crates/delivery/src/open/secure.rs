//! TLS on the way to a host: asked for, begun, judged.

use smtp_session::client::Extensions;
use tls::Description;
use tls::client::{ClientConnection, Connectors, Verification};
use tls::dane::Dane;
use tokio::net::TcpStream;

use super::{Opener, Refused};
use crate::dane::Demand;
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
    /// Whether the host is known to be who it should be.
    pub(super) is_authenticated: bool,
    pub(super) facts: Box<str>,
    pub(super) exporter: Option<Box<[u8]>>,
}

impl Opener<'_> {
    /// Does the handshake with `host`.
    pub(super) async fn handshake(
        &self,
        host: &str,
        tcp: TcpStream,
        demand: &Demand,
    ) -> Result<(Socket, Secured), Refused> {
        let wait = self.connector.timeouts.ehlo.as_duration();
        let connectors = self.means.handshakes.of(&self.connector.name);
        let handshake = async {
            match demand {
                Demand::Dane(dane) => connectors.connect_dane(dane, tcp).await,
                Demand::Verify => {
                    connectors.connect(Verification::AuthorityAndName, host, tcp).await
                }
                Demand::None | Demand::Opportunistic | Demand::Encrypt => {
                    connectors.connect(Verification::None, host, tcp).await
                }
            }
        };
        let stream = match tokio::time::timeout(wait, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.no_tls(demand, &error.to_string())),
            Err(_) => {
                let words = format!("the TLS handshake took more than {}", span(wait));
                return Err(self.no_tls(demand, &words));
            }
        };
        let session = stream.get_ref().1;
        let mut facts = tls::facts(session);
        if let Some(trail) = self.trail {
            judge(trail, session, (&facts, &connectors), (host, demand));
        }
        if matches!(demand, Demand::Dane(_)) {
            self.metrics.tls_ended(TlsResult::Dane);
            // So that the log of the outcome says it.
            facts = format!("{facts} (dane)").into();
        } else {
            self.metrics.tls_ended(TlsResult::Encrypted);
        }
        let is_authenticated = matches!(demand, Demand::Dane(_) | Demand::Verify);
        let exporter = self.connector.login.as_ref().and_then(|_| tls::exporter(session));
        Ok((Socket::Tls(Box::new(stream)), Secured { is_authenticated, facts, exporter }))
    }

    /// Says STARTTLS if it is to be asked for; gives whether a handshake follows.
    pub(super) async fn starttls(
        &self,
        hello: &mut Hello,
        extensions: &Extensions,
        demand: &Demand,
    ) -> Result<bool, Refused> {
        if *demand == Demand::None {
            self.metrics.tls_ended(TlsResult::Clear);
            if let Some(trail) = self.trail {
                trail.note("tls", Verdict::Skipped, "mail goes in clear text");
            }
            return Ok(false);
        }
        let is_forgiving = *demand == Demand::Opportunistic;
        if !extensions.starttls {
            if is_forgiving {
                self.stays_clear("the host does not offer STARTTLS: mail goes in clear text");
                return Ok(false);
            }
            self.metrics.tls_ended(TlsResult::NotOffered);
            let words = format!("does not offer STARTTLS, {}", self.why_not_clear(demand));
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
            Ok(reply) => Err(self.no_tls(demand, &format!("answered STARTTLS with {reply}"))),
            // Octets behind the 220 were not sent by an honest server: neither TLS nor clear text now.
            Err(NoReply::TooMuch) => {
                self.metrics.tls_ended(TlsResult::Failed);
                let words = "sent clear text behind its reply to STARTTLS";
                Err(Refused::new(Stage::Tls, NO_TLS, words))
            }
            Err(error) => Err(self.no_tls(demand, &error.to_string())),
        }
    }

    /// The connection goes on as it is.
    fn stays_clear(&self, words: &str) {
        self.metrics.tls_ended(TlsResult::Clear);
        if let Some(trail) = self.trail {
            trail.advise("tls", Verdict::Warn, (words, Some(CLEAR_TEXT)));
        }
    }

    /// Why clear text will not do.
    fn why_not_clear(&self, demand: &Demand) -> &'static str {
        if Demand::of(self.connector.tls) == *demand {
            "but the connector asks for TLS"
        } else if self.connector.login_needs_tls() && *demand == Demand::Encrypt {
            "and the login is not sent without TLS"
        } else {
            "but it has TLSA records, so it must"
        }
    }

    fn no_tls(&self, demand: &Demand, words: &str) -> Refused {
        let may_try_clear = *demand == Demand::Opportunistic;
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
    (host, demand): (&str, &Demand),
) {
    let shown = Description::of_peer(session).map(|it| format!("; {it}")).unwrap_or_default();
    let matched = |dane: &Dane| dane.matching(session).map(ToString::to_string).unwrap_or_default();
    let trusted = match demand {
        Demand::Verify => Some("is trusted".to_owned()),
        Demand::Dane(dane) => Some(format!("matches TLSA record {}", matched(dane))),
        Demand::None | Demand::Opportunistic | Demand::Encrypt => None,
    };
    if let Some(trusted) = trusted {
        let words = format!("{facts}; the certificate {trusted}{shown}");
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
