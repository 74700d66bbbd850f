//! The two listeners: bound, served, ended.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use telemetry::Registry;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use crate::bounded::Bounded;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::parts::Parts;
use crate::peer::Peer;
use crate::relay::Relay;
use crate::routes::{private, public};
use crate::tokens::Tokens;

/// How long open requests may take after the stop.
const LAST_REQUESTS_WAIT_MAX: Duration = Duration::from_secs(2);

/// Why the admin listeners cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another relay answers there: stop it, or give this one another socket.
    #[error("another relay already answers at the admin socket {}", .0.display())]
    Taken(PathBuf),
    /// The socket cannot be made: look at the folder.
    #[error("the admin socket {} cannot be made", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be bound: choose another.
    #[error("the admin address {address} cannot be bound")]
    Address {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// The admin listeners, bound and not yet serving.
#[derive(Debug)]
pub struct Server {
    unix: UnixListener,
    socket: PathBuf,
    tcp: Option<(TcpListener, SocketAddr)>,
    connections_max: usize,
    tokens: Tokens,
}

impl Server {
    /// Opens both listeners. The Unix socket has mode 0600 before anybody can connect to it.
    pub async fn bind(config: &Config) -> Result<Self, BindError> {
        let unix = bind_unix(&config.socket)?;
        let tcp = if config.listen_enabled { Some(bind_tcp(config.listen).await?) } else { None };
        let connections_max = config.connections_max;
        let tokens = Tokens::new(config.token.clone());
        Ok(Self { unix, socket: config.socket.clone(), tcp, connections_max, tokens })
    }

    /// Where metrics and health are served, if they are.
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().map(|(_, address)| *address)
    }

    /// The path of the control socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Serves until `shutdown` says stop, then removes the socket.
    pub async fn run<R: Relay>(
        self,
        relay: Arc<R>,
        registry: Arc<Registry>,
        shutdown: watch::Receiver<bool>,
    ) {
        let metrics = Metrics::register(&registry);
        let parts = Arc::new(Parts { relay, registry, metrics, tokens: self.tokens });
        let unix = Bounded::new(self.unix, self.connections_max);
        let control = serve(unix, private(&parts), shutdown.clone());
        let read = async {
            if let Some((tcp, _)) = self.tcp {
                let tcp = Bounded::new(tcp, self.connections_max);
                serve(tcp, public(&parts), shutdown).await;
            }
        };
        tokio::join!(control, read);
        if let Err(error) = fs::remove_file(&self.socket) {
            tracing::debug!(%error, "admin socket not removed");
        }
    }
}

async fn serve<L>(listener: L, routes: Router, shutdown: watch::Receiver<bool>)
where
    L: Listener,
    L::Addr: std::fmt::Debug,
    Peer: for<'a> Connected<IncomingStream<'a, L>>,
{
    let routes = routes.into_make_service_with_connect_info::<Peer>();
    let serving = axum::serve(listener, routes).with_graceful_shutdown(stopped(shutdown.clone()));
    let serving = async move { serving.await };
    let too_long = async {
        stopped(shutdown).await;
        tokio::time::sleep(LAST_REQUESTS_WAIT_MAX).await;
    };
    tokio::select! {
        result = serving => {
            if let Err(error) = result {
                tracing::error!(%error, "admin listener ended");
            }
        }
        () = too_long => {}
    }
}

async fn stopped(mut shutdown: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("admin listener stops with its owner");
    }
}

async fn bind_tcp(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let wrong = |source| BindError::Address { address, source };
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let bound = listener.local_addr().map_err(wrong)?;
    Ok((listener, bound))
}

/// Makes the socket in a folder that only we can enter and moves it into its place, so that there is no moment
/// in which others may connect; what a killed relay left behind is replaced.
fn bind_unix(path: &Path) -> Result<UnixListener, BindError> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(BindError::Taken(path.to_owned()));
    }
    let wrong = |source| BindError::Socket { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let private = folder.join(format!(".adm{}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&private).map_err(wrong)?;
    let inner = private.join("s");
    let made = UnixListener::bind(&inner).and_then(|listener| {
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o600))?;
        fs::rename(&inner, path)?;
        Ok(listener)
    });
    if let Err(error) = fs::remove_dir_all(&private) {
        tracing::debug!(%error, "private folder of the admin socket not removed");
    }
    made.map_err(wrong)
}
