//! Logins: drives the exchanges of `sasl` for the session, and says what a login allows.

use mail::{Reply, ReversePath, Submitter};
use sasl::Identity;
use sasl::server::{Ending, Facts, Refusal, Step};
use smtp_session::server::{LoginVerdict, Said};

use crate::connection::Connection;
use crate::metrics::Limit;
use crate::reply;

impl Connection {
    /// Tells the session which logins are taken, at its start and behind a handshake. Whoever was logged in before is
    /// forgotten (RFC 3207 §4.2).
    pub(crate) fn offer_logins(&mut self) {
        if let Some(logins) = &self.reception.logins {
            let mechanisms = logins.mechanisms(&self.login_facts());
            self.session.offer_logins(mechanisms);
        }
        self.exchange = None;
        if self.client.identity.take().is_some() {
            // To leave is always allowed.
            self.slot.change_login(None).unwrap_or_default();
            self.admit();
        }
    }

    /// Goes on with a login and tells the session.
    pub(crate) async fn log_in(&mut self, said: Said) {
        let verdict = match self.login_step(said).await {
            Some(Step::Challenge(reply)) => LoginVerdict::Challenge(reply),
            Some(Step::Done { identity, reply }) => match self.logged_in(identity) {
                Ok(()) => LoginVerdict::Accept(reply),
                Err(full) => LoginVerdict::Refuse(full),
            },
            Some(Step::Refused(refusal)) => LoginVerdict::Refuse(self.login_refused(&refusal)),
            Some(Step::Verify(_)) | None => LoginVerdict::Refuse(reply::no_login()),
        };
        if !matches!(verdict, LoginVerdict::Challenge(_)) {
            self.exchange = None;
        }
        let now = self.reception.clock.now();
        self.session.login(verdict, now);
    }

    /// The login under way was broken off.
    pub(crate) fn forget_login(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            // Counted, as if the client had said so.
            drop(exchange.answer(b"*"));
        }
    }

    /// The next thing to say, once what takes time is done.
    async fn login_step(&mut self, said: Said) -> Option<Step> {
        let facts = self.login_facts();
        let logins = self.reception.logins.as_ref()?;
        let mut step = match said {
            Said::Auth(argument) => {
                let (exchange, step) = logins.begin(&argument, facts);
                self.exchange = Some(Box::new(exchange));
                step
            }
            Said::Response(line) => self.exchange.as_mut()?.answer(&line),
        };
        while let Step::Verify(work) = step {
            let verified = work.run().await;
            step = self.exchange.as_mut()?.verified(verified);
        }
        Some(step)
    }

    fn login_facts(&self) -> Facts {
        let certificate = self.client.certificate.as_ref();
        let names = certificate.map_or(&[][..], |certificate| certificate.trusted_names());
        Facts {
            client: self.client.address.ip().to_canonical(),
            is_tls: self.client.tls.is_some(),
            bindings: self.stream.bindings(self.reception.acceptor.as_ref()),
            certificate_names: names.iter().map(ToString::to_string).collect(),
        }
    }

    /// The client is who it says, if its account has not its share of connections already.
    fn logged_in(&mut self, identity: Box<Identity>) -> Result<(), Reply> {
        if self.slot.change_login(Some(&identity.account)).is_err() {
            self.reception.shed(Limit::LoginConnections);
            return Err(reply::login_connections_full(&identity.account));
        }
        tracing::info!(
            session = %self.client.session,
            listener = %self.reception.config.name,
            client = %self.client.address,
            login = %identity.account,
            acts_for = (identity.authorization != identity.account)
                .then(|| tracing::field::display(&identity.authorization)),
            mechanism = %identity.mechanism,
            tls = self.client.tls.as_deref(),
            "client logged in"
        );
        self.client.identity = Some(identity);
        self.admit();
        Ok(())
    }

    /// A proxy says as whom its client has logged in: that counts as if it had done so here. An account that is not known
    /// here, or is disabled, counts as none.
    pub(crate) fn vouched_for(&mut self, name: &str) -> Result<(), Reply> {
        let logins = self.reception.logins.as_ref();
        if let Some(identity) = logins.and_then(|logins| logins.vouched(name)) {
            self.logged_in(identity)?;
            self.session.logged_in();
        }
        Ok(())
    }

    /// Looks again who the client is to us.
    fn admit(&mut self) {
        self.client.connector = self.reception.connector(&self.client);
        self.session.retell(self.reception.settings_for(&self.client));
    }

    fn login_refused(&self, refusal: &Refusal) -> Reply {
        let client = self.client.address.ip().to_canonical();
        let is_client_banned = || {
            let logins = self.reception.logins.as_ref();
            logins.is_some_and(|logins| logins.is_banned(client))
        };
        let reply = match refusal.ending {
            // Whatever it says next will be refused.
            Ending::Banned if is_client_banned() => reply::banned(client),
            _ => refusal.reply.clone(),
        };
        tracing::info!(
            session = %self.client.session,
            listener = %self.reception.config.name,
            client = %self.client.address,
            reason = %refusal.reason,
            tls = self.client.tls.as_deref(),
            status = reply.code(),
            reply = %reply,
            "login refused"
        );
        reply
    }

    /// MAIL: whether the client must log in first, and whether its account may send as `sender`.
    pub(crate) fn may_send_as(&self, sender: &ReversePath) -> Result<(), Reply> {
        match (&self.client.identity, &self.reception.logins) {
            (None, Some(logins)) if logins.is_required() => Err(reply::login_required()),
            (Some(identity), _) if !identity.senders.allow(sender) => {
                Err(reply::sender_not_allowed(&identity.account, sender))
            }
            _ => Ok(()),
        }
    }

    /// Who submitted the message first: what the client says counts only if its account may send as that; else nobody
    /// is known (RFC 4954 §5).
    pub(crate) fn submitter(&self, said: Option<Submitter>) -> Option<Submitter> {
        let Some(Submitter::Address(address)) = said else { return said };
        let path = ReversePath::Address(address);
        let identity = self.client.identity.as_ref();
        let is_trusted = identity.is_some_and(|identity| identity.senders.allow(&path));
        match path {
            ReversePath::Address(address) if is_trusted => Some(Submitter::Address(address)),
            _ => Some(Submitter::Unknown),
        }
    }
}
