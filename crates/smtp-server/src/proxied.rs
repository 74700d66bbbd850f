//! Clients behind proxies: the header of the PROXY protocol, and XCLIENT.

use std::net::SocketAddr;

use mail::Reply;
use smtp_session::server::{Proxied, ProxyHeader, Reason, Session, Xclient};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::client::{Plain, Told};
use crate::config::ListenerTls;
use crate::connection::Connection;
use crate::end::End;
use crate::stream::Stream;

impl Connection {
    /// Reads the proxy's header; from then on the connection is that of the client that it names.
    pub(crate) async fn unwrap_proxied(
        &mut self,
        stop: &mut oneshot::Receiver<()>,
    ) -> Result<Told, End> {
        let wait_max = self.reception.config.handshake_wait_max.as_duration();
        let header = tokio::select! {
            biased;
            header = timeout(wait_max, header(&mut self.stream)) => header,
            _ = stop => return Err(End::Closed(Reason::ShutDown)),
        };
        let late = |_| Err(End::NotProxied("none came in time".into()));
        match header.unwrap_or_else(late) {
            Ok(Proxied::Own) => Ok(Told::Welcome),
            Ok(Proxied::Client(client)) => self.begin_for(client),
            Err(end) => {
                self.reception.metrics.not_proxied();
                let others = self.reception.gate.lock().open(self.reception.clock.now());
                if let Some(others) = others {
                    tracing::warn!(
                        session = %self.client.session,
                        listener = %self.reception.config.name,
                        proxy = %self.client.address,
                        error = %end,
                        others,
                        "connection of a proxy closed"
                    );
                }
                Err(end)
            }
        }
    }

    /// The session is that of `client`, and within its limits or refused.
    fn begin_for(&mut self, client: SocketAddr) -> Result<Told, End> {
        self.client.address = client;
        self.client.connector = self.reception.connector(&self.client);
        let now = self.reception.clock.now();
        self.session = self.reception.session(&self.client, now);
        let Err(reply) = self.count_as(client) else { return Ok(Told::Welcome) };
        if self.reception.config.tls == ListenerTls::Implicit {
            return Err(End::TurnedAway(Box::new(reply)));
        }
        self.session = Session::refused(self.reception.settings_for(&self.client), &reply, now);
        Ok(Told::Refused)
    }

    /// Counts the connection as one of `client`, if that is within the limits.
    fn count_as(&mut self, client: SocketAddr) -> Result<(), Reply> {
        let client = client.ip();
        let changed = self.slot.change_client(client).map_err(|no_slot| no_slot.because(client));
        changed.and_then(|()| self.reception.may_connect(client)).map_err(|(limit, reply)| {
            self.reception.shed(limit);
            reply
        })
    }

    /// XCLIENT: from now on the session is that of the client that the proxy tells of.
    pub(crate) fn stand_in(&mut self, told: &Xclient) -> Result<(), Reply> {
        let proxy = self.client.address;
        let mut client = proxy;
        if let Some(address) = told.address {
            client.set_ip(address);
        }
        if let Some(port) = told.port {
            client.set_port(port);
        }
        // An address that the proxy does not know counts as nobody's; the one that was there before has been counted.
        if client.ip() != proxy.ip() && !client.ip().is_unspecified() {
            self.count_as(client)?;
        }
        self.client.address = client;
        // It is the proxy's, not the client's, and so is one that it shows from now on.
        self.client.certificate = None;
        self.client.is_told = true;
        self.client.connector = self.reception.connector(&self.client);
        self.session.retell(self.reception.settings_for(&self.client));
        // What is true of the proxy's session is not true of this one, a login among it.
        self.offer_logins();
        tracing::info!(
            session = %self.client.session,
            listener = %self.reception.config.name,
            %proxy,
            %client,
            name = told.name.as_deref().map(|name| tracing::field::display(Plain(name))),
            helo = told.helo.as_deref().map(|helo| tracing::field::display(Plain(helo))),
            login = told.login.as_deref().map(|login| tracing::field::display(Plain(login))),
            "client told by a proxy"
        );
        let login = told.login.as_deref().filter(|login| !login.is_empty());
        login.map_or(Ok(()), |login| self.vouched_for(login))
    }
}

/// Reads no octet behind the header: what follows may be a TLS handshake.
async fn header(stream: &mut Stream) -> Result<Proxied, End> {
    let mut octets = Vec::new();
    loop {
        match ProxyHeader::read(&octets) {
            Ok(ProxyHeader::Whole(proxied)) => return Ok(proxied),
            Err(error) => return Err(End::NotProxied(error.to_string().into())),
            Ok(ProxyHeader::More(more)) => {
                let there = octets.len();
                octets.resize(there.saturating_add(more), 0);
                stream.read_exact(octets.get_mut(there..).unwrap_or_default()).await?;
            }
        }
    }
}
