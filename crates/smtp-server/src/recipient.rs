//! RCPT: who may have mail, and for whom an address stands.

use mail::{Address, Reply};

use crate::connection::Connection;
use crate::instead::Instead;
use crate::rates::Kind;
use crate::reply;

impl Connection {
    /// RCPT: only listed clients relay, and only where a connector leads.
    pub(crate) fn may_have(&mut self, address: &Address) -> Result<(), Reply> {
        if self.client.connector.is_none() {
            return Err(self.relay_denied());
        }
        let instead = self.stands_for(address)?;
        let recipient = instead.as_ref().map_or(address, |it| &it.address);
        self.reception
            .policy
            .load()
            .router
            .may_route(recipient)
            .map_err(|no_route| no_route.reply())?;
        self.may_come_now(recipient)?;
        self.may_have_one(Kind::Recipients)?;
        self.transaction.instead.extend(instead);
        Ok(())
    }

    /// What a client that may not relay is told.
    fn relay_denied(&self) -> Reply {
        if let Some(login) = self.client.login() {
            return reply::login_denied(login);
        }
        let may_log_in = self.reception.logins.is_some().then_some(reply::MayLogIn);
        let client = self.client.address.ip().to_canonical();
        reply::relay_denied(client, self.client.certificate.as_deref(), may_log_in)
    }

    /// What the operator is told of it besides: the connector that the client was nearest to.
    pub(crate) fn why_denied(&self) -> String {
        if self.client.login().is_some() {
            return reply::LOGIN_DENIED_REASON.to_owned();
        }
        let certificate = self.client.certificate.as_deref();
        let names = certificate.map_or(&[][..], |certificate| certificate.trusted_names());
        let client = self.client.address.ip();
        let policy = self.reception.policy.load();
        reply::why_denied(certificate, policy.admission.nearest(client, names))
    }

    /// Whom an address stands for, if for another one.
    ///
    /// # Errors
    /// What the client is told if it stands for nobody.
    fn stands_for(&self, address: &Address) -> Result<Option<Instead>, Reply> {
        let Some(connector) = self.client.connector.as_deref() else { return Ok(None) };
        let policy = self.reception.policy.load();
        let certified = policy.admission.certified(connector, address);
        let certified = certified.map_err(|error| error.reply())?;
        Ok(certified.map(|recipient| Instead::certified(address, recipient)))
    }
}
