//! The sink: the relay's next hop, which counts each message by its number and follows a script of faults.

mod content;
pub(crate) mod faults;
mod host;
pub(crate) mod script;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use units::Clock;

use self::faults::Faults;
use self::host::{Host, Port};
use self::script::{SinkScript, Stage};
use self::session::Session;
use crate::plan::Plan;
use crate::scenario::Scenario;
use crate::tally::Tally;
use crate::timeline::Watch;
use crate::tls::{self, Pair, Resuming};
use crate::wire::Wire;

/// Takes what the relay delivers until it is dropped.
pub(crate) struct Sink {
    address: SocketAddr,
    routes: Vec<Route>,
    host: Arc<Host>,
    /// Says when the load began.
    started: watch::Sender<Option<Instant>>,
    is_late: bool,
    listeners: Vec<JoinHandle<anyhow::Result<()>>>,
}

/// Where mail of a class of domains must be sent by the relay under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The class: recipients are at any name that ends in `.CLASS.example`.
    pub(crate) class: String,
    /// The next hop for them.
    pub(crate) address: SocketAddr,
}

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 4096;

/// Whether the next hop may come up is looked at so often.
const LOOK: Duration = Duration::from_millis(5);

impl Sink {
    /// Listens at `address` (port 0 for any), and beside it for each class with a next hop of its own: at the ports
    /// that follow, or at any. `run` tells this run's messages from those of others.
    #[expect(clippy::unused_async, reason = "it works inside a runtime only")]
    pub(crate) async fn listen(
        address: SocketAddr,
        scenario: &Scenario,
        run: u64,
        watch: &Arc<Watch>,
    ) -> anyhow::Result<Self> {
        Self::open(address, scenario, run, watch, &Clock::system())
    }

    /// As [`Self::listen`], by the given clock.
    pub(crate) fn open(
        address: SocketAddr,
        scenario: &Scenario,
        run: u64,
        watch: &Arc<Watch>,
        clock: &Clock,
    ) -> anyhow::Result<Self> {
        let script = &scenario.sink;
        let plan = Plan::new(&scenario.load, &script.classes, run)?;
        let tally = Tally::new(plan, watch, clock)?;
        let faults = Faults::new(script, &scenario.load)?;
        let host = Arc::new(Host::new(script, faults, &tally, acceptor(script)?));
        let (started, _) = watch::channel(None);
        let is_late = script.is_down_at_first() || script.defer_until_accepted > 0;
        let mut sink =
            Self { address, routes: Vec::new(), host, started, is_late, listeners: Vec::new() };
        sink.address = sink.bind(address, Port::new(0, script.connections_max), script)?;
        let always = SinkScript::default();
        for (place, class) in script.classes.iter().enumerate() {
            if !class.own_next_hop {
                continue;
            }
            let next = u16::try_from(sink.routes.len() + 1).context("too many next hops")?;
            let port = if address.port() == 0 { 0 } else { address.port().saturating_add(next) };
            let port = SocketAddr::new(address.ip(), port);
            let bound = sink.bind(port, Port::new(place + 1, class.connections_max), &always)?;
            sink.routes.push(Route { class: class.name.clone(), address: bound });
        }
        Ok(sink)
    }

    /// Where it listens, with the port that it was given.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Next hops that the relay must know beside [`Self::address`]: those of the classes with an own one.
    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What was counted.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.host.tally
    }

    /// Whether the script never takes recipient `place` of message `number`.
    pub(crate) fn is_withheld(&self, number: u64, place: u32) -> bool {
        let plan = &self.host.tally.plan;
        let class = plan.class(plan.domain(number, place));
        let slot = plan.slot(number, place).map_or(0, |slot| slot as u64);
        self.host.faults.is_withheld(class, number, slot)
    }

    /// When it first took mail, if its script kept it from that at first.
    pub(crate) fn late_up_at(&self) -> Option<Instant> {
        self.host.up_at().filter(|_| self.is_late)
    }

    /// Says that the load begins at `at`: `down_for` counts from here.
    pub(crate) fn start(&self, at: Instant) {
        self.started.send_replace(Some(at));
    }

    /// Takes a port, and listens there as soon as the script says.
    fn bind(
        &mut self,
        address: SocketAddr,
        port: Port,
        script: &SinkScript,
    ) -> anyhow::Result<SocketAddr> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.context("no socket for the sink")?;
        socket.set_reuseaddr(true)?;
        socket.bind(address).with_context(|| format!("the sink cannot listen on {address}"))?;
        let bound = socket.local_addr()?;
        let (host, script) = (Arc::clone(&self.host), script.clone());
        if port.cuts(&host, Stage::Connect) {
            // A port that is taken, and where nobody listens, refuses connections.
            self.listeners.push(tokio::spawn(async move {
                let _kept = socket;
                std::future::pending().await
            }));
            return Ok(bound);
        }
        if script.is_down_at_first() {
            let mut started = self.started.subscribe();
            self.listeners.push(tokio::spawn(async move {
                down(&script, &host, &mut started).await;
                accept(socket.listen(BACKLOG)?, host, port).await
            }));
        } else {
            let listener = socket.listen(BACKLOG).context("the sink cannot listen")?;
            self.listeners.push(tokio::spawn(accept(listener, host, port)));
        }
        Ok(bound)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

impl Port {
    fn new(class: usize, connections_max: usize) -> Self {
        Self { class, connections_max, open: AtomicUsize::new(0) }
    }
}

fn acceptor(script: &SinkScript) -> anyhow::Result<Option<tokio_rustls::TlsAcceptor>> {
    if !script.tls {
        return Ok(None);
    }
    let resuming = if script.tls_resumption { Resuming::On } else { Resuming::Off };
    tls::acceptor(&Pair::self_signed("sink.example")?, resuming).map(Some)
}

/// Waits until the script lets the next hop come up.
async fn down(script: &SinkScript, host: &Host, started: &mut watch::Receiver<Option<Instant>>) {
    let Ok(Some(started_at)) = started.wait_for(Option::is_some).await.map(|at| *at) else {
        return;
    };
    let tally = &host.tally;
    loop {
        let passed = tally.clock.now().saturating_duration_since(started_at);
        let is_enough =
            tally.watch.accepted() >= script.down_until_accepted || tally.watch.is_sent();
        if passed >= script.down_for.as_duration() && is_enough {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Takes connections; they end with it.
async fn accept(listener: TcpListener, host: Arc<Host>, port: Port) -> anyhow::Result<()> {
    let port = Arc::new(port);
    let mut sessions = JoinSet::new();
    let mut count = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Out of descriptors, most likely: those that end give theirs back.
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(LOOK).await;
                    continue;
                };
                let (host, port) = (Arc::clone(&host), Arc::clone(&port));
                count += 1;
                sessions.spawn(async move {
                    port.open.fetch_add(1, Ordering::Relaxed);
                    // A relay that breaks off tries again: it shows in the counts.
                    Session::new(&host, &port, count, Wire::new(stream)).converse().await.ok();
                    port.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
            Some(_) = sessions.join_next() => {}
        }
    }
}
