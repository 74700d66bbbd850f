//! Opens a connection to one address: TCP, greeting, EHLO, TLS, login.

use std::sync::Arc;
use std::time::Duration;

use mail::{EnhancedStatus, Peer, Reply};
use policy::config::{OutboundConnector, Protocol, TlsLevel};
use sasl::ChannelBindings;
use sasl::client::{ClientError, Facts};
use smtp_session::client::Extensions;
use tls::client::Verification;
use tokio::net::{TcpStream, UnixStream};

use crate::address::Address;
use crate::connection::Connection;
use crate::hello::{Hello, NoReply};
use crate::login::{NoLogin, log_in};
use crate::metrics::{ConnectorMetrics, Open, Stage, TlsResult};
use crate::shared::Shared;
use crate::socket::Socket;
use crate::words::{BAD_CONNECTION, NO_ANSWER, NO_LOGIN, NO_TLS, span};

/// How the connections of one connector are opened.
pub(crate) struct Opener<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) connector: &'a OutboundConnector,
    pub(crate) metrics: &'a Arc<ConnectorMetrics>,
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

impl Opener<'_> {
    /// Opens a connection to `host` at `address`; in clear text on a second one where the connector lets it and TLS
    /// fails on the first (RFC 7435).
    pub(crate) async fn open(&self, host: &str, address: &Address) -> Result<Connection, Refused> {
        let level = match self.connector.tls {
            TlsLevel::Opportunistic if matches!(address, Address::Unix(_)) => TlsLevel::None,
            // Without TLS there would be no login either.
            TlsLevel::Opportunistic if self.connector.login_needs_tls() => TlsLevel::Encrypt,
            level => level,
        };
        let without_tls = &self.shared.without_tls;
        if level == TlsLevel::Opportunistic
            && without_tls.is_resting(address, self.shared.clock.now())
        {
            tracing::info!(host, %address, "TLS failed here a short while ago, clear text at once");
            return self.open_at_level(host, address, TlsLevel::None).await;
        }
        match self.open_at_level(host, address, level).await {
            Err(refused) if refused.may_try_clear => {
                self.metrics.tls_ended(TlsResult::Failed);
                tracing::info!(host, %address, error = refused.words, "TLS failed, clear text follows");
                let result = self.open_at_level(host, address, TlsLevel::None).await;
                if result.is_ok() {
                    let _news = without_tls.failed(address.clone(), self.shared.clock.now());
                }
                result
            }
            result => result,
        }
    }

    async fn open_at_level(
        &self,
        host: &str,
        address: &Address,
        level: TlsLevel,
    ) -> Result<Connection, Refused> {
        let timeouts = &self.connector.timeouts;
        let ehlo_wait = timeouts.ehlo.as_duration();
        let socket = connect(address, timeouts.connect.as_duration()).await?;
        let mut hello = Hello::new(socket, timeouts.greeting.as_duration());
        let greeting = hello.greeting().await;
        let greeting = greeting.map_err(|error| Refused::silent(Stage::Greeting, &error))?;
        if !greeting.is_success() {
            return Err(Refused::said(Stage::Greeting, &greeting));
        }
        let extensions = self.ehlo(&mut hello).await?;
        let begun = self.starttls(&mut hello, &extensions, level).await?;
        let (hello, mut extensions, tls, exporter) = match begun {
            None => (hello, extensions, None, None),
            Some(verification) => {
                let connectors = self.shared.handshakes.of(&self.connector.name);
                let tcp = hello
                    .into_tcp()
                    .ok_or_else(|| Refused::new(Stage::Tls, NO_TLS, "wants TLS inside TLS"))?;
                let handshake = connectors.connect(verification, host, tcp);
                let stream = match tokio::time::timeout(ehlo_wait, handshake).await {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return Err(self.no_tls(level, &error.to_string())),
                    Err(_) => {
                        let words = format!("the TLS handshake took more than {}", span(ehlo_wait));
                        return Err(self.no_tls(level, &words));
                    }
                };
                self.metrics.tls_ended(TlsResult::Encrypted);
                let facts = tls::facts(stream.get_ref().1);
                let exporter = self.connector.login.as_ref().map(|_| stream.get_ref().1);
                let exporter = exporter.and_then(|session| tls::exporter(session));
                let mut hello = Hello::new(Socket::Tls(Box::new(stream)), ehlo_wait);
                // What was said before the handshake counts no more (RFC 3207 §4.2).
                let extensions = self.ehlo(&mut hello).await?;
                (hello, extensions, Some(facts), exporter)
            }
        };
        let peer = Arc::new(Peer {
            host: host.into(),
            address: address.as_tcp(),
            tls,
            offers_dsn: extensions.dsn,
            is_final: self.connector.protocol == Protocol::Lmtp,
            offers_deliver_by: extensions.deliver_by.is_some(),
        });
        let mut hello = hello;
        self.login(&mut hello, &peer, exporter).await?;
        extensions.auth &= self.connector.login.is_some();
        extensions.chunking &= self.connector.chunking;
        // Only a host that is who it should be can promise it (RFC 8689 §4.2.1).
        extensions.require_tls &= begun == Some(Verification::AuthorityAndName);
        let now = self.shared.clock.now();
        let open = Open::new(self.metrics);
        Ok(Connection::new(hello.into_socket(), extensions, (peer, address.clone()), open, now))
    }

    async fn ehlo(&self, hello: &mut Hello) -> Result<Extensions, Refused> {
        let wait = self.connector.timeouts.ehlo.as_duration();
        match hello.ehlo(self.connector.protocol, &self.shared.hostname, wait).await {
            Ok(Ok(extensions)) => Ok(extensions),
            Ok(Err(reply)) if self.connector.protocol == Protocol::Lmtp && reply.is_permanent() => {
                let words = format!("answered LHLO with {reply}; speaks SMTP, not LMTP?");
                Err(Refused::new(Stage::Ehlo, NO_ANSWER, words))
            }
            Ok(Err(reply)) => Err(Refused::said(Stage::Ehlo, &reply)),
            Err(error) => Err(Refused::silent(Stage::Ehlo, &error)),
        }
    }

    /// Says STARTTLS if the level asks for it; gives how far the host is to be verified, none for clear text.
    async fn starttls(
        &self,
        hello: &mut Hello,
        extensions: &Extensions,
        level: TlsLevel,
    ) -> Result<Option<Verification>, Refused> {
        let verification = match level {
            TlsLevel::None => {
                self.metrics.tls_ended(TlsResult::Clear);
                return Ok(None);
            }
            TlsLevel::Opportunistic | TlsLevel::Encrypt => Verification::None,
            TlsLevel::Verify => Verification::AuthorityAndName,
        };
        let is_forgiving = level == TlsLevel::Opportunistic;
        if !extensions.starttls {
            if is_forgiving {
                self.metrics.tls_ended(TlsResult::Clear);
                return Ok(None);
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
            Ok(reply) if reply.code() == 220 => Ok(Some(verification)),
            // The session is as it was before: clear text goes on right here.
            Ok(_) if is_forgiving => {
                self.metrics.tls_ended(TlsResult::Clear);
                Ok(None)
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
        let Some(login) = self.shared.logins.of(&self.connector.name) else {
            return refused(NO_LOGIN, format!("{who} at {peer} is not set up"));
        };
        let facts = Facts {
            is_tls: peer.tls.is_some(),
            bindings: ChannelBindings { exporter, end_point: None },
            has_certificate: self.connector.client_certificate.is_some(),
        };
        let wait = self.connector.timeouts.ehlo.as_duration();
        let Err(error) = log_in(hello, &login, facts, wait).await else { return Ok(()) };
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

    fn no_tls(&self, level: TlsLevel, words: &str) -> Refused {
        let may_try_clear = level == TlsLevel::Opportunistic;
        if !may_try_clear {
            self.metrics.tls_ended(TlsResult::Failed);
        }
        Refused { stage: Stage::Tls, status: NO_TLS, words: format!("TLS: {words}"), may_try_clear }
    }
}

async fn connect(address: &Address, wait: Duration) -> Result<Socket, Refused> {
    let refused = |words: String| Refused::new(Stage::Connect, NO_ANSWER, words);
    let connecting = async {
        match address {
            Address::Tcp(address) => {
                let tcp = TcpStream::connect(address).await?;
                // Small writes are put together before they go out; waiting for more only adds time.
                tcp.set_nodelay(true)?;
                Ok(Socket::Clear(tcp))
            }
            Address::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
    };
    tokio::time::timeout(wait, connecting)
        .await
        .map_err(|_| refused(format!("did not answer within {}", span(wait))))?
        .map_err(|error| refused(format!("cannot be connected to: {}", plain(&error))))
}

/// The system's words without its error number.
fn plain(error: &std::io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or(&words).to_lowercase()
}
