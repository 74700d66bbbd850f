//! Opens a connection to one address: TCP, greeting, EHLO, TLS, login.

mod secure;

use std::sync::Arc;

use mail::{EnhancedStatus, Peer, Reply};
use policy::config::{OutboundConnector, Protocol};
use sasl::ChannelBindings;
use sasl::client::{ClientError, Facts};
use smtp_session::client::Extensions;

use crate::address::{Address, Candidate};
use crate::connect::connect;
use crate::connection::Connection;
use crate::dane::Demand;
use crate::hello::{Hello, NoReply};
use crate::login::{NoLogin, log_in};
use crate::means::Means;
use crate::metrics::{ConnectorMetrics, Open, Stage, TlsResult};
use crate::socket::Socket;
use crate::trail::{CLEAR_TEXT, Trail, Verdict};
use crate::words::{BAD_CONNECTION, NO_ANSWER, NO_LOGIN, NO_TLS};

/// How the connections of one connector are opened.
pub(crate) struct Opener<'a> {
    pub(crate) means: &'a Means,
    pub(crate) connector: &'a OutboundConnector,
    pub(crate) metrics: &'a Arc<ConnectorMetrics>,
    /// For an operator who tries the connector.
    pub(crate) trail: Option<&'a Trail>,
}

/// Why one address could not be used.
pub(crate) struct Refused {
    pub(crate) stage: Stage,
    pub(crate) status: EnhancedStatus,
    pub(crate) words: String,
    /// Clear text on a fresh connection may do (RFC 7435).
    may_try_clear: bool,
}

impl Refused {
    fn new(stage: Stage, status: EnhancedStatus, words: impl Into<String>) -> Self {
        Self { stage, status, words: words.into(), may_try_clear: false }
    }

    fn silent(stage: Stage, error: &NoReply) -> Self {
        Self::new(stage, BAD_CONNECTION, error.to_string())
    }

    /// A no in the peer's words; for us it is temporary, whatever its class.
    fn said(stage: Stage, reply: &Reply) -> Self {
        let status = reply.status().filter(|status| status.is_transient()).unwrap_or(NO_ANSWER);
        Self::new(stage, status, format!("refused the connection: {reply}"))
    }
}

/// A host that is ready for MAIL.
pub(crate) struct Opened {
    pub(crate) hello: Hello,
    pub(crate) extensions: Extensions,
    pub(crate) peer: Arc<Peer>,
    address: Address,
}

impl Opener<'_> {
    /// Opens a connection to a host.
    pub(crate) async fn open(&self, candidate: &Candidate) -> Result<Connection, Refused> {
        self.reach(candidate).await.map(|opened| self.ready(opened))
    }

    /// The connection for transactions.
    pub(crate) fn ready(&self, opened: Opened) -> Connection {
        let Opened { hello, extensions, peer, address } = opened;
        let (open, now) = (Open::new(self.metrics), self.means.clock.now());
        Connection::new(hello.into_socket(), extensions, (peer, address), open, now)
    }

    /// Comes as far as MAIL; in clear text on a second connection where the connector lets it and TLS fails on the first
    /// (RFC 7435).
    pub(crate) async fn reach(&self, candidate: &Candidate) -> Result<Opened, Refused> {
        let Candidate { host, address, demand } = candidate;
        let demand = match demand {
            Demand::Opportunistic if matches!(address, Address::Unix(_)) => &Demand::None,
            // Without TLS there would be no login either, and no greeting where it comes first.
            Demand::Opportunistic
                if self.connector.login_needs_tls() || self.connector.implicit_tls =>
            {
                &Demand::Encrypt
            }
            demand => demand,
        };
        let without_tls = &self.means.without_tls;
        if *demand == Demand::Opportunistic
            && without_tls.is_resting(address, self.means.clock.now())
        {
            tracing::info!(host, %address, "TLS failed here a short while ago, clear text at once");
            return self.reach_with(host, address, &Demand::None).await;
        }
        match self.reach_with(host, address, demand).await {
            Err(refused) if refused.may_try_clear => {
                self.metrics.tls_ended(TlsResult::Failed);
                tracing::info!(host, %address, error = refused.words, "TLS failed, clear text follows");
                if let Some(trail) = self.trail {
                    trail.advise("tls", Verdict::Warn, (&refused.words, Some(CLEAR_TEXT)));
                }
                let result = self.reach_with(host, address, &Demand::None).await;
                if result.is_ok() {
                    let _news = without_tls.failed(address.clone(), self.means.clock.now());
                }
                result
            }
            result => result,
        }
    }

    async fn reach_with(
        &self,
        host: &str,
        address: &Address,
        demand: &Demand,
    ) -> Result<Opened, Refused> {
        let connector = self.connector;
        let from = (&*connector.source_addresses, || self.metrics.turn());
        let connecting = connect(address, from, connector.timeouts.connect.as_duration());
        let mut socket =
            connecting.await.map_err(|words| Refused::new(Stage::Connect, NO_ANSWER, words))?;
        self.note("tcp", || socket.local());
        let mut secured = None;
        if connector.implicit_tls {
            let Socket::Clear(tcp) = socket else {
                let words = "is a Unix socket, and TLS is not spoken over one";
                return Err(Refused::new(Stage::Tls, NO_TLS, words));
            };
            let (stream, facts) = self.handshake(host, tcp, demand).await?;
            (socket, secured) = (stream, Some(facts));
        }
        let mut hello = self.greeted(socket).await?;
        let mut extensions = self.ehlo(&mut hello).await?;
        if secured.is_none() && self.starttls(&mut hello, &extensions, demand).await? {
            let tcp = hello
                .into_tcp()
                .ok_or_else(|| Refused::new(Stage::Tls, NO_TLS, "wants TLS inside TLS"))?;
            let (stream, facts) = self.handshake(host, tcp, demand).await?;
            hello = Hello::new(stream, connector.timeouts.ehlo.as_duration());
            // What was said before the handshake counts no more (RFC 3207 §4.2).
            extensions = self.ehlo(&mut hello).await?;
            secured = Some(facts);
        }
        self.note("ehlo", || hello.said().to_owned());
        // Only a host that is who it should be can promise it (RFC 8689 §4.2.1).
        extensions.require_tls &= secured.as_ref().is_some_and(|secured| secured.is_authenticated);
        let (tls, exporter) = secured.map_or((None, None), |it| (Some(it.facts), it.exporter));
        let peer = Arc::new(Peer {
            host: host.into(),
            address: address.as_tcp(),
            tls,
            offers_dsn: extensions.dsn,
            is_final: connector.protocol == Protocol::Lmtp,
            offers_deliver_by: extensions.deliver_by.is_some(),
        });
        self.login(&mut hello, &peer, exporter).await?;
        extensions.auth &= connector.login.is_some();
        extensions.chunking &= connector.chunking;
        Ok(Opened { hello, extensions, peer, address: address.clone() })
    }

    async fn greeted(&self, socket: Socket) -> Result<Hello, Refused> {
        let mut hello = Hello::new(socket, self.connector.timeouts.greeting.as_duration());
        let greeting = hello.greeting().await;
        let greeting = greeting.map_err(|error| Refused::silent(Stage::Greeting, &error))?;
        if !greeting.is_success() {
            return Err(Refused::said(Stage::Greeting, &greeting));
        }
        self.note("greeting", || greeting.to_string());
        Ok(hello)
    }

    /// Tells an operator who tries the connector.
    fn note(&self, step: &'static str, words: impl FnOnce() -> String) {
        if let Some(trail) = self.trail {
            trail.note(step, Verdict::Pass, &words());
        }
    }

    async fn ehlo(&self, hello: &mut Hello) -> Result<Extensions, Refused> {
        let wait = self.connector.timeouts.ehlo.as_duration();
        match hello.ehlo(self.connector.protocol, &self.means.hostname, wait).await {
            Ok(Ok(extensions)) => Ok(extensions),
            Ok(Err(reply)) if self.connector.protocol == Protocol::Lmtp && reply.is_permanent() => {
                let words = format!("answered LHLO with {reply}; speaks SMTP, not LMTP?");
                Err(Refused::new(Stage::Ehlo, NO_ANSWER, words))
            }
            Ok(Err(reply)) => Err(Refused::said(Stage::Ehlo, &reply)),
            Err(error) => Err(Refused::silent(Stage::Ehlo, &error)),
        }
    }

    /// Logs in where the connector says so; the words of a refusal name the host.
    async fn login(
        &self,
        hello: &mut Hello,
        peer: &Peer,
        exporter: Option<Box<[u8]>>,
    ) -> Result<(), Refused> {
        let Some(settings) = &self.connector.login else { return Ok(()) };
        let who = match settings.user.as_str() {
            "" => "login by certificate".to_owned(),
            user => format!("login as {user}"),
        };
        let refused = |status, words| Err(Refused::new(Stage::Login, status, words));
        if peer.tls.is_none() && !settings.login_without_tls {
            return refused(NO_TLS, format!("{who} is not sent to {peer} without TLS"));
        }
        let Some(login) = self.means.logins.of(&self.connector.name) else {
            return refused(NO_LOGIN, format!("{who} at {peer} is not set up"));
        };
        let facts = Facts {
            is_tls: peer.tls.is_some(),
            bindings: ChannelBindings { exporter, end_point: None },
            has_certificate: self.connector.client_certificate.is_some(),
        };
        let wait = self.connector.timeouts.ehlo.as_duration();
        let error = match log_in(hello, &login, facts, wait).await {
            Ok(mechanism) => {
                self.note("auth", || format!("{who} by {mechanism}"));
                return Ok(());
            }
            Err(error) => error,
        };
        match error {
            // A wrong password is ours to mend, so the mail waits, whatever the class of the reply.
            NoLogin::Not(ClientError::Refused { mechanism, reply, words }) => {
                let status = reply.status().filter(|status| status.is_transient());
                let details = words.map(|words| format!(" ({words})")).unwrap_or_default();
                let words = format!("{who} by {mechanism} refused by {peer}: {reply}{details}");
                refused(status.unwrap_or(NO_LOGIN), words)
            }
            NoLogin::Not(error) => {
                refused(NO_LOGIN, format!("{who} at {peer} is not possible: {error}"))
            }
            NoLogin::Silent(error) => {
                refused(BAD_CONNECTION, format!("{who} broke off: {peer} {error}"))
            }
        }
    }
}
