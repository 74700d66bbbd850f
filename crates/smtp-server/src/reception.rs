//! What all connections of a listener share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use auth::ReturnPaths;
use channel::{Depth, Sender};
use filters::Filters;
use mail::{Accepted, Timestamp};
use parking_lot::Mutex;
use policy::Live;
use resolver::Resolver;
use smtp_session::server::{Offers, Security, Session, Settings};
use spool::Spool;
use tokio::sync::Semaphore;
use units::Clock;

use crate::client::Client;
use crate::config::{Extension, Listener, ListenerTls};
use crate::gate::Gate;
use crate::greylist::Greylist;
use crate::logins::Logins;
use crate::metrics::{Limit, Metrics};
use crate::quotas::Quotas;
use crate::rates::Meters;
use crate::shedding::Shedding;

/// The fixed parts of a listener; nothing here is locked on the way of a message.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) config: Listener,
    /// What sessions are told: `config` in their words.
    pub(crate) settings: Arc<Settings>,
    /// The same for clients that may relay.
    pub(crate) settings_for_relaying: Arc<Settings>,
    pub(crate) policy: Live,
    pub(crate) filters: Arc<Filters>,
    pub(crate) return_paths: ReturnPaths,
    /// Who finds out who may have sent a message.
    pub(crate) authenticator: Option<auth::Authenticator>,
    /// Permits for octets of content that are kept in memory for filters and mail authentication.
    pub(crate) shown: Arc<Semaphore>,
    pub(crate) spool: Spool,
    pub(crate) resolver: Resolver,
    pub(crate) accepted: Sender<Accepted>,
    pub(crate) accepted_depth: Depth,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) acceptor: Option<tls::server::Acceptor>,
    /// Logins, if the listener takes them.
    pub(crate) logins: Option<Logins>,
    /// Permits for handshakes, `handshakes_max` of them.
    pub(crate) handshakes: Semaphore,
    /// Rates and bans; none if nothing is limited.
    pub(crate) meters: Option<Meters>,
    /// What has come by inbound connectors with limits, on all listeners.
    pub(crate) quotas: Arc<Quotas>,
    /// Who of the strangers has come before; none if nobody is greylisted.
    pub(crate) greylist: Option<Arc<Greylist>>,
    /// Permits for held-back replies, `defence.tarpits_max` of them; none if no reply is held back.
    pub(crate) tarpits: Option<Arc<Semaphore>>,
    /// The limits that turned something away of late.
    pub(crate) shedding: Arc<Shedding>,
    /// Keeps connections that fail before they begin from flooding the log.
    pub(crate) gate: Mutex<Gate>,
}

impl Reception {
    /// Whether the queue is so far behind that a message begun now might find no room at its end.
    pub(crate) fn is_queue_nearly_full(&self) -> bool {
        self.accepted_depth.is_nearly_full()
    }

    /// The time of day.
    pub(crate) fn today(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.unix_millis())
    }

    /// `limit` turned a connection or a transaction away.
    pub(crate) fn shed(&self, limit: Limit) {
        self.metrics.shed(limit);
        self.shedding.note(limit, self.clock.now());
    }

    /// The connector that lets `client` relay: by its login, else by its certificate, else by its address. Whom a plan
    /// leaves out it does not let in, so that one is a stranger to bans and greylisting.
    pub(crate) fn connector(&self, client: &Client) -> Option<Box<str>> {
        let admission = &self.policy.load().admission;
        let (_, connector) = admission.open_ways(&client.for_policy(self.today())).next()?;
        Some(connector.name.as_str().into())
    }

    /// Whether a client that has just connected is turned away: it could not log in, and nothing else is of use to it.
    pub(crate) fn turns_away(&self, client: IpAddr) -> bool {
        self.logins.as_ref().is_some_and(|logins| logins.is_required() && logins.is_banned(client))
    }

    /// What sessions with `client` go by.
    pub(crate) fn settings_for(&self, client: &Client) -> Arc<Settings> {
        let may_relay = client.connector.is_some();
        Arc::clone(if may_relay { &self.settings_for_relaying } else { &self.settings })
    }

    /// A session with `client`, in the clear or under implicit TLS.
    pub(crate) fn session(&self, client: &Client, now: Instant) -> Session {
        let session = Session::new(self.settings_for(client), self.security(), now);
        let session = session.with_wall_clock(self.today());
        let takes_xclient = self.config.takes_xclient(client.address.ip());
        let session = if takes_xclient { session.with_xclient() } else { session };
        if self.config.tls == ListenerTls::Implicit { session.under_tls() } else { session }
    }

    /// How a new session stands to TLS.
    fn security(&self) -> Security {
        let offers_starttls = self.config.tls == ListenerTls::StartTls;
        Security { offers_starttls, requires_tls: offers_starttls && self.config.requires_tls }
    }
}

/// A listener's limits as its sessions take them: for all clients, and for those that may relay.
pub(crate) fn session_settings(config: &Listener, hostname: &str) -> [Arc<Settings>; 2] {
    let all = config.extensions.clone();
    let relaying = [all.as_slice(), &config.extensions_for_relaying].concat();
    [all, relaying].map(|extensions| Arc::new(settings(config, hostname, extensions)))
}

fn settings(config: &Listener, hostname: &str, extensions: Vec<Extension>) -> Settings {
    let for_relaying = config.extensions_for_relaying.iter().copied();
    let by_login = for_relaying.filter(|extension| extension.is_of_parameters_only());
    Settings {
        hostname: hostname.into(),
        message_octets_max: config.message_octets_max.as_octets(),
        recipients_max: config.recipients_max,
        command_octets_max: config.command_octets_max.as_usize(),
        header_octets_max: config.header_octets_max.as_octets(),
        text_line_octets_max: config.text_line_octets_max.as_octets(),
        takes_nul: config.takes_nul,
        hops_max: config.hops_max,
        bad_commands_max: config.bad_commands_max,
        idle_wait_max: config.idle_wait_max.as_duration(),
        data_wait_max: config.data_wait_max.as_duration(),
        data_rate_min: config.data_rate_min.as_octets(),
        session_wait_max: config.session_wait_max.as_duration(),
        transactions_max: config.transactions_max,
        offers: Offers {
            extensions: extensions.into_iter().map(Into::into).collect(),
            extensions_by_login: by_login.map(Into::into).collect(),
            hold_max: config.hold_max.as_duration(),
            deliver_by_min: config.deliver_by_min.as_duration(),
            priority_profile: config.priority_profile.as_str().into(),
        },
    }
}
