//! What is held against a client: rates, bans, waits.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use mail::{Address, Reply};
use smtp_session::server::Reason;
use tokio::time::sleep;

use crate::client::trusted;
use crate::connection::Connection;
use crate::end::End;
use crate::greylist::Word;
use crate::metrics::Limit;
use crate::rates::Kind;
use crate::reception::Reception;
use crate::reply;

/// Something to wait for.
type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Reception {
    /// Whether a client is not banned, and within its rate of connections.
    pub(crate) fn may_connect(&self, client: IpAddr) -> Result<(), (Limit, Reply)> {
        if self.turns_away(client) {
            return Err((Limit::LoginBan, reply::banned(client.to_canonical())));
        }
        let Some(meters) = &self.meters else { return Ok(()) };
        let now = self.clock.now();
        if let Some(ban) = meters.ban(client, now)
            && self.policy.load().admission.admit(client, self.today()).is_none()
        {
            return Err(ban);
        }
        meters.take(Kind::Connections, client.into(), now)
    }
}

impl Connection {
    /// Counts one of `kind` by the client, if that is within the rates.
    pub(crate) fn may_have_one(&self, kind: Kind) -> Result<(), Reply> {
        let Some(meters) = &self.reception.meters else { return Ok(()) };
        let taken = meters.take(kind, self.client.who(), self.reception.clock.now());
        taken.map_err(|(limit, reply)| {
            self.reception.shed(limit);
            reply
        })
    }

    /// RCPT: whether a stranger has waited long enough.
    pub(crate) fn may_come_now(&self, recipient: &Address) -> Result<(), Reply> {
        let (Some(greylist), Some(config)) =
            (&self.reception.greylist, &self.reception.config.greylist)
        else {
            return Ok(());
        };
        let client = self.client.address.ip();
        let Some(transaction) = self.session.transaction() else { return Ok(()) };
        if self.client.identity.is_some() || self.is_let_in_by_name() || config.spares(client) {
            return Ok(());
        }
        let now = self.reception.clock.unix_millis() / 1000;
        match greylist.look(client, (&transaction.sender, recipient), now) {
            Word::Known => Ok(()),
            Word::Passed => {
                self.reception.metrics.greylist_passed();
                Ok(())
            }
            Word::Wait(seconds) => {
                self.reception.metrics.greylisted();
                Err(reply::greylisted(seconds))
            }
        }
    }

    /// Whether the client's certificate lets it relay.
    fn is_let_in_by_name(&self) -> bool {
        let certificate = self.client.certificate.as_ref();
        let admission = &self.reception.policy.load().admission;
        certificate.is_some_and(|it| admission.admit_holder(trusted(it)).is_some())
    }

    /// Counts accepted content.
    pub(crate) fn took(&self, octets: u64, now: Instant) {
        if let Some(meters) = &self.reception.meters {
            meters.took_octets(self.client.who(), octets, now);
        }
        if let Some(held) = &self.held {
            held.took_octets(octets);
        }
    }

    /// Counts how the session ended, if that is held against the client.
    pub(crate) fn judge(&self, end: &End) {
        match end {
            End::Closed(Reason::BadCommands | Reason::ForeignProtocol)
            | End::HandshakeFailed(_)
            | End::HandshakeTimedOut => self.misbehaved(),
            _ => {}
        }
    }

    /// Counts a refusal; too many ban the client, unless it is one that may relay.
    pub(crate) fn misbehaved(&self) {
        let Some(meters) = &self.reception.meters else { return };
        if self.client.connector.is_some()
            || !meters.refused(self.client.address.ip(), self.reception.clock.now())
        {
            return;
        }
        self.reception.metrics.banned();
        tracing::warn!(
            session = %self.client.session,
            listener = %self.reception.config.name,
            client = %self.client.address,
            seconds = self.reception.config.defence.ban_time.as_duration().as_secs(),
            "client banned"
        );
    }

    /// What to wait for before `replies` are sent; none if they refuse nothing, or too many wait already.
    pub(crate) fn pause_before(&self, replies: &[u8]) -> Option<Pause> {
        let tarpits = self.reception.tarpits.as_ref()?;
        if self.client.connector.is_some() || !refuses(replies) {
            return None;
        }
        let permit = Arc::clone(tarpits).try_acquire_owned().ok()?;
        self.reception.metrics.tarpitted();
        let wait = self.reception.config.defence.tarpit.as_duration();
        Some(Box::pin(async move {
            sleep(wait).await;
            drop(permit);
        }))
    }
}

/// Whether a burst of replies holds one that refuses.
fn refuses(replies: &[u8]) -> bool {
    replies.split(|octet| *octet == b'\n').any(|line| matches!(line, [b'4' | b'5', ..]))
}
