//! One listener: accepts connections within its limits and ends them when the relay stops.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mail::Reply;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{interval, timeout};

use crate::client::{Client, SessionId};
use crate::config::{Listener, ListenerTls};
use crate::connection::Connection;
use crate::connections::Connections;
use crate::gate::Gate;
use crate::greylist_file;
use crate::metrics::Limit;
use crate::reception::Reception;
use crate::reply;
use crate::slot::{Slot, SlotLimits, Slots};

/// Rest after the system gave no connection. Without it a full descriptor table would be asked without end.
const ACCEPT_REST: Duration = Duration::from_millis(100);

const GREYLIST_SAVED_EVERY: Duration = Duration::from_mins(5);

/// Descriptors that connections leave to the spool, to deliveries and to operators, if the limit is high.
const RESERVE: u64 = 1024;

/// A bound listener and its connections.
#[derive(Debug)]
pub(crate) struct Listening {
    reception: Arc<Reception>,
    socket: TcpListener,
    slots: Arc<Slots>,
    connections: Connections,
    sessions: Arc<AtomicU64>,
    /// Given up for a moment when there is no other descriptor, to tell a client so.
    spare: Option<File>,
    /// The lowest descriptor that is not for connections. The system gives the lowest that is free, so one above it
    /// says that all below are taken.
    reserved_from: RawFd,
    gate: Gate,
}

/// Opens the socket that `config` wants.
pub(crate) fn open(config: &Listener) -> io::Result<TcpListener> {
    let domain = Domain::for_address(config.address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Connections inherit it: replies go out at once.
    socket.set_tcp_nodelay(true)?;
    if domain == Domain::IPV6 {
        // So that a listener means the same on every machine, whatever its defaults.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&config.address.into())?;
    socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Waits for the order to stop; a sender that is gone gives it too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|is_stopping| *is_stopping).await);
}

/// Without descriptors the spool could not take the mail of those that are connected already.
fn reserved_from() -> RawFd {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    RawFd::try_from(limit - RESERVE.min(limit / 4)).unwrap_or(RawFd::MAX)
}

fn spare() -> io::Result<File> {
    File::open("/dev/null")
}

/// Writes the greylist to its file, if there are such; what fails is logged.
fn save_greylist(reception: &Arc<Reception>) -> Option<JoinHandle<()>> {
    let greylist = Arc::clone(reception.greylist.as_ref()?);
    let path = reception.config.greylist.as_ref()?.file.clone()?;
    Some(spawn_blocking(move || {
        if let Err(error) = greylist_file::save(&greylist, &path) {
            tracing::warn!(path = %path.display(), %error, "greylist not saved");
        }
    }))
}

impl Listening {
    pub(crate) fn new(
        reception: Arc<Reception>,
        socket: TcpListener,
        sessions: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let config = &reception.config;
        let slots = Slots::new(SlotLimits::of(config));
        let connections = Connections::new(reception.metrics.clone());
        let spare = Some(spare()?);
        let gate = Gate::default();
        let reserved_from = reserved_from();
        Ok(Self { reception, socket, slots, connections, sessions, spare, reserved_from, gate })
    }

    /// Name and address.
    pub(crate) fn address(&self) -> (String, SocketAddr) {
        let config = &self.reception.config;
        (config.name.clone(), self.socket.local_addr().unwrap_or(config.address))
    }

    /// Accepts until `stop`, then ends the connections within `drain_wait_max`.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>, drain_wait_max: Duration) {
        let mut save_at = interval(GREYLIST_SAVED_EVERY);
        save_at.reset();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                _ = save_at.tick() => drop(save_greylist(&self.reception)),
                () = self.connections.ended() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok((socket, client)) => self.take(socket, client),
                    // The client went while it waited; the next one may be there.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        self.not_accepted(&error);
                        // Ends early if the relay stops.
                        timeout(ACCEPT_REST, stopped(&mut stop)).await.ok();
                    }
                },
            }
        }
        drop(self.socket);
        let name = &self.reception.config.name;
        let cut_off = self.connections.drain(self.reception.clock.now() + drain_wait_max).await;
        if let Some(saving) = save_greylist(&self.reception) {
            saving.await.ok();
        }
        tracing::info!(listener = %name, cut_off, "listener closed");
    }

    /// Begins a connection, or turns it away before any work is done for it.
    fn take(&mut self, socket: TcpStream, address: SocketAddr) {
        let slot = match self.slot(&socket, address.ip()) {
            Ok(slot) => slot,
            Err((limit, reply)) => {
                return self.turn_away(&SockRef::from(&socket), address, limit, &reply);
            }
        };
        let session = SessionId(self.sessions.fetch_add(1, Ordering::Relaxed));
        let mut client = Client {
            is_told: false,
            session,
            address,
            connector: None,
            tls: None,
            certificate: None,
            identity: None,
        };
        client.connector = self.reception.connector(&client);
        let connection = Connection::new(Arc::clone(&self.reception), socket, client, slot);
        self.connections.begin(|stop| connection.run(stop));
    }

    fn slot(&self, socket: &TcpStream, client: IpAddr) -> Result<Slot, (Limit, Reply)> {
        if socket.as_raw_fd() >= self.reserved_from {
            return Err((Limit::Descriptors, reply::descriptors_full()));
        }
        let slot = if self.reception.config.is_proxy(client) {
            self.slots.take_unknown()
        } else {
            self.slots.take(client)
        };
        let slot = slot.map_err(|no_slot| no_slot.because(client))?;
        // Behind a proxy the client shows later.
        if !self.reception.config.is_proxy(client) {
            self.reception.may_connect(client)?;
        }
        Ok(slot)
    }

    /// Says `reply` in the one packet that always fits, and closes.
    fn turn_away(&mut self, socket: &Socket, client: SocketAddr, limit: Limit, reply: &Reply) {
        self.reception.shed(limit);
        if self.reception.config.tls != ListenerTls::Implicit {
            // A client that went meanwhile misses nothing.
            socket.send(reply::line(reply).as_bytes()).ok();
        }
        if let Some(others) = self.gate.open(self.reception.clock.now()) {
            let listener = &self.reception.config.name;
            tracing::warn!(%listener, %client, %reply, others, "connection turned away");
        }
    }

    /// The system gave no connection. If it has no descriptor left, the spare one serves to tell a client.
    fn not_accepted(&mut self, error: &io::Error) {
        self.reception.metrics.accept_failed();
        if let Some(others) = self.gate.open(self.reception.clock.now()) {
            let listener = &self.reception.config.name;
            tracing::error!(%listener, %error, others, "connection not accepted");
        }
        if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) {
            self.spare = None;
            if let Ok((socket, client)) = SockRef::from(&self.socket).accept() {
                let client = client.as_socket().unwrap_or(self.reception.config.address);
                let socket = SockRef::from(&socket);
                self.turn_away(&socket, client, Limit::Descriptors, &reply::descriptors_full());
            }
        }
        if self.spare.is_none() {
            self.spare = spare().ok();
        }
    }
}
