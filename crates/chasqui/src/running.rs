//! A relay that runs, until it is stopped.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use admin::view;
use spool::Spool;
use telemetry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::relay::Operated;
use crate::services::Services;

/// How long the parts may take to end after their own limit; past it they are cut off.
const GRACE: Duration = Duration::from_secs(10);

/// A relay that runs. Dropped, it is cut off: nothing accepted is lost, but open transactions break.
#[derive(Debug)]
pub struct Running {
    pub(crate) admin_address: Option<std::net::SocketAddr>,
    pub(crate) admin_socket: PathBuf,
    pub(crate) registry: Arc<Registry>,
    pub(crate) relay: Arc<Operated>,
    pub(crate) spool: Spool,
    pub(crate) services: Services,
    pub(crate) admin: JoinHandle<()>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) stop_admin: watch::Sender<bool>,
    pub(crate) drain_wait_max: Duration,
}

impl Running {
    /// Where mail is taken.
    pub fn listeners(&self) -> &[view::Listener] {
        &self.relay.facts.listeners
    }

    /// Where metrics and health are served, if they are.
    pub const fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.admin_address
    }

    /// The control socket.
    pub const fn admin_socket(&self) -> &PathBuf {
        &self.admin_socket
    }

    /// The metrics.
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The relay as operators see it.
    pub(crate) const fn relay(&self) -> &Arc<Operated> {
        &self.relay
    }

    /// Messages in the queue; none when it has stopped.
    pub(crate) async fn queued(&self) -> Option<usize> {
        self.relay.queue.summary(0).await.ok().map(|summary| summary.messages)
    }

    /// Waits until a part ends that should not: the state it kept is gone, so the process must end and start again.
    pub(crate) async fn broken(&mut self) -> &'static str {
        self.services.next_end().await.unwrap_or("every part")
    }

    /// Ends in order: no new mail, then the last transactions, then what they settle, then the spool. Past the limit
    /// or once `hurry` resolves, what still runs is cut off.
    pub async fn stop(mut self, hurry: impl Future<Output = ()>) {
        self.stop.send_replace(true);
        let ended = async { while self.services.next_end().await.is_some() {} };
        let is_cut_off = tokio::select! {
            () = ended => false,
            () = tokio::time::sleep(self.drain_wait_max + GRACE) => true,
            () = hurry => true,
        };
        if is_cut_off {
            tracing::warn!("open transactions cut off");
            self.services.cut_off().await;
        }
        self.stop_admin.send_replace(true);
        if let Err(error) = self.admin.await {
            tracing::error!(%error, "admin listener broken");
        }
        drop(self.relay);
        self.spool.close().await;
    }
}
