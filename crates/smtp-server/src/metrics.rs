//! Metrics of reception.

use std::time::Duration;

use mail::Reply;
use policy::Ending;
use telemetry::{Counter, Gauge, Histogram, Registry};

use crate::buffered::Offered;

/// A limit that turned work away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// `connections_max`.
    Connections,
    /// `connections_per_client_max`.
    ClientConnections,
    /// `connections_per_network_max`.
    NetworkConnections,
    /// `connections_per_login_max`.
    LoginConnections,
    /// No file descriptor was left.
    Descriptors,
    /// `handshakes_max`.
    Handshakes,
    /// A ban after failed logins (`logins.attempts`).
    LoginBan,
    /// The channel to the queue is nearly full.
    Queue,
    /// The spool takes no message.
    Spool,
    /// `rates`: connections.
    ConnectionRate,
    /// `rates`: messages.
    MessageRate,
    /// `rates`: recipients.
    RecipientRate,
    /// `rates`: octets.
    OctetRate,
    /// `connections_max` of an inbound connector.
    ConnectorConnections,
    /// `rates` of an inbound connector.
    ConnectorRate,
    /// `daily_messages_max` or `daily_recipients_max` of an inbound connector.
    ConnectorDay,
    /// `defence.ban_after`.
    Ban,
    /// `defence.greeting_wait`.
    EarlyTalker,
    /// `defence.dnsbl`.
    Dnsbl,
}

impl Limit {
    pub(crate) const ALL: [(Self, &'static str); 19] = [
        (Self::Connections, "connections"),
        (Self::ClientConnections, "client_connections"),
        (Self::NetworkConnections, "network_connections"),
        (Self::LoginConnections, "login_connections"),
        (Self::Descriptors, "descriptors"),
        (Self::Handshakes, "handshakes"),
        (Self::LoginBan, "login_ban"),
        (Self::Queue, "queue"),
        (Self::Spool, "spool"),
        (Self::ConnectionRate, "connection_rate"),
        (Self::MessageRate, "message_rate"),
        (Self::RecipientRate, "recipient_rate"),
        (Self::OctetRate, "octet_rate"),
        (Self::ConnectorConnections, "connector_connections"),
        (Self::ConnectorRate, "connector_rate"),
        (Self::ConnectorDay, "connector_day"),
        (Self::Ban, "ban"),
        (Self::EarlyTalker, "early_talker"),
        (Self::Dnsbl, "dnsbl"),
    ];
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    Done,
    Failed,
    TimedOut,
}

/// Handles of this crate's metrics, for one listener.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    accepted: Counter,
    refused_for_now: Counter,
    refused_for_good: Counter,
    abandoned: Counter,
    discarded: Counter,
    opened: Counter,
    open: Gauge,
    octets: Counter,
    receive: Histogram,
    shed: Vec<(Limit, Counter)>,
    handshakes_done: Counter,
    handshakes_failed: Counter,
    handshakes_timed_out: Counter,
    too_old: [(Offered, Counter); 5],
    greylisted: Counter,
    greylist_passed: Counter,
    accept_failed: Counter,
    not_proxied: Counter,
    tarpitted: Counter,
    banned: Counter,
    unlisted: Counter,
    rules_applied: Counter,
    rules_failed: Counter,
    panics: Counter,
}

impl Metrics {
    /// Makes the handles for the listener named `listener`.
    pub(crate) fn register(registry: &Registry, listener: &str) -> Self {
        let accept = |result, code_class| {
            registry.counter(
                "accept_total",
                "Transactions by their end: accepted, refused, abandoned by the client, or discarded by a filter.",
                &[("listener", listener), ("result", result), ("code_class", code_class)],
            )
        };
        let handshakes = |result| {
            registry.counter(
                "reception_tls_handshakes_total",
                "TLS handshakes of clients by their end.",
                &[("listener", listener), ("result", result)],
            )
        };
        let of_listener = [("listener", listener)];
        let counter = |name, sentence| registry.counter(name, sentence, &of_listener);
        Self {
            accepted: accept("accepted", "2xx"),
            refused_for_now: accept("refused", "4xx"),
            refused_for_good: accept("refused", "5xx"),
            abandoned: accept("abandoned", "none"),
            discarded: accept("discarded", "2xx"),
            opened: counter(
                "reception_connections_opened_total",
                "Connections taken, refused ones not counted.",
            ),
            open: registry.gauge("reception_connections", "Connections open now.", &of_listener),
            octets: counter("reception_octets_total", "Octets of content accepted."),
            receive: registry.histogram(
                "reception_receive_seconds",
                "Time from MAIL to the message being on the device, delivered or not.",
                &of_listener,
            ),
            shed: Limit::ALL.map(|(limit, cause)| (limit, shed(registry, listener, cause))).into(),
            handshakes_done: handshakes("done"),
            handshakes_failed: handshakes("failed"),
            handshakes_timed_out: handshakes("timed_out"),
            too_old: too_old(registry, listener),
            greylisted: greylist(registry, listener, "deferred"),
            greylist_passed: greylist(registry, listener, "passed"),
            accept_failed: counter(
                "reception_accept_failed_total",
                "Failed attempts to accept a connection.",
            ),
            not_proxied: counter(
                "reception_proxy_failed_total",
                "Connections of proxies that began with no header of the PROXY protocol.",
            ),
            tarpitted: counter("reception_tarpitted_total", "Replies that were held back."),
            banned: counter(
                "reception_bans_total",
                "Clients that were refused too often and are not talked to for a time.",
            ),
            unlisted: counter(
                "reception_dnsbl_failed_total",
                "Lists of unwanted addresses that did not answer in time; the client went on.",
            ),
            rules_applied: rules(registry, listener, "applied"),
            rules_failed: rules(registry, listener, "failed"),
            panics: registry.counter(
                "panic_total",
                "Tasks ended by a fault in the program; each ended only its own work.",
                &[("service", "reception")],
            ),
        }
    }

    /// A message is on the device, `wait` after its MAIL.
    pub(crate) fn accepted(&self, octets: u64, wait: Duration) {
        self.accepted.increment(1);
        self.octets.increment(octets);
        self.receive.record(wait.as_secs_f64());
    }

    /// A transaction was refused with `reply`.
    pub(crate) fn refused(&self, reply: &Reply) {
        if reply.is_permanent() {
            self.refused_for_good.increment(1);
        } else {
            self.refused_for_now.increment(1);
        }
    }

    /// A filter has a message forgotten.
    pub(crate) fn discarded(&self) {
        self.discarded.increment(1);
    }

    /// A client went in the middle of a message.
    pub(crate) fn abandoned(&self) {
        self.abandoned.increment(1);
    }

    /// A connection was taken; `open` are open now.
    pub(crate) fn connected(&self) {
        self.opened.increment(1);
        self.open.increment(1.0);
    }

    /// A connection that was taken has ended.
    pub(crate) fn disconnected(&self) {
        self.open.decrement(1.0);
    }

    /// A rule said something about a message.
    pub(crate) fn rule(&self, ending: Ending) {
        match ending {
            Ending::Applied => self.rules_applied.increment(1),
            Ending::Failed => self.rules_failed.increment(1),
            Ending::Passed => {}
        }
    }

    /// `limit` turned a connection or a transaction away.
    pub(crate) fn shed(&self, limit: Limit) {
        if let Some((_, counter)) = self.shed.iter().find(|(of, _)| *of == limit) {
            counter.increment(1);
        }
    }

    /// A handshake ended.
    pub(crate) fn handshake(&self, end: Handshake) {
        match end {
            Handshake::Done => self.handshakes_done.increment(1),
            Handshake::Failed => self.handshakes_failed.increment(1),
            Handshake::TimedOut => self.handshakes_timed_out.increment(1),
        }
    }

    /// A handshake was refused because the client spoke `offered` and nothing newer.
    pub(crate) fn too_old(&self, offered: Offered) {
        if let Some((_, counter)) = self.too_old.iter().find(|(of, _)| *of == offered) {
            counter.increment(1);
        }
    }

    /// The greylist deferred a recipient.
    pub(crate) fn greylisted(&self) {
        self.greylisted.increment(1);
    }

    /// The greylist let a recipient pass that it had deferred.
    pub(crate) fn greylist_passed(&self) {
        self.greylist_passed.increment(1);
    }

    /// The system did not give a connection.
    pub(crate) fn accept_failed(&self) {
        self.accept_failed.increment(1);
    }

    /// A proxy's connection began without its header.
    pub(crate) fn not_proxied(&self) {
        self.not_proxied.increment(1);
    }

    /// A reply is held back.
    pub(crate) fn tarpitted(&self) {
        self.tarpitted.increment(1);
    }

    /// A client is banned from now on.
    pub(crate) fn banned(&self) {
        self.banned.increment(1);
    }

    /// A list of unwanted addresses did not answer.
    pub(crate) fn not_looked_up(&self) {
        self.unlisted.increment(1);
    }

    /// A connection's task ended by a panic.
    pub(crate) fn panicked(&self) {
        self.panics.increment(1);
    }
}

fn too_old(registry: &Registry, listener: &str) -> [(Offered, Counter); 5] {
    let counter = |offered| {
        registry.counter(
            "reception_tls_too_old_total",
            "Handshakes refused because the client's newest version of TLS is too old, by that version.",
            &[("listener", listener), ("offered", offered)],
        )
    };
    [
        (Offered::Ssl3, counter("ssl3")),
        (Offered::Tls10, counter("1.0")),
        (Offered::Tls11, counter("1.1")),
        (Offered::Tls12, counter("1.2")),
        (Offered::Other, counter("other")),
    ]
}

fn greylist(registry: &Registry, listener: &str, result: &str) -> Counter {
    registry.counter(
        "reception_greylist_total",
        "Recipients of strangers by what the greylist said: deferred, or passed for the first time.",
        &[("listener", listener), ("result", result)],
    )
}

fn rules(registry: &Registry, listener: &str, result: &str) -> Counter {
    registry.counter(
        "rules_total",
        "Rules that applied to a message, whatever their mode, or could not be evaluated.",
        &[("listener", listener), ("result", result)],
    )
}

fn shed(registry: &Registry, listener: &str, cause: &str) -> Counter {
    registry.counter(
        "load_shed_total",
        "Connections and transactions turned away by a limit.",
        &[("listener", listener), ("cause", cause)],
    )
}
