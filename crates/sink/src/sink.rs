//! The listener of the sink.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use channel::Sender;
use smtp_session::server::{Offers, Settings};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use units::Clock;

use crate::connection::Connection;
use crate::content::{Keep, number_last};
use crate::message::Message;
use crate::shared::Shared;

/// Rest after the system gave no connection.
const ACCEPT_REST: Duration = Duration::from_millis(100);
const BACKLOG: i32 = 1024;

/// How a sink is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 lets the system choose.
    pub address: SocketAddr,
    /// What it calls itself.
    pub hostname: Box<str>,
    /// What becomes of the content. A folder is made if it is not there.
    pub keep: Keep,
    /// Connections open at once; further ones wait in the system's backlog.
    pub connections_max: usize,
    /// Largest message; a larger one is refused with 552 5.3.4.
    pub message_octets_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            hostname: "sink.localhost".into(),
            keep: Keep::Nothing,
            connections_max: 1000,
            message_octets_max: 100 << 20,
        }
    }
}

/// A bound sink.
#[derive(Debug)]
pub struct Sink {
    socket: TcpListener,
    connections_max: usize,
    shared: Arc<Shared>,
}

impl Sink {
    /// Binds the address and looks at the folder. Needs to be called within a tokio runtime.
    pub fn bind(options: Options, clock: Clock) -> io::Result<Self> {
        let mut last = 0;
        if let Keep::Folder(folder) = &options.keep {
            std::fs::create_dir_all(folder)?;
            last = number_last(folder)?;
        }
        let settings = Arc::new(settings(options.hostname, options.message_octets_max));
        let shared =
            Shared { settings, keep: options.keep, clock, number_last: AtomicU64::new(last) };
        Ok(Self {
            socket: listen(options.address)?,
            connections_max: options.connections_max.max(1),
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes mail until `stop` turns true or its sender is gone; connections still open are cut off then.
    ///
    /// Each message is in `messages` before its client hears 250; while that is full, clients wait. If nobody
    /// receives, messages are taken all the same.
    pub async fn run(self, messages: Sender<Message>, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let mut name = 0;
        loop {
            let has_room = connections.len() < self.connections_max;
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(_) = connections.join_next() => {}
                accepted = self.socket.accept(), if has_room => match accepted {
                    Ok((socket, client)) => {
                        name += 1;
                        let shared = Arc::clone(&self.shared);
                        let connection =
                            Connection::new(shared, socket, (client, name), messages.clone());
                        connections.spawn(connection.run());
                    }
                    Err(error) => {
                        tracing::error!(%error, "connection not accepted");
                        sleep(ACCEPT_REST).await;
                    }
                },
            }
        }
        connections.shutdown().await;
    }
}

/// Waits for the order to stop; a sender that is gone gives it too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|is_stopping| *is_stopping).await);
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Connections inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Wide limits: a sink is there to take what comes.
fn settings(hostname: Box<str>, message_octets_max: u64) -> Settings {
    const WAIT_MAX: Duration = Duration::from_mins(10);
    Settings {
        hostname,
        message_octets_max,
        recipients_max: 10_000,
        command_octets_max: 16 << 10,
        header_octets_max: message_octets_max,
        text_line_octets_max: message_octets_max,
        takes_nul: true,
        hops_max: 10_000,
        bad_commands_max: 1000,
        idle_wait_max: WAIT_MAX,
        data_wait_max: WAIT_MAX,
        data_rate_min: 0,
        session_wait_max: Duration::from_hours(24),
        transactions_max: u32::MAX,
        offers: Offers::default(),
    }
}
