//! The look at strangers before they are greeted: do they wait for it, and do lists want nothing of them?

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use mail::Reply;
use smtp_session::server::{Reason, Session};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::ListenerTls;
use crate::connection::Connection;
use crate::end::End;
use crate::metrics::Limit;
use crate::reply;

impl Connection {
    /// Whether the client is a stranger and strangers are looked at.
    pub(crate) fn is_screened(&self) -> bool {
        let defence = &self.reception.config.defence;
        let is_asked = !defence.dnsbl.is_empty() || !defence.greeting_wait.as_duration().is_zero();
        is_asked && self.client.connector.is_none()
    }

    /// Looks at the client before the greeting; one that is not wanted gets a refusal for a greeting.
    pub(crate) async fn screen(&mut self, stop: &mut oneshot::Receiver<()>) -> Result<(), End> {
        let is_clear = self.reception.config.tls != ListenerTls::Implicit;
        let looks = async {
            if is_clear && self.speaks_early().await {
                return Some((Limit::EarlyTalker, reply::early_talker()));
            }
            self.listing().await.map(|reply| (Limit::Dnsbl, reply))
        };
        let refusal = tokio::select! {
            biased;
            refusal = looks => refusal,
            // In clear, the session says why.
            _ = stop => return if is_clear { Ok(()) } else { Err(End::Closed(Reason::ShutDown)) },
        };
        let Some((limit, reply)) = refusal else { return Ok(()) };
        self.reception.shed(limit);
        self.misbehaved();
        self.log_not_greeted(&reply);
        if !is_clear {
            return Err(End::TurnedAway(Box::new(reply)));
        }
        self.greet_with(&reply);
        Ok(())
    }

    /// Tells the operator that the greeting is a refusal.
    pub(crate) fn log_not_greeted(&self, reply: &Reply) {
        tracing::info!(
            session = %self.client.session,
            listener = %self.reception.config.name,
            client = %self.client.address,
            %reply,
            "client not greeted"
        );
    }

    /// The session begins with this refusal.
    pub(crate) fn greet_with(&mut self, refusal: &Reply) {
        let settings = self.reception.settings_for(&self.client);
        self.session = Session::refused(settings, refusal, self.reception.clock.now());
    }

    /// A client that does not wait for the greeting does not speak SMTP but sends it.
    async fn speaks_early(&mut self) -> bool {
        let wait = self.reception.config.defence.greeting_wait.as_duration();
        if wait.is_zero() {
            return false;
        }
        timeout(wait, self.stream.speaks()).await.unwrap_or_default()
    }

    /// Asks all lists at once; the refusal, if one holds the client.
    async fn listing(&self) -> Option<Reply> {
        let defence = &self.reception.config.defence;
        let client = self.client.address.ip().to_canonical();
        let mut questions = JoinSet::new();
        for (place, list) in defence.dnsbl.iter().enumerate() {
            let (resolver, name) = (self.reception.resolver.clone(), question(client, &list.zone));
            questions.spawn(async move { (place, resolver.listing(&name).await) });
        }
        let deadline = sleep(defence.dnsbl_wait_max.as_duration());
        tokio::pin!(deadline);
        while !questions.is_empty() {
            let answered = tokio::select! {
                Some(Ok(answered)) = questions.join_next() => answered,
                () = &mut deadline => break,
            };
            let (place, Ok(answers)) = answered else {
                self.reception.metrics.not_looked_up();
                continue;
            };
            let Some(list) = defence.dnsbl.get(place) else { continue };
            let counts = |answer: &&Ipv4Addr| {
                list.answers.iter().any(|network| network.contains(&IpAddr::V4(**answer)))
            };
            if let Some(answer) = answers.iter().find(counts) {
                return Some(reply::listed(client, &list.zone, *answer));
            }
        }
        // Those that have not answered.
        (0..questions.len()).for_each(|_| self.reception.metrics.not_looked_up());
        None
    }
}

/// The name under which `zone` lists `client` (RFC 5782 §2.1 and §2.4).
fn question(client: IpAddr, zone: &str) -> String {
    let mut name = String::new();
    match client {
        IpAddr::V4(address) => {
            for octet in address.octets().iter().rev() {
                write!(name, "{octet}.").unwrap_or_default();
            }
        }
        IpAddr::V6(address) => {
            for octet in address.octets().iter().rev() {
                write!(name, "{:x}.{:x}.", octet & 15, octet >> 4).unwrap_or_default();
            }
        }
    }
    name + zone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_for_backwards() {
        let asked = |client: &str| question(client.parse().unwrap(), "list.example");
        assert_eq!(asked("192.0.2.1"), "1.2.0.192.list.example");
        assert_eq!(
            asked("2001:db8::1"),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.list.example"
        );
    }
}
