//! RCPT: who may have mail, and for whom an address stands.

use mail::{Address, EnhancedStatus, Reply, ReversePath};

use crate::connection::Connection;
use crate::instead::Instead;
use crate::stranger::Stranger;
use crate::threads::Writers;

/// Delivery not authorized (RFC 3463 §3.8).
const DENIED: EnhancedStatus = EnhancedStatus::new(5, 7, 1);
const ONLY_BOUNCES: &str = "only reports, from <>, are taken for this address";

impl Connection {
    /// RCPT: only listed clients relay, and only where a connector leads; but everybody may bring back a bounce, and reply
    /// in a thread.
    pub(crate) fn may_have(&mut self, address: &Address) -> Result<(), Reply> {
        let instead = self.stands_for(address)?;
        let writers = if instead.is_none() { self.writers(address)? } else { Writers::Relaying };
        if self.client.connector.is_none() {
            match &instead {
                Some(instead) if instead.is_return() => self.may_return()?,
                _ if writers == Writers::Everybody => {}
                _ => return Err(self.relay_denied()),
            }
        }
        let recipient = instead.as_ref().map_or(address, |it| &it.address);
        self.reception
            .policy
            .load()
            .router
            .may_route(recipient)
            .map_err(|no_route| no_route.reply())?;
        self.may_come_now(recipient)?;
        self.take_recipient()?;
        if let Some(instead) = instead {
            self.transaction.found_mut().instead.push(instead);
        }
        Ok(())
    }

    /// Who may write to an address as one of an application.
    ///
    /// # Errors
    /// What the client is told, whoever it is.
    fn writers(&mut self, address: &Address) -> Result<Writers, Reply> {
        let policy = self.reception.policy.load();
        let writers = Writers::of(address, &self.reception.return_paths, &policy.router);
        writers.inspect_err(|reply| {
            self.transaction.found_mut().reason = Some(reply.text().into());
        })
    }

    /// What a client that may not relay is told.
    fn relay_denied(&self) -> Reply {
        self.as_stranger(|it| it.reply())
    }

    /// What the operator is told of it besides: the connector that the client was nearest to.
    pub(crate) fn why_denied(&self) -> String {
        self.as_stranger(|it| it.reason())
    }

    /// The client, as one that nothing lets in.
    fn as_stranger<T>(&self, ask: impl FnOnce(Stranger<'_>) -> T) -> T {
        let policy = self.reception.policy.load();
        ask(Stranger {
            admission: &policy.admission,
            who: self.client.for_policy(self.reception.today()),
            certificate: self.client.certificate.as_deref(),
            sender: self.session.transaction().map(|it| &it.sender),
            may_log_in: self.reception.logins.is_some(),
        })
    }

    /// Whether a client that may not relay may bring this back to a sender: bounces have none themselves
    /// (RFC 5321 §4.5.5), and whoever learns a return path shall not write to its sender by it.
    fn may_return(&self) -> Result<(), Reply> {
        let transaction = self.session.transaction();
        match transaction.map(|it| &it.sender) {
            Some(ReversePath::Null) => Ok(()),
            _ => Err(Reply::new(550, Some(DENIED), ONLY_BOUNCES)),
        }
    }

    /// Whom an address stands for, if for another one.
    ///
    /// # Errors
    /// What the client is told if it stands for nobody.
    fn stands_for(&mut self, address: &Address) -> Result<Option<Instead>, Reply> {
        let now = self.reception.today();
        match self.reception.return_paths.origin(address, now) {
            Ok(Some(origin)) => return Ok(Some(Instead::returned(address, origin))),
            Ok(None) => {}
            Err(error) => {
                self.transaction.found_mut().reason = Some(error.to_string().into());
                return Err(Reply::new(550, Some(DENIED), error.to_string()));
            }
        }
        let Some(connector) = self.client.connector.as_deref() else { return Ok(None) };
        let policy = self.reception.policy.load();
        let certified = policy.admission.certified(connector, address);
        let certified = certified.map_err(|error| {
            if let Some(reason) = error.reason() {
                self.transaction.found_mut().reason = Some(reason.into());
            }
            error.reply()
        })?;
        Ok(certified.map(|recipient| Instead::certified(address, recipient)))
    }
}
