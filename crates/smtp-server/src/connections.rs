//! The connections of a listener, each a task of its own.

use std::collections::HashMap;
use std::future::pending;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout_at;

use crate::metrics::Metrics;

/// Runs connections and stops them. Holds as many as there are slots, so it is bounded by them.
#[derive(Debug)]
pub(crate) struct Connections {
    tasks: JoinSet<()>,
    /// Dropped, each tells its connection to stop; so no connection polls anything that others share.
    stops: HashMap<Id, oneshot::Sender<()>>,
    metrics: Metrics,
}

impl Connections {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { tasks: JoinSet::new(), stops: HashMap::new(), metrics }
    }

    /// Runs what `connection` makes of its stop signal.
    pub(crate) fn begin<Run>(&mut self, connection: impl FnOnce(oneshot::Receiver<()>) -> Run)
    where
        Run: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let task = self.tasks.spawn(connection(stopped));
        self.stops.insert(task.id(), stop);
        self.metrics.connected();
    }

    /// Waits until a connection ends, and clears up behind it; for ever while there is none.
    pub(crate) async fn ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(end) => self.clear_up(end),
            None => pending().await,
        }
    }

    /// Tells all to stop, waits, cuts off those that run past `deadline`, and says how many those were.
    pub(crate) async fn drain(&mut self, deadline: Instant) -> usize {
        let tells = std::mem::take(&mut self.stops);
        drop(tells);
        while let Ok(Some(end)) = timeout_at(deadline.into(), self.tasks.join_next_with_id()).await
        {
            self.clear_up(end);
        }
        let cut_off = self.tasks.len();
        self.tasks.abort_all();
        while let Some(end) = self.tasks.join_next_with_id().await {
            self.clear_up(end);
        }
        cut_off
    }

    fn clear_up(&mut self, end: Result<(Id, ()), JoinError>) {
        self.metrics.disconnected();
        let id = match end {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    self.metrics.panicked();
                    tracing::error!(error = %error, "connection ended by a fault in the program");
                }
                error.id()
            }
        };
        self.stops.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use telemetry::Registry;
    use units::Clock;

    use super::*;

    fn connections(registry: &Registry) -> Connections {
        Connections::new(Metrics::register(registry, "test"))
    }

    /// One connection's fault is counted and costs the others nothing.
    #[tokio::test]
    async fn a_panic_ends_one_connection_only() {
        let registry = Registry::new();
        let mut connections = connections(&registry);
        let (done, is_done) = oneshot::channel();
        connections.begin(|_| async { panic!("a fault") });
        connections.begin(|stop| async {
            stop.await.unwrap_err();
            done.send(()).unwrap();
        });
        connections.ended().await;
        let text = registry.render();
        assert!(text.contains("chasqui_panic_total{service=\"reception\"} 1"), "{text}");
        assert!(text.contains("chasqui_reception_connections{listener=\"test\"} 1"), "{text}");
        assert_eq!(connections.drain(Clock::system().now() + Duration::from_secs(10)).await, 0);
        is_done.await.unwrap();
        assert!(connections.stops.is_empty());
    }

    #[tokio::test]
    async fn what_does_not_stop_is_cut_off() {
        let registry = Registry::new();
        let mut connections = connections(&registry);
        connections.begin(|_| pending());
        assert_eq!(connections.drain(Clock::system().now()).await, 1);
        assert!(registry.render().contains("chasqui_reception_connections{listener=\"test\"} 0"));
    }
}
